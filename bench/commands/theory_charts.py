"""The pictures of `bench theory`: a predicted profile with its band, and maps of where networks train."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.errors import BenchError, ResultsError
from bench.theory import DenseNetwork, LagProfile, Nonlinearity, Profile, critical_point, moments
from bench.theory.activations import Array
from bench.theory.lags import LEFT
from bench.theory.maps import growth_map
from bench.theory.trajectory import HIGHEST, LOWEST, gain_rates

INK, BAND, SECOND, GRID = "#1f3b6f", "#9db7e0", "#b4501e", "#d9d9d9"
DEPTHS = np.unique(np.round(np.geomspace(2, 200, 60)).astype(int))


def draw_profile(found: Profile, title: str, path: Path) -> None:
    """Write the predicted gradient norms by layer with their band, and below them the mean square and chi.

    Raises:
        ResultsError: the file cannot be written.
    """
    figure, axes = plt.subplots(2, 1, figsize=(7.2, 6.4), sharex=True, height_ratios=(3, 2), layout="constrained")
    layers = np.arange(found.depth)
    top, below = axes
    top.fill_between(
        layers, found.preactivation_low, found.preactivation_high, color=BAND, alpha=0.6, lw=0, label="95 % of networks"
    )
    top.plot(layers, found.preactivation, color=INK, lw=1.8, label="infinite width")
    mean = found.preactivation + found.preactivation_shift
    if np.nanmax(np.abs(np.nan_to_num(found.preactivation_shift))) > 0.02:
        top.plot(layers, mean, color=INK, lw=1.2, ls="--", label="mean at this width")
    low, high = top.get_ylim()
    for limit in (LOWEST, HIGHEST):
        if low < limit < high or abs(limit) < 2.5 * max(abs(low), abs(high)):
            top.axhline(limit, color=SECOND, lw=1, ls=":", label="trainable limits" if limit == LOWEST else None)
    top.set_ylabel("log10 gradient norm, relative to\nthe last hidden layer")
    top.set_title(title, loc="left", fontsize=11, wrap=True)
    top.legend(frameon=False, fontsize=9, loc="best")
    below.plot(layers, found.chi, color=INK, lw=1.8, label="χ: growth of the squared norm per layer back")
    below.plot(layers, found.mean_square, color=SECOND, lw=1.5, ls="--", label="q: mean square of the pre-activation")
    below.plot(layers, found.pair_correlation, color="#3a7d44", lw=1.5, ls="-.", label="correlation of two samples")
    below.set_yscale("log")
    below.set_ylim(bottom=max(below.get_ylim()[0], 1e-3))
    below.set_ylabel("χ, q, correlation")
    below.set_xlabel("hidden layer (0 nearest the input)")
    below.legend(frameon=False, fontsize=9, loc="best")
    for axis in axes:
        plain(axis)
    save(figure, path)


def draw_lags(found: LagProfile, title: str, horizon: int | None, path: Path) -> None:
    """Write the predicted gradient norms by lag, with the horizon where it lies among them.

    Raises:
        ResultsError: the file cannot be written.
    """
    figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    lags = np.arange(len(found.state))
    own = found.hidden is None
    axis.plot(lags, found.state, color=INK, lw=1.8, label="state" if own else "cell state c, way through h included")
    if found.hidden is not None:
        axis.plot(lags, found.hidden, color=SECOND, lw=1.5, ls="--", label="hidden state h")
    axis.axhline(np.log10(LEFT), color=SECOND, lw=1, ls=":", label=f"{100 * LEFT:g} % left")
    if horizon is not None and horizon < len(lags):
        axis.axvline(horizon, color=INK, lw=1.0, ls=":", label=f"horizon: {horizon}")
    axis.set_ylabel("log10 gradient norm, relative to lag 0")
    axis.set_xlabel("lag: steps back from the loss")
    axis.set_title(title, loc="left", fontsize=11, wrap=True)
    axis.legend(frameon=False, fontsize=9, loc="best")
    plain(axis)
    save(figure, path)


def draw_variance_map(phi: Nonlinearity, path: Path, points: int = 61) -> None:
    """Write the map over weight and bias variance: the gradient's growth at the fixed point, and the critical line.

    Raises:
        ResultsError: the file cannot be written.
    """
    try:
        critical = critical_point(phi).weight_stddev ** 2
    except BenchError:
        critical = 2.0
    weights, biases = np.linspace(0.05, 2.5, points) * critical, np.linspace(0.0, 0.5, max(points // 3, 2))
    chi = growth_map(phi, weights, biases)
    figure, axis = _heat_map((weights, biases, chi), 2.0, "ln χ at the fixed point")
    line = np.array([_critical(phi, q) for q in np.geomspace(1e-6, 1e4, 400)])
    inside = (line[:, 1] >= -1e-9) & (line[:, 0] <= weights[-1]) & (line[:, 1] <= biases[-1])
    if inside.any():
        kept = line[inside]
        kept = kept if np.ptp(kept[:, 1]) > 1e-6 else np.array([[kept[0, 0], 0.0]])
        axis.plot(
            kept[:, 0], kept[:, 1], "k-" if len(kept) > 1 else "ko", lw=1.8, label="critical: χ = 1", clip_on=False
        )
        axis.legend(frameon=True, fontsize=9, loc="upper left")
    axis.set_xlabel("weight variance σ_w² = fan_in Var(W)")
    axis.set_ylabel("bias variance σ_b²")
    axis.set_title(f"{phi.name}: gradients vanish (blue), explode (red)", loc="left", fontsize=11)
    plain(axis, grid=False)
    axis.set_ylim(0.0, biases[-1])
    save(figure, path)


def draw_gain_map(network: DenseNetwork, title: str, input_mean_square: float, path: Path) -> None:
    """Write the map over depth and gain, a factor on the initializer's standard deviation.

    Raises:
        ResultsError: the file cannot be written.
    """
    gains = np.geomspace(0.3, 3.0, 41)
    total = gain_rates(network, gains, int(DEPTHS[-1]), input_mean_square)[:, DEPTHS - 1]
    figure, axis = _heat_map((DEPTHS, gains, total), 6.0, "log10 gradient norm, first over last hidden layer")
    lines = axis.contour(DEPTHS, gains, total, levels=[LOWEST, HIGHEST], colors="k", linewidths=1.2)
    handles, _ = lines.legend_elements()
    names = [f"{LOWEST:g}: below, gradients vanish", f"{HIGHEST:g}: above, they explode"]
    axis.legend(handles, names, fontsize=9, loc="upper left")
    axis.axhline(1.0, color="k", lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([2, 5, 10, 20, 50, 100, 200], labels=["2", "5", "10", "20", "50", "100", "200"])
    axis.set_yticks([0.3, 0.5, 0.7, 1, 1.5, 2, 3], labels=["0.3", "0.5", "0.7", "1", "1.5", "2", "3"])
    axis.minorticks_off()
    axis.set_xlabel("hidden layers")
    axis.set_ylabel("gain on the initializer's standard deviation")
    axis.set_title(f"{title}: trainable between the lines", loc="left", fontsize=11, wrap=True)
    plain(axis, grid=False)
    save(figure, path)


def _heat_map(data: tuple[Array, Array, Array], limit: float, label: str) -> tuple[Figure, Axes]:
    """A map of x, y and values [y, x], blue below 0, red above, its colours clipped at the limit, named by its bar."""
    x, y, values = data
    figure, axis = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    mesh = axis.pcolormesh(x, y, np.clip(values, -limit, limit), cmap="RdBu_r", vmin=-limit, vmax=limit)
    mesh.set_rasterized(True)
    figure.colorbar(mesh, ax=axis, extend="both").set_label(label)
    return figure, axis


def _critical(phi: Nonlinearity, q: float) -> tuple[float, float]:
    at = moments(phi, float(q), 16)
    return 1.0 / at.slope_square, q - at.square / at.slope_square


def plain(axis: Axes, *, grid: bool = True) -> None:
    """Axes without a frame, with a grid."""
    axis.spines[["top", "right"]].set_visible(False)
    if grid:
        axis.grid(color=GRID, lw=0.6)
        axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write the picture.

    Raises:
        ResultsError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        plt.close(figure)
