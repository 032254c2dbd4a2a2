"""The pictures of `bench theory --architecture conv` and `transformer`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.commands.theory_charts import INK, SECOND, plain, save
from bench.factors import ATTENTION
from bench.theory import ConvProfile, StreamProfile
from bench.theory.activations import Array

THIRD = "#3a7d44"


def draw_conv(found: ConvProfile, around: ConvProfile | None, title: str, path: Path) -> None:
    """Write gradient and mean square by layer, and by position the last layer's mean square and the first's gradient.

    Raises:
        ResultsError: the file cannot be written.
    """
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.4), height_ratios=(3, 2), layout="constrained")
    layers = np.arange(len(found.q))
    with np.errstate(divide="ignore"):
        squares = [np.log10(each.q / each.q[0]) for each in (found, *([around] if around else []))]
    for axis, own, other, said in (
        (axes[0, 0], found.preactivation, around and around.preactivation, "log10 gradient norm over the last layer's"),
        (axes[0, 1], squares[0], squares[-1] if around else None, "log10 mean square over the first layer's"),
    ):  # fmt: skip
        axis.plot(layers, own, color=INK, lw=1.8, label="as asked")
        if other is not None:
            axis.plot(layers, other, color=SECOND, lw=1.3, ls="--", label="circular padding")
            axis.legend(frameon=False, fontsize=9)
        axis.set_ylabel(said)
        axis.set_xlabel("layer (0 nearest the input)")
        plain(axis)
    axes[0, 0].set_title(title, loc="left", fontsize=11, wrap=True)
    for axis, values, said in (
        (axes[1, 0], found.gradient[0], "squared gradient, first layer, over its mean"),
        (axes[1, 1], found.mean_square[-1], "mean square, last layer, over its mean"),
    ):
        _by_position(axis, values / values.mean() if values.mean() else values, said)
    save(figure, path)


def _by_position(axis: Axes, values: Array, said: str) -> None:
    if values.ndim == 1:
        axis.plot(np.arange(len(values)), values, color=INK, lw=1.8)
        axis.set_xlabel("position")
        axis.set_ylim(bottom=0.0)
        plain(axis)
    else:
        mesh = axis.imshow(values, cmap="viridis", vmin=0.0)
        axis.figure.colorbar(mesh, ax=axis)
        axis.set_xticks([])
        axis.set_yticks([])
    axis.set_title(said, loc="left", fontsize=9)


def draw_streams(found: StreamProfile, title: str, path: Path) -> None:
    """Write the stream's gradient, its mean square and tokens' cosine, and attention's entropy, by sub-layer.

    Raises:
        ResultsError: the file cannot be written.
    """
    attends = np.array([kind == ATTENTION for kind in found.kinds])
    rows = 3 if attends.any() else 2
    figure, axes = plt.subplots(rows, 1, figsize=(7.2, 2.4 * rows), sharex=True, layout="constrained")
    at = np.arange(len(found.kinds))
    axes[0].plot(at, found.gradient, color=INK, lw=1.8)
    axes[0].set_ylabel("log10 gradient norm,\nover the last stream's")
    axes[0].set_title(title, loc="left", fontsize=11, wrap=True)
    axes[1].plot(at, found.mean_square, color=INK, lw=1.8, label="q: mean square of the stream")
    axes[1].plot(at, found.token_cosine, color=SECOND, lw=1.5, ls="--", label="cosine of two tokens")
    axes[1].set_yscale("log")
    axes[1].set_ylim(bottom=max(axes[1].get_ylim()[0], 1e-3))
    axes[1].legend(frameon=False, fontsize=9)
    if rows == 3:
        axes[2].plot(at[attends], found.entropy[attends], color=THIRD, lw=1.8, marker="o", ms=3)
        axes[2].set_ylabel("entropy of attention, nat")
        axes[2].set_ylim(bottom=0.0)
    axes[-1].set_xlabel("sub-layer (0 nearest the input)")
    for axis in axes:
        plain(axis)
    save(figure, path)
