"""The lesson: its activations against what is known of them, and what it says of remedies against planted counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.analysis.remedies import COLUMNS
from bench.factors import FACTORS
from bench.report.blocks import Definition, Definitions
from bench.report.charts.lines import spans
from bench.report.render import draw_figure
from bench.report.sections.lesson import KINDS, activation_charts, curve, remedy_notes, section
from bench.schema import TABLES
from bench.theory import activation
from tests.dry_results import EXPLODING, SMALL
from tests.report.pages import chapter


def runs(**factors: list[object]) -> pd.DataFrame:
    """Runs at every factor's default but for the columns given."""
    length = max((len(values) for values in factors.values()), default=1)
    held = {"activation": "relu", "initializer": "he_normal", "optimizer": "sgd", "depth": 3}
    frame = pd.DataFrame({kind.factor: [held.get(kind.factor, "none")] * length for kind in KINDS})
    return frame.assign(**factors)


def row(factor: str, level: str, pairs: int, rescued: int, **more: object) -> dict[str, object]:
    found = {"pathology": "vanishing", "factor": factor, "level": level, "pairs": pairs, "rescued": rescued}
    bounds = {"rate": rescued / pairs, "rate_lower": 0.1, "rate_upper": 0.3, "diverged": 0}
    return dict.fromkeys(COLUMNS, 0.0) | found | bounds | more


def note(judged: pd.DataFrame, rows: list[dict[str, object]], name: str) -> Definition:
    notes = remedy_notes(judged, pd.DataFrame(rows, columns=COLUMNS))
    assert len(notes) == len(KINDS)
    return next(each for each in notes if each.name == name)


# The activations


def test_the_activations_of_the_results_come_in_the_suite_order_even_one_that_does_not_vary() -> None:
    for suite, shown in (
        (SMALL, ["sigmoid: φ(z) = 1 / (1 + exp(−z))", "relu: φ(z) = max(0, z)", "tanh: φ(z) = tanh(z)"]),
        (EXPLODING, ["linear: φ(z) = z"]),
    ):
        found = chapter(section, suite).figure("activations")
        assert [panel.title for panel in found.panels] == shown


@pytest.mark.parametrize(
    ("name", "settings", "edges"),
    [
        ("linear", {}, []),
        ("relu", {}, [(-5.0, 0.0)]),
        ("leaky_relu", {"negative_slope": 0.1}, [(-5.0, 0.0)]),
        ("leaky_relu", {"negative_slope": 0.3}, []),
        # phi' = s (1 - s) = 0.05 at s = (1 + sqrt(0.8)) / 2, z = log(s / (1 - s)) = 2.887
        ("sigmoid", {}, [(-5.0, -2.9), (2.9, 5.0)]),
        # 1 - tanh^2 = 0.2 at atanh(sqrt(0.8)) = 1.444
        ("tanh", {}, [(-5.0, -1.5), (1.5, 5.0)]),
    ],
)
def test_saturation_begins_where_the_closed_form_says(
    name: str, settings: dict[str, object], edges: list[tuple[float, float]]
) -> None:
    rows = curve(activation(name, settings))
    found = spans(rows["z"].to_numpy(), rows["saturated"].to_numpy())
    assert np.asarray(found) == pytest.approx(np.asarray(edges), abs=1e-6)
    assert rows["slope"].isna().sum() == (1 if "relu" in name else 0)  # a line that jumps is broken there


def test_plugins_have_no_formula_and_the_page_says_so() -> None:
    group = activation_charts(["outside:snake(k=2)", "tanh"])
    assert group is not None
    assert len(group.panels) == 1
    assert "outside:snake(k=2)" in group.captions[-1]
    assert activation_charts(["outside:snake"]) is None
    assert activation_charts([]) is None


def test_a_panel_names_both_lines_and_hatches_what_is_saturated() -> None:
    group = activation_charts(["relu", "linear"])
    assert group is not None
    relu, linear = (panel.svg for panel in draw_figure(group).panels)
    assert "φ′" in relu and "var(--series-1)" in relu and "stroke-dasharray" in relu
    assert "<pattern" in relu and "<pattern" not in linear
    assert "Saturated: z from −5 to 0." in relu and "Saturated: none." in linear


# The remedies


def test_counts_intervals_and_losses_of_the_levels_of_a_kind_are_told() -> None:
    judged = runs(activation=["tanh", "relu", "gelu", "sigmoid"])
    rows = [row("activation", "relu", 40, 8, diverged=2), row("activation", "gelu", 40, 4)]
    rows.append(row("activation", "sigmoid", 10, 9))  # of no kind of this name
    said = note(judged, rows, "The relu family").here
    assert said == (
        "Runs with vanishing gradients that did not learn: with relu 8 of 40 learned (10–30 %), and 2 diverged. "
        "With gelu 4 of 40 learned (10–30 %)."
    )


def test_each_pathology_has_a_sentence_and_no_rescue_is_said() -> None:
    judged = runs(clipping=["none", "norm(threshold=2)"])
    rows = [
        row("clipping", "norm(threshold=2)", 30, 0),
        row("clipping", "norm(threshold=2)", 30, 9, pathology="exploding"),
        row("clipping", "norm(threshold=2)", 3, 0, pathology="collapsed", rate_lower=0.0, rate_upper=0.56),
    ]
    assert note(judged, rows, "Gradient clipping").here == (
        "Runs with vanishing gradients that did not learn: with norm(threshold=2) 0 of 30 learned (10–30 %). "
        "Runs with exploding gradients that did not learn: with norm(threshold=2) 9 of 30 learned (10–30 %). "
        "Runs with collapsed activations that did not learn: with norm(threshold=2) 0 of 3 learned (0–56 %). "
        "That is too few to tell."
    )


def test_what_was_not_tried_or_cannot_be_told_is_said() -> None:
    judged = runs(skip=["none", "residual"])
    assert note(judged, [], "Skip connections").here.startswith("These data cannot tell")
    untried = note(judged, [], "Gradient clipping")
    assert (untried.value, untried.here) == ("not tried here", "")
    held = note(judged, [], "He initialization")
    assert held.here == "Every run of this suite had he_normal, so there is nothing to compare it with."
    assert held.value == ""


def test_what_was_tried_comes_first() -> None:
    notes = remedy_notes(runs(skip=["none", "residual"]), pd.DataFrame(columns=COLUMNS))
    tried = ["The relu family", "He initialization", "Skip connections"]
    assert [each.name for each in notes if each.here] == tried == [each.name for each in notes[:3]]


def test_the_kinds_name_levels_of_the_catalogue_and_miss_no_normalization_or_optimizer() -> None:
    for kind in KINDS:
        known = {level.name for level in FACTORS[kind.factor].levels}
        assert set(kind.levels) <= known, kind.name
        assert kind.factor in TABLES["runs"].columns
    for factor in ("normalization", "optimizer"):
        told = {level for kind in KINDS if kind.factor == factor for level in kind.levels}
        assert {level.name for level in FACTORS[factor].levels} - told <= {"none", "sgd"}


def test_the_numbers_of_depth_are_those_of_the_deepest_network() -> None:
    text = chapter(section, SMALL).of(Definitions)[0].items[1].meaning
    assert "40 hidden layers" in text
    assert "9.1·10⁻⁷ of it" in text  # 0.7 ** 39
    assert "500,000 times" in text  # 1.4 ** 39
