"""Maps of the gradient norm by layer and step: planted norms, losses, and the pixels they become."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from bench.analysis.curves import layer_step
from bench.report.axes import Axis, Facets, LineLayout
from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import broken
from bench.report.charts.heatmap import colour_bar, draw, draw_tiles
from bench.report.render import draw_figure
from bench.report.sections.gradients import PANELS, heatmaps
from tests.dry_results import EXPLODING, SMALL
from tests.report.pages import frames

DEPTH, STEPS = 5, (0, 1, 2, 4, 8)
SCALE = Scale("step", "layer", x_limits=(-4.0, 4.0))


def runs(count: int = 3, **columns: object) -> pd.DataFrame:
    ids = [f"r{index}" for index in range(count)]
    return pd.DataFrame({"run_id": ids, "status": "completed", "depth": DEPTH, "cell": "a"}).assign(**columns)


def norms(judged: pd.DataFrame, last: dict[str, int] | None = None) -> pd.DataFrame:
    """10 ** (step - layer + k) of run k at each step up to its last, and an enormous head."""
    rows = [
        (run, step, layer, "head" if layer == DEPTH else f"hidden_{layer}", 1e30 if layer == DEPTH else value)
        for k, run in enumerate(judged["run_id"])
        for step in STEPS
        if step <= (last or {}).get(run, STEPS[-1])
        for layer in range(DEPTH + 1)
        for value in [10.0 ** (step - layer + k)]
    ]
    return pd.DataFrame(rows, columns=["run_id", "step", "layer_index", "layer_name", "preactivation_grad_norm"])


def at(frame: pd.DataFrame, step: int, layer: int) -> pd.Series:
    return frame[(frame["step"] == step) & (frame["layer_index"] == layer)].iloc[0]


# The frame


@pytest.mark.parametrize("kind", ["str", "category"])
def test_the_median_over_the_judged_runs_in_decades_without_the_head(kind: str) -> None:
    judged = runs()
    table = norms(judged).astype({"run_id": kind})
    found = layer_step({"gradient_norms": table}, judged, ["cell"])
    assert list(found.columns) == ["cell", "step", "layer_index", "median", "measured", "lost"]
    assert len(found) == len(STEPS) * DEPTH
    assert found["median"].to_numpy() == pytest.approx((found["step"] - found["layer_index"] + 1).to_numpy())
    assert (found["measured"] == 3).all() and (found["lost"] == 0).all()
    alone = layer_step({"gradient_norms": table}, judged[:1], ["cell"])
    assert at(alone, 4, 2)["median"] == pytest.approx(2.0)


def test_a_lost_run_counts_as_lost_after_its_last_step() -> None:
    judged = runs(status=["completed", "completed", "diverged"])
    found = layer_step({"gradient_norms": norms(judged, {"r2": 1})}, judged, ["cell"])
    assert at(found, 1, 0)[["median", "measured", "lost"]].tolist() == pytest.approx([2.0, 3, 0])
    assert at(found, 2, 0)[["median", "measured", "lost"]].tolist() == pytest.approx([2.5, 2, 1])


def test_a_nan_on_the_way_out_is_a_loss_and_infinities_and_zeros_rank() -> None:
    judged = runs(status=["completed", "completed", "diverged"])
    table = norms(judged, {"r2": 1})
    norm, others = table.columns[-1], table["run_id"] != "r0"
    table.loc[(table["run_id"] == "r2") & (table["step"] == 1) & (table["layer_index"] == 0), norm] = np.nan
    table.loc[others & (table["step"] == 0), norm] = np.inf
    table.loc[others & (table["step"] == 4), norm] = 0.0
    found = layer_step({"gradient_norms": table}, judged[1:], ["cell"])
    assert at(found, 1, 0)[["measured", "lost"]].tolist() == [1, 1]
    assert at(found, 1, 1)[["measured", "lost"]].tolist() == [2, 0]
    assert at(found, 0, 1)["median"] == np.inf
    assert at(found, 4, 1)["median"] == -np.inf


def test_groups_without_any_row_are_kept_with_their_losses() -> None:
    judged = runs(status=["completed", "failed", "failed"], cell=["a", "b", "b"])
    table = norms(judged)
    found = layer_step({"gradient_norms": table[table["run_id"] == "r0"]}, judged, ["cell"])
    failed = found[found["cell"] == "b"]
    assert len(failed) == len(STEPS) * DEPTH
    assert failed["median"].isna().all() and (failed["measured"] == 0).all() and (failed["lost"] == 2).all()


def test_a_shallow_group_has_only_its_own_layers_and_a_short_one_is_not_lost() -> None:
    judged = runs(2, cell=["a", "b"], depth=[DEPTH, 2])
    table = norms(judged, {"r1": 2})
    shallow = table[(table["run_id"] == "r0") | (table["layer_index"] < 2)]
    found = layer_step({"gradient_norms": shallow}, judged, ["cell"])
    short = found[found["cell"] == "b"]
    assert sorted(short["layer_index"].unique()) == [0, 1]
    assert at(short, 8, 0)[["measured", "lost"]].tolist() == [0, 0]


def test_thinning_keeps_both_ends() -> None:
    judged = runs()
    found = layer_step({"gradient_norms": norms(judged)}, judged, ["cell"], most_steps=3, most_layers=2)
    assert sorted(found["step"].unique()) == [0, 2, 8]
    assert sorted(found["layer_index"].unique()) == [0, DEPTH - 1]


def test_nothing_recorded_gives_an_empty_frame() -> None:
    judged = runs()
    for table in (norms(judged)[:0], norms(judged).assign(run_id="other")):
        found = layer_step({"gradient_norms": table}, judged, ["cell"])
        assert found.empty
        assert list(found.columns) == ["cell", "step", "layer_index", "median", "measured", "lost"]


# The drawing


def panel(medians: np.ndarray, lost: np.ndarray | None = None) -> Panel:
    """Medians [layers, steps] of two runs, with losses of them."""
    layer, step = np.indices(medians.shape)
    gone = np.zeros(medians.shape, int) if lost is None else lost
    columns = {"step": step, "layer_index": layer, "median": medians, "measured": 2 - gone, "lost": gone}
    return Panel("planted", pd.DataFrame({name: values.ravel() for name, values in columns.items()}))


def matrix(svg: str) -> tuple[float, ...]:
    """The image's transform: pixel width, 0, 0, pixel height, left, and top or bottom."""
    found = re.search(r'transform="matrix\(([^)]*)\)"', svg)
    assert found
    return tuple(map(float, found.group(1).split()))


def corners(svg: str, name: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the path in a named group."""
    found = re.search(rf'id="{name}"><path d="([^"]*)"', svg)
    assert found
    return extent(found.group(1))


def extent(path: str) -> tuple[float, float, float, float]:
    numbers = np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2)
    return (*numbers.min(axis=0), *numbers.max(axis=0))


def pixels(svg: str) -> np.ndarray:
    found = re.search(r'data:image/png;base64,([^"]+)"', svg)
    assert found
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(found.group(1))), format="png")


def test_one_pixel_a_cell_with_the_input_at_the_bottom() -> None:
    svg = draw(panel(np.linspace(-4.0, 4.0, 12).reshape(3, 4)), SCALE).svg  # layer 0 has the lowest
    image = pixels(svg)
    assert image.shape[:2] == (3, 4)
    assert (image[..., 3] == 1.0).all()
    light = image[..., :3].mean(axis=2)  # viridis gets lighter with the value
    upwards = matrix(svg)[3] < 0.0  # the first row of the image is the lowest of the map
    assert (np.diff(light if upwards else light[::-1], axis=0) > 0.0).all()
    assert (np.diff(light, axis=1) > 0.0).all()


@pytest.mark.parametrize("shape", [(32, 24), (31, 20), (7, 11), (1, 1)])
def test_the_map_fills_its_axes(shape: tuple[int, int]) -> None:
    rows, columns = shape
    svg = draw(panel(np.zeros(shape)), SCALE).svg
    width, _, _, height, left, bottom = matrix(svg)
    box = corners(svg, "patch_2")
    assert left == pytest.approx(box[0], abs=0.11) and left + columns * width == pytest.approx(box[2], abs=0.11)
    assert bottom == pytest.approx(box[3], abs=0.11) and bottom + rows * height == pytest.approx(box[1], abs=0.11)


def test_the_hatch_lies_on_the_lost_cells() -> None:
    lost = np.zeros((4, 5), int)
    lost[:, 3:] = 2
    lost[0, 1] = 2
    svg = draw(panel(np.zeros((4, 5)), lost), SCALE).svg
    left, top, right, bottom = corners(svg, "patch_2")
    width, height = (right - left) / 5, (bottom - top) / 4
    hatch = re.findall(r'<path d="([^"]*)"[^>]*url\(#', svg)
    assert len(hatch) == 1
    boxes = [extent(part) for part in hatch[0].split("z") if part.strip()]
    assert boxes == [
        pytest.approx((left + width, bottom - height, left + 2 * width, bottom), abs=0.3),
        pytest.approx((left + 3 * width, top, right, bottom), abs=0.3),
    ]


def test_what_is_beyond_the_colours_has_the_nearer_end_and_equal_norms_equal_colours() -> None:
    image = pixels(draw(panel(np.array([[-np.inf, -4.0, -4.5, 0.0, 4.0, np.inf]])), SCALE).svg)[0]
    assert (image[0] == image[1]).all() and (image[1] == image[2]).all() and (image[4] == image[5]).all()
    assert (image[0] != image[3]).any() and (image[3] != image[4]).any()


def test_lost_cells_are_clear_and_hatched_unmeasured_ones_only_clear() -> None:
    medians = np.zeros((2, 3))
    lost = np.array([[0, 1, 2], [0, 1, 2]])
    drawing = draw(panel(medians, lost), SCALE)
    assert pixels(drawing.svg)[..., 3].tolist() == [[1.0, 1.0, 0.0]] * 2  # one lost, one left: still a colour
    assert drawing.svg.count("<pattern") == 1
    assert "more runs lost than left from step 2" in drawing.text
    medians[0, 0] = np.nan
    unmeasured = draw(panel(medians), SCALE)
    assert (pixels(unmeasured.svg)[..., 3] == 0.0).sum() == 1
    assert "<pattern" not in unmeasured.svg


def test_the_text_tells_both_ends() -> None:
    text = draw(panel(np.array([[-3.0, -1.0], [0.0, 0.5]])), SCALE).text
    assert text.startswith("planted. Gradient norm: step 0: 10⁻³ nearest the input, 1 at the last")
    assert "step 1: 0.1 nearest the input, 3.2" in text


def test_a_map_is_small() -> None:
    noise = np.random.default_rng(0).normal(size=(32, 24))
    assert len(draw(panel(noise), SCALE).svg) < 8_000  # noise, which nothing compresses
    assert len(draw(panel(np.linspace(-4, 4, 768).reshape(32, 24)), SCALE).svg) < 6_000


def test_an_empty_panel_and_one_cell_are_drawn() -> None:
    empty = Panel("", panel(np.zeros((1, 1))).rows[:0])
    assert "nothing was measured" in draw(empty, SCALE).text
    ElementTree.fromstring(draw(panel(np.zeros((1, 1))), SCALE).svg)


def test_the_colour_bar_says_its_range() -> None:
    bar = colour_bar(SCALE)
    assert "from 10⁻⁴ to 10⁴" in bar.text
    width, _, _, _, left, _ = matrix(bar.svg)
    box = corners(bar.svg, "patch_2")
    assert left + 64 * width == pytest.approx(box[0] + (box[2] - box[0]) / 1.6, abs=0.2)
    assert ">10⁻⁴<" in bar.svg and ">10⁴<" in bar.svg and "more runs lost than left" in bar.svg


# The group


@pytest.mark.parametrize("suite", [SMALL, EXPLODING])
def test_a_suite_gives_a_map_a_cell_on_one_scale(suite: str) -> None:
    made = frames(suite)
    axes, judged, layout = made.axes, made.labelled, made.lines
    group = heatmaps(made.tables, judged, layout)
    cells = [layout.colour, *layout.facets.axes]
    assert len(group.panels) == np.prod([len(axis.levels) for axis in cells if axis])
    low, high = group.scale.x_limits
    assert low == int(low) and high == int(high) and 2 <= high - low <= 16
    assert len({each.name for each in group.panels}) == len(group.panels)
    assert len(draw_figure(group).panels) == len(group.panels)
    lost = int((judged[judged["depth"] == axes[0].levels[-1]]["status"] != "completed").sum())
    assert f"{lost} runs of " in group.captions[0]


def test_too_many_cells_hold_an_axis_and_say_so() -> None:
    first = Axis("activation", tuple("abcdefg"), numeric=False)
    second = Axis("initializer", ("p", "q", "r"), numeric=False)
    third = Axis("skip", ("residual", "none"), numeric=False)
    cells = [(a, b, c) for a in first.levels for b in second.levels for c in third.levels]
    judged = runs(len(cells)).assign(
        **dict(zip(("activation", "initializer", "skip"), zip(*cells, strict=True), strict=True))
    )
    layout = LineLayout(first, Facets((second, third)), (), ())
    group = heatmaps({"gradient_norms": norms(judged)}, judged, layout)
    assert len(group.panels) == 21 <= PANELS
    assert group.captions[-1] == "Shown: no skip connection."
    assert [each.name for each in group.panels[:8]] == [f"{a} · p" for a in "abcdefg"] + ["a · q"]


def test_nothing_varies_and_nothing_recorded() -> None:
    judged = runs()
    layout = LineLayout(None, Facets(()), (), ())
    assert len(heatmaps({"gradient_norms": norms(judged)}, judged, layout).panels) == 1
    empty = heatmaps({"gradient_norms": norms(judged)[:0]}, judged, layout)
    assert empty.scale.x_limits == (-1.0, 1.0)
    draw_figure(empty)


# Names of levels


NAMES = {
    "relu": "relu",
    "-0.3": "-0.3",
    "random_normal(stddev=0.3)": "random_normal\n(stddev=0.3)",
    "batch_normalization(momentum=0.99)": "batch_normalization\n(momentum=0.99)",
    "my.mod:thing of (a=1, b=2)": "my.mod:thing of (a=\n1, b=2)",
    "x" * 90: f"{'x' * 20}\n{'x' * 20}\n{'x' * 19}…",
}


def test_a_name_is_broken_where_its_parts_meet() -> None:
    assert {name: broken(name) for name in NAMES} == NAMES


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize("names", [list(NAMES), ["x" * 90], ["relu", "tanh"]])
def test_tiles_leave_room_for_names_of_any_length(names: list[str]) -> None:
    rows = pd.DataFrame([{"x": x, "y": y, "learned": 1, "runs": 3} for x in names for y in names])
    drawn = draw_tiles(
        Panel("", rows), Scale("activation", "initializer", x_levels=tuple(names), y_levels=tuple(names))
    )
    root = ElementTree.fromstring(drawn.svg)
    assert [each.text for each in root.iter() if each.text == "1/3"] == ["1/3"] * len(rows)
