"""The chapters on convolution, on streams and on attention, over dry results whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis.depths import best_by_depth, degraded
from bench.analysis.parts import commonest_place, deep, depth_unit, layer_words
from bench.engine.dry_inside import BORDER, MOST_POWER
from bench.report.blocks import Figure, Lead, Section, Sentences, Table
from bench.report.page import folded
from bench.report.run_page import run_page
from bench.report.sections import attention, convolution, stream
from tests.cohorts import of_run
from tests.dry_results import CONV, MIXED, SMALL, TRANSFORMER
from tests.report.pages import altered, chapter, frames
from tests.report.test_words import faults


def said(found: Section) -> list[str]:
    leads = [each.sentence.text for each in found.of(Lead)]
    return leads + [item.text for each in found.of(Sentences) for item in each.items]


def table(found: Section, caption: str) -> Table:
    (one,) = (each for each in found.of(Table) if each.caption.startswith(caption))
    return one


def test_each_chapter_is_there_where_its_networks_are_and_opens_with_a_finding_and_a_figure() -> None:
    keys = {convolution: "convolution-depth", stream: "stream-gradient", attention: "attention-entropy"}
    for module, key in keys.items():
        assert module.section(frames(SMALL)) is None
        found = folded(chapter(module.section, CONV if module is convolution else TRANSFORMER))
        first = next(each for each in found.blocks if isinstance(each, Figure))
        assert first.key == key
        (lead,) = found.of(Lead)
        assert len(lead.sentence.text.split()) <= 25
        assert faults(found) == {}
    assert {module.ID for module in keys if module.section(frames(MIXED))} == {"convolution", "stream", "attention"}


def test_degradation_is_that_of_the_kind_without_a_skip_connection() -> None:
    found = chapter(convolution.section, CONV)
    assert "From 4 to 30 layers the best training loss goes from 0.0" in said(found)[0]
    assert "no skip connection" in said(found)[0]
    rows = table(found, "The best training loss by depth").rows
    assert [row[1] for row in rows] == ["4", "30"] * 4
    assert {row[6] for row in rows if row[0].startswith("no skip") and row[1] == "30"} == {"0 of 6"}


def test_borders_hold_what_the_formula_takes_and_theory_stands_beside_them() -> None:
    found = chapter(convolution.section, CONV)
    rows = table(found, "The corners").rows
    zero = next(row for row in rows if "zero padding" in row[0] and row[0].startswith("30"))
    assert zero[1] == f"−{2 * MOST_POWER * -math.log10(BORDER):.2f}"
    assert {row[1] for row in rows if "circular" in row[0]} == {"+0.00"}
    panels = {panel.title: panel.rows for panel in found.figure("convolution-borders").panels}
    circular = next(rows for name, rows in panels.items() if "circular" in name)
    np.testing.assert_allclose(circular["predicted"], 0.0, atol=1e-9)
    zeros = next(rows for name, rows in panels.items() if "zero padding" in name)
    told = zeros.loc[zeros["series"] == "mean square, last layer", "predicted"].to_numpy()
    assert told[0] < told[1] < told[3] == pytest.approx(told[4]) == pytest.approx(0.0, abs=1e-9)


def test_streams_and_depths_speak_of_blocks_and_sublayers() -> None:
    found = chapter(stream.section, TRANSFORMER)
    assert {figure.key for figure in found.of(Figure)} == {
        "stream-gradient", "stream-tokens", "stream-depth", "stream-warmup",
    }  # fmt: skip
    assert "16 blocks, no norm" in said(found)[0]
    assert found.figure("stream-gradient").scale.x_limits == (0.0, 31.0)
    assert found.figure("stream-warmup").legend_title == "warm-up"
    assert any(panel.rows["predicted"].notna().any() for panel in found.figure("stream-gradient").panels)


def test_heads_of_lost_networks_are_drawn_to_where_they_were_lost() -> None:
    found = chapter(attention.section, TRANSFORMER)
    assert (
        said(found)[0] == "Some head came to look at few keys in 0 of 36 runs that learned and 12 of 12 that did not."
    )
    maps = found.figure("attention-entropy")
    worst = next(panel for panel in maps.panels if panel.strip == "Worst")
    assert (worst.rows["ended"] == 8).all() or np.isfinite(worst.rows["ended"]).all()
    assert worst.rows.groupby("step").size().eq(16 * 2).all()
    bare = altered(TRANSFORMER, attention=frames(TRANSFORMER).tables["attention"].iloc[:0])
    without = attention.section(bare)
    assert without is not None and "[record]" in str(without.blocks)


def test_architectures_on_one_page_keep_their_own_defaults_and_words() -> None:
    given = frames(MIXED)
    assert given.varied == ["architecture", "depth", "skip", "learning_rate"]
    stands = {row.level: row.untouched for row in given.recipes.rows if row.depth == "2"}
    assert set(stands) == {"mlp", "conv", "transformer"} and all(stands.values())
    assert depth_unit(given.plain) == "" and deep("12", "") == "depth 12"
    assert "12 layers" in said(chapter(convolution.section, MIXED))[0]
    assert "blocks" in said(chapter(stream.section, MIXED))[0]


def test_layers_of_transformers_are_named_by_block() -> None:
    run = {"architecture": "transformer", "sublayers": "both", "depth": 4}
    assert [layer_words(k, run) for k in (0, 3, 8)] == ["block 0's attention", "block 1's feed-forward", "the head"]
    assert layer_words(2, run | {"sublayers": "attention_only"}) == "block 2's attention"
    assert [layer_words(k, {"architecture": "conv"}) for k in (3, None)] == ["layer 3", ""]
    rows = pd.DataFrame({"layer": [10, 2, 10, 2], "place": ["layer 10", "layer 2"] * 2})
    assert commonest_place(rows) == "layer 2"


def test_the_best_rate_of_each_depth_counts_and_lost_runs_are_infinite() -> None:
    runs = pd.DataFrame([
        {"skip": skip, "depth": depth, "learning_rate": rate, "final_train_loss": loss, "status": status,
         "outcome": "learned" if loss < 1 else "diverged", "naive_loss": 2.0, "steps": steps}
        for skip, depth, rate, loss, status, steps in (
            ("none", 2, 0.1, 0.2, "completed", 9), ("none", 2, 0.01, 0.9, "completed", 9),
            ("none", 8, 0.1, np.nan, "diverged", 9), ("none", 8, 0.01, 1.4, "completed", 9),
            ("none", 8, 0.01, 0.0, "completed", 1), ("residual", 2, 0.1, 0.3, "completed", 9),
        )
    ])  # fmt: skip
    rows = best_by_depth(runs, ["skip"])
    assert rows[["depth", "median", "rate", "diverged", "runs"]].to_numpy().tolist() == [
        [2.0, 0.2, "0.1", 0, 2], [8.0, 1.4, "0.01", 1, 2],
    ]  # fmt: skip
    assert degraded(rows, ["skip"])["rise"].tolist() == [pytest.approx(0.6)]


def test_a_run_of_a_transformer_shows_its_heads_and_speaks_of_its_blocks() -> None:
    given = frames(TRANSFORMER)
    run_id = str(given.plain.loc[given.plain["status"] == "diverged", "run_id"].iloc[0])
    found = run_page(given, of_run(dict(given.tables), run_id), run_id)
    assert found["heads"].figure("course-entropy").kind == "entropy_map"
    assert found["heads"].figure("course-logit").panels[0].rows["block"].max() == 15
    assert "block 0's attention" in found["course"].of(Lead)[0].sentence.text
    assert "sub-layer" in found["gradients"].of(Lead)[0].sentence.text
