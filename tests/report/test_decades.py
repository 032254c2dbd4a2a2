"""Logarithmic axes have real numbers at their ticks, and a thinned path looks like the whole one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.report.axes import Axis, Facets, LineLayout
from bench.report.charts.decades import said, thinned, ticks
from bench.report.sections.flow import flow_of

TICKS = {
    (-31.2, 4.0): ["10⁻³⁰", "10⁻²⁰", "10⁻¹⁰", "1"],
    (-4.0, 2.3): ["10⁻⁴", "10⁻²", "1", "10²"],
    (-2.1, 0.4): ["10⁻²", "0.1", "1"],
    (-0.4, 0.8): ["0.5", "1", "2", "5"],
    (-0.9, 0.9): ["0.2", "0.5", "1", "2", "5"],
    (-1.5, 0.4): ["0.1", "0.3", "1"],
    (0.01, 0.02): [],
    (-300.0, 300.0): ["10⁻²⁰⁰", "1", "10²⁰⁰"],
}


@pytest.mark.parametrize(("limits", "labels"), TICKS.items())
def test_ticks_are_few_and_read_as_numbers(limits: tuple[float, float], labels: list[str]) -> None:
    places = ticks(*limits)
    assert [said(place) for place in places] == labels
    assert all(limits[0] <= place <= limits[1] for place in places)


@pytest.mark.parametrize("tolerance", [1e-9, 0.05, 0.5])
def test_a_thinned_path_passes_every_point_within_the_tolerance(tolerance: float) -> None:
    x = np.arange(200.0)
    y = np.cumsum(np.random.default_rng(0).normal(0.0, 0.1, 200))
    kept = thinned(x, y, tolerance)
    assert {0, 199} <= set(kept.tolist())
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() <= tolerance + 1e-12
    assert (len(kept) < 100) == (tolerance > 0.1)
    assert thinned(x, 2.0 * x, tolerance).tolist() == [0, 199]


ACTIVATION = Axis("activation", ("tanh", "relu", "gelu"), numeric=False)
START = Axis("initializer", ("zeros", "glorot_uniform"), numeric=False)
FLOWS = {  # the first layer's norm of tanh, relu and gelu; 1 at the last of 3
    (2.0, 1e-5, 1e3): (
        "Only tanh keeps the gradient over 3 layers (glorot_uniform)",
        "Over 3 layers tanh keeps the gradient (× 2); relu ÷ 100,000 and gelu × 1,000, with glorot_uniform.",
    ),
    (1.0, 10.0, 0.1): (
        "All 3 activations keep the gradient over 3 layers (glorot_uniform)",
        "Over 3 layers tanh (× 1), relu (× 10) and gelu (÷ 10) keep the gradient, with glorot_uniform.",
    ),
    (0.0, 11.0, np.inf): (
        "No activation keeps the gradient over 3 layers (glorot_uniform)",
        "Over 3 layers no activation keeps the gradient: tanh to 0, relu × 11 and gelu to ∞, with glorot_uniform.",
    ),
}


@pytest.mark.parametrize(("firsts", "told"), FLOWS.items())
def test_what_keeps_the_gradient_is_said_of_kerass_defaults(firsts: tuple[float, ...], told: tuple[str, str]) -> None:
    rows = [
        (name, start, layer, norm)
        for name, first in zip(ACTIVATION.levels, firsts, strict=True)
        for start in START.levels
        for layer, norm in enumerate((first if start == "glorot_uniform" else 7.0, 1.0, 1.0))
    ]
    profile = pd.DataFrame(rows, columns=["activation", "initializer", "layer_index", "median"])
    flow = flow_of(profile, LineLayout(ACTIVATION, Facets((START,)), (), ()))
    assert flow is not None
    assert (flow.title(), flow.sentence()) == told


def test_one_network_and_none_measured() -> None:
    profile = pd.DataFrame({"layer_index": [0, 1], "median": [1e-3, 1.0]})
    flow = flow_of(profile, LineLayout(None, Facets(()), (), ()))
    assert flow is not None
    assert flow.sentence() == "Over 2 layers the gradient changes ÷ 1,000."
    assert flow_of(profile.assign(median=np.nan), LineLayout(None, Facets(()), (), ())) is None
