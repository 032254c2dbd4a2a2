"""The page of one's own training: what it says is in the run's rows and in the reference that it names."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from bench import reference
from bench.analysis import advice
from bench.report.blocks import Lead, Page, Table
from bench.report.frames import Frames
from bench.report.own_page import _counted, family_of, own_page
from tests.cohorts import of_run
from tests.dry_results import EXPLODING, SMALL, dry_results
from tests.report.pages import frames


def page_of(suite: str, **levels: object) -> tuple[Page, pd.Series]:
    """The first run with these levels and statuses, shown as one's own."""
    whole = frames(suite)
    kept = whole.plain
    for name, level in levels.items():
        kept = kept[kept[name] == level]
    run_id = str(kept["run_id"].iloc[0])
    own = of_run(dry_results(suite).tables, run_id)
    manifest = replace(whole.manifest, suite="own", question="")
    tables = own | {"timings": whole.tables["timings"]}
    return own_page(Frames.of(tables, manifest), tables, {}, run_id), kept.iloc[0]


def test_a_vanishing_network_is_told_what_rescued_its_kind_and_where_that_was_counted() -> None:
    page, _ = page_of(SMALL, depth=40, activation="sigmoid", normalization="none")
    assert page.headline.startswith("Gradients vanish at the first step")
    assert "Nothing" not in page.headline
    (table,) = page["try"].of(Table)
    runs = reference.read("default").runs
    lost = runs[(runs["symptom_start"] == "vanishing") & (runs["activation"] == "sigmoid") & (runs["depth"] == 32)]
    pairs = int(table.rows[0][1].split(" of ")[1])
    assert 0 < pairs <= len(lost)
    assert any("not on yours" in str(block) for block in page["try"].blocks)


def test_a_run_that_diverged_is_never_called_anything_else() -> None:
    page, run = page_of(EXPLODING, status="diverged")
    assert page.headline.startswith(f"Training diverged at step {int(run['steps_completed'])}: ")
    said = dict(page["what"].of(Table)[0].rows)
    assert said["status"] == "diverged"


def test_without_a_symptom_nothing_is_promised() -> None:
    page, _ = page_of(SMALL, depth=2, activation="relu", initializer="he_normal", normalization="batch_normalization")
    assert page.headline.startswith("Nothing that these rules look for")
    assert "it learned (validation accuracy" in page.headline
    assert all(section.id != "try" or section.blocks for section in page.sections)


@pytest.mark.parametrize(
    ("heads", "cell", "kernel", "family"),
    [(4, "none", 0, "transformer"), (0, "lstm", 3, "recurrent"), (0, "none", 3, "conv"), (0, "none", 0, "mlp")],
)
def test_whose_reference_is_asked_follows_from_the_layers(heads: int, cell: str, kernel: int, family: str) -> None:
    run = pd.Series({"architecture": "own", "heads": heads, "cell": cell, "kernel_size": kernel})
    assert family_of(run) == family


@pytest.mark.parametrize(("of_one", "said"), [(True, "half of them learn: the surest rescued"), (False, "them learn.")])
def test_changes_of_two_levels_are_said_with_and_without_a_change_of_one(of_one: bool, said: str) -> None:
    references = {"conv": reference.read("conv")}
    found = advice({"conv": references["conv"].runs}, "vanishing", "conv", 19, {"activation": "relu"})
    assert found is not None and len(found.of_two)
    blocks = _counted(found if of_one else replace(found, rows=found.rows.head(0)), "vanishing", "conv", references)
    lead, table = blocks[:2]
    assert isinstance(lead, Lead) and isinstance(table, Table)
    assert "initializer he_normal with batch normalization made" in lead.sentence.text and said in lead.sentence.text
    assert len(table.rows) == len(found.of_two) + of_one * len(found.rows)
