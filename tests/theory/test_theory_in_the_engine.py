"""Theory's numbers of convolutions and transformers, measured on networks as the engine draws and records them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from bench.analysis.layer_theory import compared_layers, compared_positions, layer_theory
from tests.cohorts import cohorts, train

pytestmark = pytest.mark.full  # a graph for each: seconds

RECORD = """
[record]
gradient_norms = { at = [0] }
activations = { at = [0] }
"""


def data(folder: Path, shape: tuple[int, ...], each: int = 0) -> str:
    """Standard normal samples of a shape with random classes, at `each` positions where that is given."""
    rng, path = np.random.default_rng(1), folder / "normal.npz"
    arrays: dict[str, np.ndarray] = {}
    for part, rows in (("train", 64), ("test", 8)):
        arrays[f"x_{part}"] = rng.standard_normal((rows, *shape)).astype("float32")
        classes = rng.permutation(np.arange(rows * max(each, 1)) % 8)
        arrays[f"y_{part}"] = classes.reshape((rows, each) if each else rows)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return f'dataset = "{path}"\nsteps = 1\n'


def over_layers(tables: dict[str, pd.DataFrame], table: str, column: str) -> np.ndarray:
    """Values [runs, layers] of hidden layers at step 0."""
    rows = tables[table]
    rows = rows[(rows["step"] == 0) & (rows["layer_name"] != "head")] if "layer_name" in rows else rows
    return rows[rows["step"] == 0].pivot_table(index="run_id", columns="layer_index", values=column).to_numpy()


class Drawn(NamedTuple):
    """Levels, and log10 |d_1| / |d_20| and q_20 / q_1 with how near 20 networks come."""

    levels: str
    initializer: str
    gradient: tuple[float, float]
    square: tuple[float, float]


ONE, TWO = (f'{{ level = "variance_scaling", scale = {scale} }}' for scale in (1.0, 2.0))
AROUND, DELTA = 'padding = "circular"\n', '"delta_orthogonal"'
CONVOLUTIONS = {
    "1": Drawn(f'{AROUND}activation = "linear"', ONE, (0.0, 0.03), (0.0, 0.05)),
    "2": Drawn('activation = "linear"', ONE, (-0.3875, 0.03), (-0.7351, 0.05)),
    "3": Drawn('activation = "relu"', TWO, (-0.3875, 0.1), (-0.735, 0.4)),
    "4": Drawn('kernel_size = 5\nactivation = "relu"', TWO, (-0.9435, 0.1), (-1.8417, 0.4)),
    "5": Drawn(f'{AROUND}activation = "relu"', ONE, (-2.860, 0.1), (-5.72, 0.4)),
    "6": Drawn(f'{AROUND}activation = "tanh"', ONE, (-0.711, 0.02), (-1.564, 0.03)),
    "7": Drawn('activation = "tanh"', ONE, (-0.965, 0.03), (-2.019, 0.04)),
    "8": Drawn('activation = "linear"', DELTA, (0.0, 1e-4), (0.0, 1e-4)),
    "9": Drawn('activation = "tanh"', DELTA, (-0.711, 0.02), (-1.564, 0.03)),
}


@pytest.mark.parametrize("drawn", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(tmp_path: Path, drawn: Drawn) -> None:
    """Numbers 1 to 9: 20 layers of 32 filters on 8 x 8, batches of 4. Of relu the ratio's mean, not its logarithm's."""
    fixed = 'architecture = "conv"\ndepth = 20\nwidth = 32\nbatch_size = 4\nhead_pool = "flatten"\n'
    (cohort,) = cohorts(
        f"initializer = [{drawn.initializer}]", f"{fixed}{drawn.levels}\n{data(tmp_path, (8, 8, 32))}", 20,
        RECORD + "positions = { at = [0] }\n",
    )  # fmt: skip
    tables = train(cohort)
    signal = over_layers(tables, "gradient_norms", "preactivation_grad_norm")
    looked = over_layers(tables, "activations", "preactivation_mean_square")
    ratio, squares = signal[:, 0] / signal[:, -1], looked[:, -1] / looked[:, 0]
    for values, power, (said, near) in ((ratio, 2.0, drawn.gradient), (squares, 1.0, drawn.square)):
        mean = np.log10(np.mean(values**power)) / power if '"relu"' in drawn.levels else np.log10(values).mean()
        assert mean == pytest.approx(said, abs=near)

    theory = layer_theory(tables)
    assert set(theory.runs["reason"]) == {""}
    found = compared_layers(tables, theory)
    first = found[(found["layer_index"] == 0) & (found["quantity"] == "gradient")]
    assert first["predicted"].mean() == pytest.approx(drawn.gradient[0], abs=0.02)
    placed = compared_positions(tables, theory).groupby(["quantity", "layer_index", "row", "column"])
    border = placed[["predicted", "measured"]].mean().loc[[("gradient", 0, 0, 0), ("mean_square", 19, 0, 0)]]
    assert border["measured"].to_numpy() == pytest.approx(border["predicted"].to_numpy(), rel=0.35)


# Numbers 19 to 22 and 24.
class Stream(NamedTuple):
    """A transformer's sizes, and what its last stream's q and rho, and the gradient's first over last, are near to."""

    block: str
    depth: int
    square: tuple[float, float] | None
    cosine: tuple[float, float] | None
    gradient: tuple[float, float] | None = None
    sizes: tuple[int, int, int] = (64, 4, 16)


STREAMS = {
    "pre_norm-4": Stream("pre_norm", 4, (3.39, 0.339), (0.445, 0.04), (0.238, 0.08)),
    "post_norm-4": Stream("post_norm", 4, None, (0.676, 0.06)),
    "deepnorm-4": Stream("deepnorm", 4, None, None, (0.0, 0.03)),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_streams(tmp_path: Path, stream: Stream) -> None:
    width, heads, tokens = stream.sizes
    (cohort,) = cohorts(
        f'block = ["{stream.block}"]',
        f'architecture = "transformer"\ndepth = {stream.depth}\nwidth = {width}\nheads = {heads}\nposition = "none"\n'
        f"batch_size = 8\n{data(tmp_path, (tokens, width), tokens)}", 4, RECORD + "attention = { at = [0] }\n",
    )  # fmt: skip
    tables = train(cohort)
    q = over_layers(tables, "activations", "preactivation_mean_square")[:, -1].mean()
    rho = over_layers(tables, "activations", "token_cosine")[:, -1].mean()
    signal = over_layers(tables, "gradient_norms", "preactivation_grad_norm")
    ratio = np.log10(signal[:, 0] / signal[:, -1]).mean()
    for measured, limits in ((q, stream.square), (rho, stream.cosine), (ratio, stream.gradient)):
        assert limits is None or measured == pytest.approx(limits[0], abs=limits[1])
