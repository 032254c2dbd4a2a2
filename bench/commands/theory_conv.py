"""`bench theory --architecture conv`: a convolutional network by layer and position, as a table and a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.commands.theory import MOST_ROWS, PIPED, critical_line, in_decades, picture_path, title
from bench.errors import SuiteError
from bench.text import number
from bench.theory import ConvNetwork, ConvProfile, conv_network_of, conv_profile, leak_rate
from bench.theory.activations import Array
from bench.theory.convnets import CIRCULAR, SAME
from bench.theory.profile import HALF_LOG10

NAMED = ("activation", "initializer", "padding", "normalization", "skip")


@dataclass(frozen=True)
class ConvQuestion:
    """What the command line asked of a convolutional network.

    Attributes:
        levels: factor to label, as `conv_network_of` takes them.
        positions: of a sample, as `8x8` or `40`.
        channels: of a sample; None: as many as filters.
        input_mean_square: of the inputs.
        out: the picture's file; None: a name of its own under reports/theory/.
    """

    levels: Mapping[str, object]
    positions: str = "8x8"
    channels: int | None = None
    input_mean_square: float = 1.0
    out: Path | None = None


def show_conv(question: ConvQuestion, console: Console | None = None) -> None:
    """Print the predicted profile by layer, and write and name its picture.

    Raises:
        SuiteError: a level that does not exist, or that does not fit the positions.
        BenchError: what the theory does not cover: not predicted, and why.
    """
    from bench.commands.theory_layer_charts import draw_conv

    console = console or Console(width=None if sys.stdout.isatty() else PIPED)
    width = int(str(question.levels["width"]))
    network = conv_network_of(question.levels, (*_axes(question.positions), question.channels or width))
    found = conv_profile(network, question.input_mean_square)
    around = conv_profile(replace(network, padding=CIRCULAR), question.input_mean_square) if _leaks(network) else None
    heading = f"{title(question.levels)}, {network.width} filters of {network.kernel_size}, {network.padding} padding"
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(found))
    console.print(
        "q: mean square of the pre-activation. gradient: log10 of the norm for the pre-activation, of all positions, "
        "over that of the last layer. corner: the square in the corner over the mean of all positions.",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    for line in (*_lines(network, found, around), critical_line(network.phi)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    path = picture_path(question.out, ("conv", *(str(question.levels.get(name) or "") for name in NAMED)))
    draw_conv(found, around, heading, path)
    print(path)


def _axes(written: str) -> tuple[int, ...]:
    """The positions along each axis.

    Raises:
        SuiteError: neither a number nor two.
    """
    parts = written.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
        raise SuiteError(f'--positions: "{written}" is no size: write 8x8 for an image, 40 for a sequence.')
    return tuple(map(int, parts))


def _leaks(network: ConvNetwork) -> bool:
    """Whether zeros around the image take a part."""
    return network.padding == SAME and network.kernel_size > 1 and not network.centered


def _table(found: ConvProfile) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "positions", "σ_w²", "q", "q corner", "gradient", "gradient corner"):
        table.add_column(name, justify="right", no_wrap=True)
    depth = len(found.q)
    for layer in np.unique(np.linspace(0, depth - 1, min(depth, MOST_ROWS)).round().astype(int)):
        square, gradient = found.mean_square[layer], found.gradient[layer]
        table.add_row(
            str(layer), " x ".join(map(str, square.shape)), number(found.weight_variance[layer], 4),
            _known(found.q[layer]), _known(_corner(square)), f"{found.preactivation[layer] + 0.0:.3f}",
            _known(_corner(gradient)),
        )  # fmt: skip
    return table


def _known(value: float) -> str:
    return number(value) if np.isfinite(value) else "-"


def _corner(by_position: Array) -> float:
    mean = float(by_position.mean())
    return float(by_position.flat[0]) / mean if mean else float("nan")


def _lines(network: ConvNetwork, found: ConvProfile, around: ConvProfile | None) -> list[str]:
    said = [f"Gradient, first over last layer: {in_decades(found.preactivation[0])}"]
    said[0] += f"; with circular padding {in_decades(around.preactivation[0])}." if around is not None else "."
    if around is not None:
        rate = leak_rate(network.shape, network.kernel_size)
        said.append(
            f"Zeros around {' x '.join(map(str, network.shape))} positions leave {number(rate, 4)} of a square a layer "
            f"in the limit of depth: {in_decades(HALF_LOG10 * np.log(rate), 4)} of a gradient's norm."
        )
    if network.centered:
        said.append("Kernels that are 0 but for their centre mix no positions: nothing leaks, whatever the padding.")
    if network.downsample:
        said.append("Where images are halved the gradient is summed over fewer positions.")
    return said
