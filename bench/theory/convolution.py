"""Convolutions at initialization, position by position: mean square forward, squared gradient backward.

A kernel of k positions along each axis has independent entries of variance sigma_w^2 / (k^d C). Sums over it are then
independent from offset to offset, so that the mean square at a position is the mean over its window, and covariances
between positions do not enter:

    q'(a) = sigma_w^2 sum_b A(a, b) E[phi^2(q(b))] + sigma_b^2,   A(a, b) = k^-d for b in the window of a, else 0;

the squared gradient goes back by A transposed and sigma_w^2 E[phi'^2(q(b))]. With circular padding A's rows sum to 1,
and every map is that of dense layers (Xiao et al. 2018, arXiv:1806.05393). Keras's `same` pads with zeros, which let
part of each window go: at the border rows sum to less, and deep networks keep lambda_max(A) of the square a layer,
however critical their weights are (derived here; A is a product over the axes). A delta-orthogonal kernel is 0 but for
an orthogonal matrix at its centre: A is the identity, whatever the padding.

Where neighbouring positions are put together by pooling, their covariance counts. A mean over p positions takes the
squared gradient's sum to 1 / p of it exactly, a maximum gives it to one of them; what passes forward is not predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

from bench.errors import BenchError
from bench.theory.activations import Array, Nonlinearity
from bench.theory.between_samples import MOST_POSITIONS, common_square, mean_products
from bench.theory.convnets import AVERAGE_POOL, BATCH, CIRCULAR, MAX_POOL, SAME, STRIDE, ConvNetwork
from bench.theory.maps import moments
from bench.theory.profile import HALF_LOG10

HALVED = 2  # positions along an axis that become one where a layer is made smaller
DIGITS = 12  # positions whose mean squares agree to as many have the same moments
KNOTS, NEARLY_NONE = 24, 1e-4  # of a spline over ln q, and what of the largest q is too small for it
EPSILON = 1e-3  # Keras's, of layer and group normalization
RMS_EPSILON = 1e-6
OVER_POSITIONS = ("layer_spatial", BATCH)  # normalizations that divide by one number for all positions


def window(size: int, kernel_size: int, padding: str = SAME, stride: int = 1) -> Array:
    """A of one axis: the share of each input position in each output position, [outputs, size].

    Args:
        size: positions of the input.
        kernel_size: k.
        padding: `same`, zeros as Keras and TensorFlow put them, or `circular`.
        stride: positions from one window to the next; with `same` TensorFlow has the odd position of padding at the
            end.
    """
    outputs, first = _windows_of(size, kernel_size, padding, stride)
    found = np.zeros((outputs, size))
    for row in range(outputs):
        for offset in range(kernel_size):
            at = first + row * stride + offset
            if padding == CIRCULAR:
                found[row, at % size] += 1.0 / kernel_size
            elif 0 <= at < size:
                found[row, at] += 1.0 / kernel_size
    return found


def _centre(size: int, kernel_size: int, padding: str, stride: int) -> Array:
    """A of a kernel whose centre alone is not 0."""
    outputs, first = _windows_of(size, kernel_size, padding, stride)
    at = first + np.arange(outputs) * stride + kernel_size // 2
    inside = (at >= 0) & (at < size) | (padding == CIRCULAR)
    found = np.zeros((outputs, size))
    found[np.arange(outputs)[inside], at[inside] % size] = 1.0
    return found


def _windows_of(size: int, kernel_size: int, padding: str, stride: int) -> tuple[int, int]:
    """How many windows there are, and at which position of the input the first begins.

    TensorFlow pads with as few zeros as its strides need, the odd one behind; circular padding is of the whole kernel.
    """
    outputs = -(-size // stride)
    missing = max((outputs - 1) * stride + kernel_size - size, 0) if padding == SAME else kernel_size - 1
    return outputs, -(missing // 2)


def leak_rate(shape: Sequence[int], kernel_size: int) -> float:
    """Share of the mean square, and of the squared gradient, that zero padding leaves a layer in the limit of depth.

    The largest eigenvalue of A along each axis, multiplied: lambda_max(A)^2 for an image. Exact for linear, relu and
    leaky_relu, whose E[phi^2] is a multiple of q; of others once q is small. Derived here.
    """
    return float(np.prod([np.linalg.eigvalsh(window(size, kernel_size))[-1] for size in shape]))


def leak(shape: Sequence[int], kernel_size: int, layers: int) -> float:
    """Share of a square, even over positions at first, that zero padding leaves after so many layers.

    The mean over positions of A^layers 1, multiplied over the axes; A is symmetric, so that it is the forward share and
    the gradient's. Exact where E[phi^2] is a multiple of q. Derived here.
    """
    found = 1.0
    for size in shape:
        shares, at = window(size, kernel_size), np.ones(size)
        for _ in range(layers):
            at = shares @ at
        found *= float(at.mean())
    return found


def spatial_mode(angles: Sequence[float], kernel_size: int) -> float:
    """lambda(theta): what circular windows leave of a pattern exp(i theta a) over positions, multiplied over the axes.

    (1 + 2 cos theta + 2 cos 2 theta ...) / k, the Fourier transform of the shares of the variance at each offset; 1 in
    every mode for a delta-orthogonal kernel (Xiao et al. 2018, sections 2.3 and 3).
    """
    offsets = np.arange(kernel_size) - kernel_size // 2
    return float(np.prod([np.mean(np.cos(angle * offsets)) for angle in angles]))


def mode_depth(angles: Sequence[float], kernel_size: int, slope: float) -> float:
    """Layers over which a pattern's deviation from the fixed point of the covariance falls by e: -1 / ln(lambda chi_c).

    Xiao et al. 2018. Negative where it grows, 0 where a layer removes it, infinite where it stays.

    Args:
        angles: theta of each axis.
        kernel_size: k.
        slope: chi_c, the slope of the correlation map at its fixed point.
    """
    kept = abs(spatial_mode(angles, kernel_size) * slope)
    with np.errstate(divide="ignore"):
        rate = np.log(kept) if kept else -np.inf
    return float(np.inf) if rate == 0.0 else float(-1.0 / rate)


@dataclass(frozen=True)
class ConvProfile:
    """Predictions at initialization in the limit of many filters; layer 0 is the stem.

    Attributes:
        mean_square: q of each layer by position; NaN behind a pool.
        gradient: squared norm of the gradient for the pre-activation by position, of each layer; those of the last
            layer sum to 1, those of the others to 10^(2 `preactivation`), up to what a float holds.
        q: [depth], mean over positions of the mean square.
        preactivation: [depth], log10 of the gradient's norm over all positions, over that of the last layer.
        weight_variance: [depth], sigma_w^2 of each kernel.
    """

    mean_square: tuple[Array, ...]
    gradient: tuple[Array, ...]
    q: Array
    preactivation: Array
    weight_variance: Array


@dataclass(frozen=True)
class _Layer:
    """One layer by position: q, and the growth of the squared gradient from what the next layer reads to z."""

    q: Array
    weight: float
    windows: tuple[Array, ...]
    growth: Array


def conv_profile(
    network: ConvNetwork, input_mean_square: Array | float = 1.0, first_mean_square: Array | None = None
) -> ConvProfile:
    """What theory predicts of a convolutional network at initialization.

    The gradient for the last layer's h is even over positions, of global average pooling as of a flattening head.

    Args:
        network: as `conv_network_of` gives it.
        input_mean_square: mean over channels and samples, one number or by position.
        first_mean_square: of the first layer's pre-activation by position, where it was measured.

    Raises:
        BenchError: not predicted; the message says why.
    """
    square = np.broadcast_to(np.asarray(input_mean_square, np.float64), network.shape)
    if not (np.isfinite(square).all() and (square >= 0.0).all() and square.max() > 0.0):
        raise BenchError("The inputs' mean square must be finite, at least 0, and above 0 somewhere.")
    _refuse(network)
    layers = _forward(network, square, first_mean_square)
    logs = _backward(network, layers)
    totals = np.array([_log_sum(each) for each in logs])
    with np.errstate(invalid="ignore"):
        relative = HALF_LOG10 * (totals - totals[-1])
        gradients = tuple(np.exp(each - totals[-1]) for each in logs)
    return ConvProfile(
        mean_square=tuple(layer.q for layer in layers),
        gradient=gradients,
        q=np.array([layer.q.mean() for layer in layers]),
        preactivation=relative,
        weight_variance=np.array([layer.weight for layer in layers]),
    )


def _refuse(network: ConvNetwork) -> None:
    if network.downsample == MAX_POOL:
        raise BenchError(
            "Not predicted: which of the positions under a maximum wins depends on how alike they are, which the "
            "theory does not follow."
        )
    if network.downsample == AVERAGE_POOL and not network.scale_free:
        raise BenchError(
            "Not predicted: the mean square behind an average pool depends on how alike the positions under it are, "
            f"and the slope of {network.phi.name} on the mean square; with relu, linear or leaky_relu and no "
            "normalization or biases the gradient is predicted."
        )
    if network.normalization == BATCH and np.prod(network.shape) > MOST_POSITIONS:
        raise BenchError(f"Not predicted: batch normalization over more than {MOST_POSITIONS} positions.")
    if network.downsample and network.skip_layers:
        raise BenchError("Not predicted: a skip connection around a layer that is made smaller.")


def _forward(network: ConvNetwork, square: Array, first: Array | None = None) -> list[_Layer]:
    """The layers from the input on; the mean square by position of what each reads comes from the one below."""
    layers: list[_Layer] = []
    batch, stream = network.normalization == BATCH, np.zeros(())
    products = np.zeros((square.size if batch else 1,) * 2)
    stream_common = common = np.zeros((1, 1))
    for at in range(network.depth):
        pooled = network.halves(at) and network.downsample == AVERAGE_POOL
        if pooled:
            square = np.full([size // HALVED for size in square.shape], np.nan)
        windows = _windows(network, at, square.shape)
        law = network.hidden if at else network.first
        reached = _apply(windows, square)
        settled = law.settled(np.asarray(reached.mean()), network.bias_variance)
        branch = float(settled) * reached + network.bias_variance
        q = branch = branch if first is None or at else first
        if batch:
            stride = _stride(network, at)
            axes = [_windows_of(size, network.kernel_size, network.padding, stride) for size in square.shape]
            common = common_square(network, products, square.shape, axes, stride)
            common = float(settled) * common + network.bias_variance
        if network.ends_block(at):
            q = stream + network.branch_scale**2 * branch
            common = stream_common + network.branch_scale**2 * common
        if at == 0 or network.ends_block(at):
            stream, stream_common = q, common
        square, growth, products = _respond(network, q, common)
        layers.append(_Layer(q, float(settled), windows, growth))
    return layers


def _stride(network: ConvNetwork, layer: int) -> int:
    return HALVED if network.halves(layer) and network.downsample == STRIDE else 1


def _windows(network: ConvNetwork, layer: int, shape: Sequence[int]) -> tuple[Array, ...]:
    stride = _stride(network, layer)
    if not network.centered:
        return tuple(window(size, network.kernel_size, network.padding, stride) for size in shape)
    return tuple(_centre(size, network.kernel_size, network.padding, stride) for size in shape)


def _apply(windows: Sequence[Array], square: Array, *, back: bool = False) -> Array:
    """A, or its transpose, along each axis."""
    for axis, shares in enumerate(windows):
        square = np.moveaxis(np.tensordot(shares.T if back else shares, square, (1, axis)), 0, axis)
    return np.asarray(square, np.float64)


def _respond(network: ConvNetwork, q: Array, common: Array) -> tuple[Array, Array, Array]:
    """E[h^2] of what the next layer reads and the growth of the squared gradient from h to z by position, and E[h h'].

    The last is of two samples at each two positions; without batch normalization it is not followed.

    A normalization of the channels at a position, or of a whole sample, divides by a number that many values make up:
    its own derivative is lost among them, and what is left is the division (as `bench.theory.normalization`, in the
    limit of many channels). Batch normalization divides by the spread around what samples have in `common`, in the
    limit of many samples (see `between_samples`); with relu and circular padding the squared gradient grows by
    pi / (pi - 1) a layer, as in dense layers (Yang et al. 2019, arXiv:1902.08129).
    """
    normalization, before = network.normalization, network.position == "before"
    epsilon = RMS_EPSILON if normalization == "rms" else EPSILON
    if normalization and before:
        if normalization == BATCH:
            return _over_batch(network.phi, q, common)
        size = np.full_like(q, q.mean()) if normalization in OVER_POSITIONS else q
        square, slope, _ = _moments(network.phi, q / (size + epsilon))
        return square, slope / (size + epsilon), common
    square, slope, mean = _moments(network.phi, q)
    if not normalization:
        return square, slope, common
    taken = np.zeros_like(q) if normalization == "rms" else mean
    spread = square - taken**2
    if normalization in OVER_POSITIONS:
        taken = np.full_like(q, mean.mean())
        spread = np.full_like(q, square.mean() - mean.mean() ** 2)
    size = spread + epsilon
    left = (square - 2.0 * taken * mean + taken**2) / size
    if normalization != BATCH:
        return left, slope / size, common
    away, off = float(taken.flat[0]), mean.ravel()
    both = mean_products(network.phi, q, mean, common) - away * (off[:, None] + off[None]) + away**2
    return left, slope / size, both / float(size.flat[0])


def _over_batch(phi: Nonlinearity, q: Array, common: Array) -> tuple[Array, Array, Array]:
    """The same of a batch normalization of z, whose means over samples and positions it takes away."""
    rows, whole = common.mean(axis=1), float(common.mean())
    size = max(float(q.mean()) - whole, 0.0) + EPSILON
    u = np.maximum(q - 2.0 * rows.reshape(q.shape) + whole, 0.0) / size
    square, slope, mean = _moments(phi, u)
    return square, slope / size, mean_products(phi, u, mean, (common - rows[:, None] - rows[None] + whole) / size)


def _moments(phi: Nonlinearity, q: Array) -> tuple[Array, Array, Array]:
    """E[phi^2], E[phi'^2] and E[phi] by position; where q is not known, those of any q.

    Images without symmetry have too many different q to ask for each: between KNOTS of them a cubic spline in ln q
    stands in, to 1e-4.
    """
    known = np.where(np.isfinite(q), q, 1.0).ravel()
    keys = np.array([float(f"{value:.{DIGITS}e}") for value in known])
    values, places = np.unique(keys, return_inverse=True)
    near = values > NEARLY_NONE * values[-1]
    if near.sum() <= KNOTS:
        found = _exact(phi, values)
    else:
        found = np.zeros((3, len(values)))
        found[:, ~near] = _exact(phi, values[~near])
        logs = np.log(values[near])
        knots = np.linspace(logs[0], logs[-1], KNOTS)
        found[:, near] = make_interp_spline(knots, _exact(phi, np.exp(knots)), axis=1)(logs)
    square, slope, mean = (each[places].reshape(q.shape) for each in found)
    return np.where(np.isfinite(q), square, np.nan), slope, mean


def _exact(phi: Nonlinearity, values: Array) -> Array:
    """The three moments at each variance, [3, values]."""
    at = [moments(phi, float(value)) for value in values]
    return np.array([[getattr(each, name) for each in at] for name in ("square", "slope_square", "mean")])


def _backward(network: ConvNetwork, layers: Sequence[_Layer]) -> list[Array]:
    """Ln of the squared gradient norm by position for each layer's pre-activation, even for h of the last."""
    with np.errstate(divide="ignore"):
        growth = [np.log(layer.growth) for layer in layers]
        weight = [float(np.log(layer.weight)) for layer in layers]
        scale = 2.0 * float(np.log(network.branch_scale))
    last = network.depth - 1
    found: list[Array] = [np.zeros(())] * network.depth
    found[last] = growth[last]
    for at in range(last - 1, -1, -1):
        read = _log_apply(layers[at + 1].windows, found[at + 1]) + weight[at + 1]
        read = read + (scale if network.ends_block(at + 1) else 0.0)
        if network.halves(at + 1) and network.downsample == AVERAGE_POOL:
            read = _unpooled(read, layers[at].q.shape)
        found[at] = growth[at] + read
        if network.skip_layers and at % network.skip_layers == 0:
            found[at] = np.logaddexp(found[at], found[min(at + network.skip_layers, last)])
    return found


def _unpooled(read: Array, shape: Sequence[int]) -> Array:
    """Behind a mean over positions each gets the same gradient, divided by their number."""
    count = 1.0
    for axis, size in enumerate(shape):
        read = np.repeat(read, HALVED, axis)
        odd = [(0, size - read.shape[axis] if at == axis else 0) for at in range(read.ndim)]
        read = np.pad(read, odd, constant_values=-np.inf)  # a last position that no pool takes
        count *= HALVED
    return np.asarray(read - 2.0 * np.log(count), np.float64)


def _log_apply(windows: Sequence[Array], logs: Array) -> Array:
    """Ln of the transposed A times exp(logs)."""
    top = logs.max()
    if not np.isfinite(top):
        return np.full([shares.shape[1] for shares in windows], -np.inf)
    with np.errstate(divide="ignore"):
        return np.asarray(top + np.log(_apply(windows, np.exp(logs - top), back=True)), np.float64)


def _log_sum(logs: Array) -> float:
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).sum())) if np.isfinite(top) else top
