"""The page of a comparison: its words, its figures, and what it must not leave out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bench.analysis.compare import changed_tables, compare
from bench.analysis.compare.sides import side_of
from bench.report.blocks import Figure, Page, Table
from bench.report.compare_outline import markdown, outline
from bench.report.compare_page import compare_page
from bench.report.compared import Compared
from bench.report.render import render
from bench.results.differences import differences
from bench.rules import choose_rules
from tests.dry_results import SMALL, dry_results
from tests.report.pages import Nesting
from tests.report.test_words import faults


@cache
def compared(kind: str) -> Compared:
    """A small suite beside itself, or with its batch-normalized runs worse and one run failed."""
    base, candidate = dry_results(SMALL), dry_results(SMALL)
    tables, manifest = dict(candidate.tables), candidate.manifest
    if kind == "worse":
        runs, scores = tables["runs"].copy(), tables["evaluations"].copy()
        own = scores["run_id"].isin(runs.loc[runs["normalization"] != "none", "run_id"])
        moved = 0.5 + 0.02 * np.random.default_rng(0).normal(size=int(own.sum()))
        scores.loc[own, "accuracy"] *= moved
        runs.loc[runs.index[:1], ["status", "error"]] = ["failed", "out of memory"]
        tables |= {"runs": runs, "evaluations": scores}
        manifest = replace(manifest, versions={**manifest.versions, "keras": "3.14.0"})
    changed = changed_tables(base.tables, tables)
    rules = choose_rules()
    told = compare(side_of("before", base.tables, rules, 0), side_of("after", tables, rules, 0), identical=not changed)
    versions = {"python": ("3.13.0", "3.13.0"), "keras": ("3.15.1", str(manifest.versions["keras"]))}
    return Compared(("before", "after"), manifest, versions, differences(base.manifest, manifest), changed, told)


@cache
def page(kind: str) -> Page:
    return compare_page(compared(kind))


@pytest.mark.parametrize("kind", ["same", "worse"])
def test_its_words_are_those_of_a_reader_and_its_markup_is_whole(kind: str) -> None:
    assert {section.id: faults(section) for section in page(kind).sections if faults(section)} == {}
    found = Nesting(render(page(kind)))
    assert page(kind).headline in " ".join(found.text)


def test_equal_tables_say_so_and_nothing_more() -> None:
    assert page("same").headline.startswith("Bit-identical")
    assert [section.id for section in page("same").sections] == ["answer", "differs", "runs"]


def test_what_differs_comes_first_and_a_failed_run_is_in_the_heading() -> None:
    found = page("worse")
    assert found.remarks[0] == "Not the same on both sides: Keras 3.15.1, then 3.14.0."
    assert found.headline == "Worse: 1 run failed that had not."
    (counts,) = found["runs"].of(Table)
    assert counts.rows[0][:5] == ("failed", "0", "1", "0", "1")


def test_the_figures_show_the_level_that_changed_first() -> None:
    figure = page("worse")["levels"].figure("compare-levels")
    first = next(panel for panel in figure.panels if panel.title == "accuracy").rows.iloc[0]
    assert first["row"] == "normalization batch_normalization" and first["value"] < -1.0
    assert {each.kind for each in page("worse").of(Figure)} == {"forest", "against"}


def test_the_document_escapes_and_folds_long_tables() -> None:
    text = markdown(outline(compared("worse")), "a|b", "bench compare")
    assert text.startswith("## a\\|b\n") and text.count("<details>") == text.count("</details>")
    assert text.index("3.14.0") < text.index("### Verdict")
