"""Forest plots: each row's diamond lies where its value is, and what stands beside it is what was given."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bench.report.blocks import Panel, Scale
from bench.report.charts import CHARTS
from bench.report.charts.canvas import Drawing

SHARES = Scale("share rescued", "rescued · time", series=("relu", "tanh"))
CHANGES = Scale("change of accuracy", "change", x_limits=(-0.5, 0.5))
COLUMNS = ["row", "series", "value", "lower", "upper", "numbers"]
MARK = r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"'


def drawn(rows: list[tuple[object, ...]], scale: Scale) -> Drawing:
    return CHARTS["forest"](Panel("Vanishing", pd.DataFrame(rows, columns=COLUMNS)), scale)


def marks(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(MARK, svg)]


def test_a_mark_lies_at_its_share_with_its_series_below_it_and_numbers_beside_its_name() -> None:
    rows = [
        ("skip residual", "", 1.0, 0.8, 1.0, "56/56 · × 1.1"),
        ("no clipping", "", 0.0, 0.0, 0.2, "0/51"),
        ("no clipping", "tanh", 0.5, np.nan, np.nan, "0/51"),
    ]
    drawing = drawn(rows, SHARES)
    (right, first), (left, second), (middle, below) = marks(drawing.svg)
    assert first < second < below and middle == pytest.approx((left + right) / 2, abs=0.2)
    assert ">56/56 · × 1.1<" in drawing.svg and ">rescued · time<" in drawing.svg and ">100 %<" in drawing.svg
    assert drawing.text == (
        "Vanishing. share rescued: skip residual 100 % (80 % to 100 %; 56/56 · × 1.1); "
        "no clipping 0 % (0 % to 20 %; 0/51)."
    )


def test_a_change_has_a_sign_one_beyond_the_axis_lies_at_its_end_and_one_not_known_has_no_mark() -> None:
    rows = [("a", "", -3.0, -9.0, 9.0, ""), ("b", "", 0.5, 0.1, 0.9, ""), ("c", "", np.nan, np.nan, np.nan, "none")]
    drawing = drawn(rows, CHANGES)
    (low, _), (high, _) = marks(drawing.svg)
    assert 0.0 <= low < high <= 224.0
    assert ">−0.50<" in drawing.svg and ">+0.50<" in drawing.svg and "c (none)" in drawing.text


def test_a_long_name_leaves_room_for_its_numbers_and_many_rows_are_told_in_part() -> None:
    drawing = drawn([(f"{k} {'x' * 60}", "", 0.5, 0.4, 0.6, "12/24") for k in range(9)], SHARES)
    assert f">0 {'x' * 36}…<" in drawing.svg and "; and 3 more." in drawing.text
    assert len(drawing.svg) < 12_000
