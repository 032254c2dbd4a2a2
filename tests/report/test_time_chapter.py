"""The chapter on gradients through time, over planted rows whose horizons are known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from bench.analysis import remedies
from bench.analysis.time_theory import predicted
from bench.report.blocks import Figure, Lead, Section, Sentences, Table
from bench.report.frames import Frames
from bench.report.page import folded
from bench.report.run_page import run_page
from bench.report.sections.explorer import Explorer
from bench.report.sections.explorer import section as explorer_section
from bench.report.sections.through_time import section
from bench.theory.lags import LagProfile
from tests.cohorts import of_run
from tests.dry_results import RECURRENT, SMALL, dry_results
from tests.report.pages import altered, frames

LAGS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 39)
# Decades a step: at the start, and how many times that at the end.
RATES = {
    ("lstm", "unit_forget"): (-0.11, 0.5), ("lstm", "chrono"): (-0.01, 1.0), ("gru", "unit_forget"): (-0.26, 2.0),
    ("gru", "chrono"): (0.06, 1.0),
}  # fmt: skip


@cache
def planted(each_step: bool = False) -> Frames:
    """The dry results of a recurrent suite with a straight line in decades for each network."""
    runs, rows = dry_results(RECURRENT).tables["runs"], []
    for run in runs.itertuples():
        cell, bias = str(run.cell), level(str(run.gate_bias))
        rate, times = RATES[cell, bias]
        for step, factor in ((0, 1.0), (59, times)):
            if step and run.status != "completed":
                continue
            norm = 0.01 * 10.0 ** (rate * factor * np.array(LAGS, float))
            lag = np.zeros(len(LAGS), int) if each_step else np.array(LAGS)
            part = {"run_id": run.run_id, "step": step, "layer_index": 0, "direction": "forward"}
            own = norm if cell == "lstm" else np.full(len(LAGS), np.nan)
            rows.append(
                pd.DataFrame(part | {"time": 39 - np.array(LAGS), "lag": lag, "cell_grad_norm": own,
                                     "state_grad_norm": norm if cell == "gru" else 7.0})
            )  # fmt: skip
    return altered(RECURRENT, time_gradients=pd.concat(rows, ignore_index=True))


def level(label: str) -> str:
    return label.partition("(")[0]


def chapter(given: Frames) -> Section:
    found = section(given)
    assert found is not None
    return found


def table(found: Section, caption: str) -> Table:
    (one,) = (each for each in found.of(Table) if each.caption.startswith(caption))
    return one


def test_horizons_are_those_of_the_planted_lines() -> None:
    found = chapter(planted())
    rows = {row[0]: row for row in table(found, "The horizon at the start").rows}
    # -0.11 a step is below -2 from lag 19 on, -0.26 from lag 8 on; an LSTM's are those of its cell state.
    assert {name: row[1] for name, row in rows.items()} == {
        "LSTM, gate bias unit_forget": "19", "LSTM, gate bias chrono": "over 39", "GRU, gate bias unit_forget": "8",
        "GRU, gate bias chrono": "over 39",
    }  # fmt: skip
    assert rows["LSTM, gate bias unit_forget"][4] == "−4.29"
    assert rows["GRU, gate bias chrono"][6] == "+2.34 at 39"
    assert [row[7] for row in rows.values()] == ["3"] * 4  # replicates, whatever rate and clipping
    (lead,) = found.of(Lead)
    assert "all 39 steps back" in lead.sentence.text and "8 with GRU, gate bias unit_forget" in lead.sentence.text


def test_sentences_count_networks_whose_horizon_is_short_lengthened_or_grown() -> None:
    told = [each.text for part in chapter(planted()).of(Sentences) for each in part.items]
    assert any("of 8 networks whose first horizon is shorter than the sequence learned, and" in each for each in told)
    assert any(each.startswith("Training lengthened the horizon of 4 of ") for each in told)
    assert any(
        "1 of 4 kinds of network the first gradient grows" in each and "× 220 at lag 39" in each for each in told
    )


def test_the_chapter_opens_with_its_figure_and_draws_loss_over_rate_by_clipping() -> None:
    found = folded(chapter(planted()))
    first = next(each for each in found.blocks if isinstance(each, Figure))
    assert first.key == "time-lags" and [panel.title for panel in first.panels] == ["LSTM", "GRU"]
    assert {figure.key for figure in found.of(Figure)} == {"time-lags", "time-map", "time-clipping"}
    clipping = found.figure("time-clipping")
    assert clipping.scale.series == ("none", "global_norm") and len(clipping.panels) == 4
    lost = pd.concat([panel.rows for panel in clipping.panels])["lost"].sum()
    assert lost == (planted().plain["status"] != "completed").sum()


def test_without_lags_the_chapter_says_so_and_without_recurrent_networks_there_is_none() -> None:
    assert section(frames(SMALL)) is None
    bare = altered(RECURRENT, time_gradients=frames(RECURRENT).tables["time_gradients"].iloc[:0])
    for given, word in ((bare, "[record]"), (planted(each_step=True), "every time step")):
        found = chapter(given)
        assert "time-lags" not in {figure.key for figure in found.of(Figure)}
        assert any(word in str(block) for block in found.blocks)


def test_the_explorer_and_a_run_show_lags_in_the_place_of_one_layer() -> None:
    given = planted()
    (explorer,) = explorer_section(given).of(Explorer)
    assert explorer.data["responses"][0]["name"] == "time_ratio_start"
    structures = explorer.data["structures"]
    assert structures["lag"] and structures["shared"][0]["layers"] == list(LAGS)
    assert "gradient vanishes through time" in explorer.data["signs"]["causes"]
    run_id = str(given.plain.loc[given.plain["gate_bias"] == "unit_forget", "run_id"].iloc[0])
    own = of_run(dict(given.tables), run_id)
    page = run_page(given, own, run_id)
    assert "gradients" not in page and page["time"].figure("course-time").kind == "lag_map"
    assert "Over 1 % of the gradient is left for 19 steps at step 0" in page["time"].of(Lead)[0].sentence.text
    facts = dict(page["what"].of(Table)[-1].rows)
    assert facts["gradient along time at initialization"] == "vanishing through time"


def test_remedies_know_runs_by_what_their_gradient_does_along_time() -> None:
    given = planted()
    runs = given.labelled.assign(outcome="not_learned").where(given.labelled["learning_rate"] != "0.01", given.labelled)
    found = remedies(runs, given.varied, given.tables["timings"])
    assert {"vanishing through time", "exploding through time"} <= set(found["pathology"])


def test_theory_stands_beside_what_it_covers_and_says_what_it_does_not() -> None:
    plain = {
        "cell": "simple", "width": 32, "depth": 1, "activation": "tanh", "initializer": "glorot_uniform",
        "recurrent_initializer": "orthogonal", "gate_bias": "unit_forget", "dataset": "adding",
        "preprocessing": "standardize", "normalization": "none", "truncate": "none", "bias_initializer": "zeros",
        "dropout": 0.0,
    }  # fmt: skip
    squares = {("adding", "standardize"): 0.3}
    assert isinstance(predicted(plain, 40, 2, squares), LagProfile)
    for name, value in (("dropout", 0.1), ("truncate", "bptt"), ("normalization", "layer_normalization")):
        assert predicted(plain | {name: value}, 40, 2, squares) == f"The formulas know nothing of {name} {value}."
