"""The page of recurrent networks: what stands there, and what would be false or silly of them."""

from __future__ import annotations

from bench.factors import without_use
from bench.report.blocks import Table
from bench.report.headline import level_words
from bench.report.sections.answer import First
from bench.report.sections.explorer import Explorer
from tests.dry_results import RECURRENT, SMALL
from tests.report.pages import page, said
from tests.report.test_words import everything

OF_LAYERS = ("first hidden layer to the last", "From the last hidden layer", "The theory covers dense layers")


def fixed(suite: str) -> set[str]:
    (table,) = (each for each in page(suite).of(Table) if each.caption == "Factors and fixed settings")
    (explorer,) = page(suite).of(Explorer)
    listed = {name for name, _ in explorer.data["fixed"]}
    assert listed == {name for name, kind, _ in table.rows if kind == "fixed"}
    return listed


def test_a_page_lists_no_factor_that_its_networks_have_no_use_for() -> None:
    dense, recurrent = fixed(SMALL), fixed(RECURRENT)
    assert not dense & {"cell", "recurrent initializer", "gate bias"} and "skip" in dense
    assert "recurrent initializer" in recurrent and "skip" not in recurrent
    assert not without_use(["mlp", "recurrent"]) & {"skip", "cell"}
    assert without_use(["mlp", "recurrent", "conv", "transformer"]) == without_use(["somebody:build"]) == set()


def test_one_recurrent_layer_is_not_spoken_of_as_layers() -> None:
    chapters = [section.id for section in page(RECURRENT).sections]
    assert "gradients" not in chapters and "theory" not in chapters
    words = [*said(page(RECURRENT)), *(each for section in page(RECURRENT).sections for each in everything(section))]
    quantities = [each for each in words if each.startswith(("log10 of", "Least-squares"))]
    assert not [each for each in words if each not in quantities and any(part in each for part in OF_LAYERS)]


def test_cells_and_gates_have_names_of_their_own() -> None:
    (first,) = page(RECURRENT).of(First)
    assert [row.name for row in first.rows] == ["LSTM", "GRU"]
    assert "gate bias unit_forget" in first.baseline


def test_a_level_is_said_in_few_digits_unless_two_would_be_one() -> None:
    long, near, other = (f"random_normal(stddev={each})" for each in ("0.31622776601683794", "0.31622", "0.03"))
    assert level_words("initializer", long, [long, other]) == "random_normal(stddev=0.3162)"
    assert level_words("initializer", long, [long, near]) == long
    assert level_words("truncate", "none", ["none", "bptt"]) == "no truncation"
