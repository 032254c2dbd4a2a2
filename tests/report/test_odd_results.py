"""Results that are empty, infinite, zero or of one run have a page, without words for numbers that are none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bench.report.blocks import Counts, Figure, Page, Sentences, Table, Text
from bench.report.page import page_of
from bench.report.render import render
from bench.report.sections import theory
from tests.dry_results import EXPLODING, dry_results
from tests.report import pages
from tests.report.pages import Nesting, altered, drawings, said

Tables = dict[str, pd.DataFrame]
RUNS = 24

HEAD = '[suite]\nname = "o"\nquestion = "?"\nreplicates = 2\n[factors]\n'
NEVER = "".join(f'{t} = "never"\n' for t in ("gradient_norms", "activations", "loss_curves", "evaluations"))
SUITES = {
    "one cell": f'{HEAD}clipping = ["none"]\n[fixed]\nsteps = 5\n',
    "no depth": f'{HEAD}activation = ["relu", "tanh"]\ninitializer = ["he_normal", "zeros"]\n[fixed]\nsteps = 5\n',
    "little recorded": f"{HEAD}depth = [2, 3]\n[fixed]\nsteps = 5\n[record]\n{NEVER}",
}


def norms(tables: Tables, value: object) -> Tables:
    return {"gradient_norms": tables["gradient_norms"].assign(preactivation_grad_norm=value)}


def losses(tables: Tables, value: float) -> Tables:
    return {"loss_curves": tables["loss_curves"].assign(loss=value)}


def only(tables: Tables, runs: pd.Series) -> Tables:
    """The tables of the runs that are marked."""
    kept = set(tables["runs"].loc[runs, "run_id"])
    return {name: frame[frame["run_id"].isin(kept)] for name, frame in tables.items() if "run_id" in frame}


def all_diverged_at_once(tables: Tables) -> Tables:
    runs = tables["runs"].assign(status="diverged", steps_completed=0)
    event = {"step": 0, "kind": "nan", "tensor": "loss", "layer_index": np.nan, "value": np.nan, "limit": np.nan}
    kept = {name: frame[frame["step"] == 0] for name, frame in tables.items() if "step" in frame}
    return kept | {"runs": runs, "divergence_events": pd.DataFrame([{"run_id": r, **event} for r in runs["run_id"]])}


def nothing_came(tables: Tables, status: str) -> Tables:
    kept = {name: frame.iloc[:0] for name, frame in tables.items()}
    return kept | {"runs": tables["runs"].assign(status=status, steps_completed=0)}


def part_without_evaluations(tables: Tables) -> Tables:
    """One replicate, of which a level never ran and no evaluation was recorded."""
    runs = tables["runs"]
    part = only(tables, (runs["replicate"] == 0) & (runs["clipping"] != "none"))
    return part | {"evaluations": tables["evaluations"].iloc[:0]}


def without_accuracies(tables: Tables) -> Tables:
    return {"evaluations": tables["evaluations"].assign(accuracy=np.nan)}


CHANGES: dict[str, Callable[[Tables], Tables]] = {
    "infinite losses, norms of 0": lambda tables: losses(tables, np.inf) | norms(tables, 0.0),
    "no losses that are numbers, some norms of inf and nan": lambda tables: (
        losses(tables, np.nan) | norms(tables, np.resize([np.inf, np.nan, 1.0], len(tables["gradient_norms"])))
    ),
    "norms of nan": lambda tables: norms(tables, np.nan),
    "one run": lambda tables: only(tables, tables["runs"].index == 0),
    "all diverged at once": all_diverged_at_once,
    "nothing came, diverged": lambda tables: nothing_came(tables, "diverged"),
    "nothing came, failed": lambda tables: nothing_came(tables, "failed"),
    "one replicate of a level, no evaluations": part_without_evaluations,
    "no accuracies": without_accuracies,
}


def whole(page: Page) -> Page:
    """The page, once it has been drawn, written and told."""
    html = render(page)
    Nesting(html)
    drawings(html)
    json.dumps(page.as_data(), allow_nan=False)
    for text in said(page) + [count.remark for count in page["answer"].of(Counts)[0].items]:
        assert not re.search(r"\bnan\b", text), text
    return page


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_odd_suites_have_pages_too(suite: str) -> None:
    whole(pages.page(suite))


# What each of these shows, another does as well: see also tests/results/test_properties_results.py.
TWINS = ("norms of nan", "nothing came, failed")


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.full] * (each in TWINS)) for each in CHANGES])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_results_have_a_page(name: str) -> None:
    page = whole(page_of(altered(EXPLODING, **CHANGES[name](dry_results(EXPLODING).tables))))
    if name == "all diverged at once":
        assert said(page)[0].startswith(f"0 of {RUNS} runs learned (0 %)")
        assert page["events"].of(Text)[0].text.startswith(f"{RUNS} of {RUNS} runs met a NaN or an infinity.")
    elif name.startswith("nothing came"):
        assert said(page)[0].startswith(f"0 of {RUNS} runs learned (0 %)")
    elif name == "no accuracies":
        assert said(page)[0].startswith(f"No accuracy was recorded of 21 of {RUNS} runs:")
        assert said(page)[0].endswith(" 3 left the finite numbers.")
        assert not [text for text in said(page) if "at initialization learned" in text]


def test_runs_without_an_accuracy_are_not_said_to_have_failed_to_learn() -> None:
    tables = dry_results(EXPLODING).tables
    completed = tables["runs"].loc[tables["runs"]["status"] == "completed", "run_id"]
    known = tables["evaluations"]
    found = altered(EXPLODING, evaluations=known[~known["run_id"].isin(completed[:5])])
    assert "Of 5 no accuracy was recorded" in said(page_of(found, ()))[0]


def test_where_a_quarter_of_the_runs_vanished_to_nothing_the_quartile_is_minus_infinity() -> None:
    tables = dry_results(EXPLODING).tables
    lost = tables["gradient_norms"]["run_id"].isin(tables["runs"]["run_id"].iloc[: RUNS // 2])
    first = lost & (tables["gradient_norms"]["layer_index"] == 0)
    zeroed = tables["gradient_norms"]["preactivation_grad_norm"].mask(first, 0.0)
    page = page_of(altered(EXPLODING, **norms(tables, zeroed)), ())
    (found,) = [text for text in said(page) if "for half of the runs" in text]
    assert re.search(r"changes by ÷ ∞ to × \S+; for half of the runs by ÷ ∞ to [÷×] \S+\.$", found), found


def test_without_a_prediction_the_section_on_theory_says_why() -> None:
    runs = dry_results(EXPLODING).tables["runs"]
    section = theory.section(altered(EXPLODING, runs=runs.assign(architecture="mine:network")))
    assert section is not None
    (told,), (reasons,) = section.of(Sentences), section.of(Table)
    assert told.items[0].text == f"{RUNS} of {RUNS} runs have no prediction, for the reasons below."
    assert "mine:network" in reasons.rows[0][0] and reasons.rows[0][1] == str(RUNS)
    assert section.of(Figure) == [] and section.short == ()
    some = altered(EXPLODING, runs=runs.assign(activation=runs["activation"].mask(runs["depth"] == 4, "mine:phi")))
    (_, found) = page_of(some, (theory.section,)).as_data()["sections"]
    below = [each for block in found["blocks"] for each in block.get("blocks", [block])]
    blocks = {kind: [each for each in below if each["block"] == kind] for kind in ("table", "figure")}
    assert [row[1] for row in blocks["table"][-1]["rows"]] == ["12"]
    assert "12 of 24 runs have no prediction, for the reasons below." in json.dumps(found)
    drawn = [figure for figure in blocks["figure"] if figure["kind"] == "theory"]
    rows = [row for figure in drawn for panel in figure["panels"] for row in panel["rows"]]
    assert {row["kind"] for row in rows} == {"predicted", "measured", "trained"}
