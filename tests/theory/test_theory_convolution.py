"""What theory says of convolutions at initialization: its numbers, networks drawn in numpy, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from bench.errors import BenchError
from bench.theory import (
    ConvNetwork,
    activation,
    conv_profile,
    leak,
    leak_rate,
    mode_depth,
    profile,
    spatial_mode,
    window,
)
from bench.theory.weights import WeightLaw
from tests.theory import finite_convolutions as finite

HALF = 0.5


def network(phi: str, variance: float, padding: str = "same", **more: object) -> ConvNetwork:
    law = WeightLaw(variance)
    made = ConvNetwork(activation(phi), finite.DEPTH, finite.CHANNELS, (8, 8), padding=padding, first=law, hidden=law)
    return replace(made, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Number:
    """log10 |d_1| / |d_20| and q_20 / q_1 by theory, and how near networks as drawn here come in the mean."""

    phi: str
    variance: float
    padding: str
    gradient: float
    near: float
    square: float
    close: float
    more: dict[str, object] = field(default_factory=dict)


CENTRED: dict[str, object] = {"centered": True}
NUMBERS = {
    "1-linear-circular": Number("linear", 1.0, "circular", 0.0, 0.03, 0.0, 0.05),
    "2-linear-zeros": Number("linear", 1.0, "same", -0.3875, 0.03, -0.7351, 0.05),
    "3-relu-zeros": Number("relu", 2.0, "same", -0.3875, 0.1, -0.735, 0.4),
    "4-relu-of-five": Number("relu", 2.0, "same", -0.9435, 0.1, -1.8417, 0.4, {"kernel_size": 5}),
    "5-relu-glorot": Number("relu", 1.0, "circular", -2.860, 0.1, -5.72, 0.4),
    "6-tanh-circular": Number("tanh", 1.0, "circular", -0.711, 0.02, -1.564, 0.03),
    "7-tanh-zeros": Number("tanh", 1.0, "same", -0.965, 0.03, -2.019, 0.04),
    "8-delta-linear": Number("linear", 1.0, "same", 0.0, 1e-4, 0.0, 1e-4, CENTRED),
    "8-delta-circular": Number("linear", 1.0, "circular", 0.0, 1e-4, 0.0, 1e-4, CENTRED),
    "9-delta-tanh": Number("tanh", 1.0, "same", -0.711, 0.02, -1.564, 0.03, CENTRED),
    "9-delta-tanh-circular": Number("tanh", 1.0, "circular", -0.711, 0.02, -1.564, 0.03, CENTRED),
}  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_depth_ratios(number: Number) -> None:
    found = conv_profile(network(number.phi, number.variance, number.padding, **number.more))
    assert found.preactivation[0] == pytest.approx(number.gradient, abs=1.5e-3)
    assert math.log10(found.q[-1] / found.q[0]) == pytest.approx(number.square, abs=1.5e-3)


@pytest.mark.parametrize("number", [
    pytest.param(number, id=name, marks=[] if name in ("2-linear-zeros", "7-tanh-zeros") else pytest.mark.full)
    for name, number in NUMBERS.items()
])  # fmt: skip
def test_depth_ratios_of_drawn_networks(number: Number) -> None:
    """Of relu the mean over networks is of the ratio, which a log-normal's logarithm lies below."""
    size, start = int(str(number.more.get("kernel_size", 3))), "delta" if "centered" in number.more else "independent"
    drawn = finite.networks(number.phi, number.variance, number.padding, size, start)
    for measured, power, said, near in (
        (drawn.gradient, 2.0, number.gradient, number.near), (drawn.square, 1.0, number.square, number.close),
    ):  # fmt: skip
        mean = np.log10(np.mean(10.0 ** (power * measured))) / power if number.phi == "relu" else measured.mean()
        assert mean == pytest.approx(said, abs=near)


def test_the_profile_over_positions_is_that_of_drawn_networks() -> None:
    """Corners keep least of both; linear networks average to the predicted image within 15 %."""
    drawn, found = finite.networks("linear", 1.0, "same"), conv_profile(network("linear", 1.0))
    for measured, predicted in ((drawn.squares, found.mean_square[-1]), (drawn.gradients, found.gradient[0])):
        shape = measured.mean(axis=0)
        assert shape / shape.mean() == pytest.approx(predicted / predicted.mean(), rel=0.15)
        assert predicted[0, 0] == predicted.min() == pytest.approx(predicted[7, 7])


@pytest.mark.parametrize(("size", "kernel", "share", "decades"), [
    (8, 3, 0.9212, -0.0178), (8, 5, 0.8019, -0.0479), (4, 3, 0.7616, -0.0591),
])  # fmt: skip
def test_what_zero_padding_leaves_in_the_limit(size: int, kernel: int, share: float, decades: float) -> None:
    assert leak_rate((size, size), kernel) == pytest.approx(share, abs=1e-4)
    assert HALF * math.log10(leak_rate((size, size), kernel)) == pytest.approx(decades, abs=1e-4)
    far = leak((size, size), kernel, 301) / leak((size, size), kernel, 300)
    assert far == pytest.approx(leak_rate((size, size), kernel), rel=1e-6)
    one = (1.0 + 2.0 * math.cos(math.pi / (size + 1.0))) / 3.0  # of a tridiagonal matrix
    assert kernel == 5 or leak_rate((size,), kernel) == pytest.approx(one)


def test_leaks_are_the_ratios_of_nets_whose_moments_are_multiples() -> None:
    for size in (3, 5):
        found = conv_profile(network("leaky_relu", 2.0 / 1.04, kernel_size=size))
        assert found.preactivation[0] == pytest.approx(HALF * math.log10(leak((8, 8), size, 19)), abs=1e-9)
    forward = leak((8, 8), 3, 20) / leak((8, 8), 3, 1)
    assert found.q[0] > 0.0
    assert math.log10(forward) == pytest.approx(-0.7351, abs=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (40,)])
@pytest.mark.parametrize("phi", ["tanh", "relu", "sigmoid", "selu"])
def test_circular_padding_is_the_theory_of_dense_layers(phi: str, shape: tuple[int, ...]) -> None:
    dense = profile({"activation": phi, "initializer": "lecun_normal", "depth": 9, "width": 64}, 0.7, networks=8)
    found = conv_profile(network(phi, 1.0, "circular", depth=9, shape=shape), 0.7)
    assert found.q == pytest.approx(dense.mean_square, rel=1e-6)
    assert found.preactivation == pytest.approx(dense.preactivation, abs=1e-6)
    assert np.ptp(found.mean_square[-1]) < 1e-9


@pytest.mark.parametrize("normalization", ["layer", "rms", "layer_spatial", "batch"])
@pytest.mark.parametrize("position", ["before", "after"])
def test_normalizations_of_circular_networks_are_those_of_dense_layers(normalization: str, position: str) -> None:
    """In the limit of many values; `profile` has 4096 of them."""
    name = {"layer_spatial": "layer"}.get(normalization, normalization)
    levels = {"activation": "tanh", "initializer": "he_normal", "depth": 6, "width": 4096, "batch_size": 4096}
    dense = profile({**levels, "normalization": f"{name}_normalization(position={position})"}, networks=8)
    found = conv_profile(network("tanh", 2.0, "circular", depth=6, normalization=normalization, position=position))
    assert found.preactivation == pytest.approx(dense.preactivation, abs=4e-3)
    assert found.q == pytest.approx(dense.mean_square, rel=5e-3)


def test_batch_normalization_grows_relus_gradient_by_pi_over_pi_less_one() -> None:
    """Yang et al. 2019, in the limit of many samples; epsilon takes 0.0002 decades a layer of it."""
    found = conv_profile(network("relu", 2.0, "circular", depth=12, normalization="batch")).preactivation
    assert -np.diff(found)[1:] == pytest.approx(np.full(10, 0.5 * np.log10(np.pi / (np.pi - 1.0))), abs=4e-4)


@pytest.mark.parametrize("padding", [pytest.param("circular", marks=pytest.mark.full), "same"])
@pytest.mark.parametrize(("phi", "variance"), [("relu", 2.0), pytest.param("tanh", 1.0, marks=pytest.mark.full)])
def test_batch_normalization_is_that_of_drawn_networks(phi: str, variance: float, padding: str) -> None:
    """16 samples of 32 filters; the common part of samples at a border alone takes relu's growth from 0.03 to 0.06."""
    found = conv_profile(network(phi, variance, padding, depth=12, normalization="batch")).preactivation
    assert finite.batch_normalized(phi, variance, padding) == pytest.approx(found, abs=0.06)


def test_a_normalization_at_each_position_makes_up_for_the_border_forward() -> None:
    plain, normal = (conv_profile(network("tanh", 1.0, normalization=name)) for name in ("", "layer"))
    assert plain.mean_square[-1][0, 0] < 0.05 * plain.mean_square[0][0, 0]
    assert normal.mean_square[-1][0, 0] == pytest.approx(4.0 / 9.0 * normal.mean_square[-1][4, 4], rel=0.01)


def test_blocks_of_a_skip_connection() -> None:
    found = conv_profile(network("relu", 2.0, "circular", depth=9, skip_layers=2))
    assert found.preactivation[0] == pytest.approx(4 * HALF * math.log10(2.0))
    still = conv_profile(network("relu", 2.0, "same", depth=9, skip_layers=2, branch_scale=0.0))
    assert still.preactivation[::2] == pytest.approx(np.zeros(5), abs=1e-9)
    assert np.isneginf(still.preactivation[1])


@pytest.mark.parametrize("phi", ["tanh", "selu"])
def test_images_without_symmetry_are_asked_for_by_fewer_moments(phi: str) -> None:
    """A row of inputs of 0 and others at random: at positions with few moments as with many."""
    image = np.random.default_rng(0).uniform(0.01, 3.0, (8, 8))
    image[0] = 0.0
    whole = conv_profile(network(phi, 1.0, "circular", depth=3, kernel_size=1), image)
    alone = conv_profile(network(phi, 1.0, "circular", depth=3, kernel_size=1, shape=(8, 1)), image[:, :1])
    assert whole.mean_square[-1][:, :1] == pytest.approx(alone.mean_square[-1], rel=2e-4)
    ratio = whole.gradient[0][1:, 0] / whole.gradient[0][1, 0]
    assert ratio == pytest.approx(alone.gradient[0][1:, 0] / alone.gradient[0][1, 0], rel=2e-4)


def test_strides_take_every_second_window() -> None:
    assert window(8, 3, stride=2).argmax(axis=1).tolist() == [0, 2, 4, 6]  # TensorFlow pads behind
    assert window(8, 3, stride=2).sum() == pytest.approx(4 - 1 / 3)
    assert window(8, 3, "circular", stride=2).sum(axis=1) == pytest.approx(np.ones(4))
    assert window(7, 3, stride=2)[0].tolist() == pytest.approx([1 / 3, 1 / 3, *([0.0] * 5)])
    found = conv_profile(network("linear", 1.0, "circular", depth=5, downsample="stride", every=2))
    assert [each.shape for each in found.mean_square] == [(8, 8)] * 3 + [(4, 4)] * 2
    assert found.q == pytest.approx(np.ones(5))
    assert found.preactivation == pytest.approx([0.0] * 5, abs=1e-9)  # the sum over positions


def test_a_mean_over_positions_divides_the_squared_gradient() -> None:
    found = conv_profile(network("relu", 2.0, "circular", depth=5, downsample="average_pool", every=2))
    assert found.preactivation == pytest.approx([HALF * math.log10(0.25)] * 3 + [0.0] * 2)
    assert np.isnan(found.q).tolist() == [False] * 3 + [True] * 2


def test_modes_of_the_covariance_between_positions() -> None:
    assert spatial_mode((0.0, 0.0), 3) == 1.0
    assert spatial_mode((math.pi / 2,), 3) == pytest.approx(1.0 / 3.0)
    assert spatial_mode((0.4, 1.1), 3) == pytest.approx((1 + 2 * math.cos(0.4)) * (1 + 2 * math.cos(1.1)) / 9)
    assert mode_depth((0.0,), 3, 0.5) == pytest.approx(-1.0 / math.log(0.5))
    assert mode_depth((0.0,), 3, 1.0) == math.inf
    assert mode_depth((2.0 * math.pi / 3.0,), 3, 1.0) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(("more", "says"), [
    ({"downsample": "max_pool", "every": 2}, "Not predicted: which of the positions under a maximum wins"),
    ({"downsample": "average_pool", "every": 2}, "Not predicted: the mean square behind an average pool .* tanh"),
    ({"downsample": "stride", "every": 2, "skip_layers": 2}, "Not predicted: a skip connection around a layer"),
])  # fmt: skip
def test_what_is_not_predicted_is_refused(more: dict[str, object], says: str) -> None:
    with pytest.raises(BenchError, match=says):
        conv_profile(network("tanh", 1.0, **more))


@pytest.mark.parametrize("square", [0.0, -1.0, math.nan, math.inf])
def test_impossible_inputs_are_refused(square: float) -> None:
    with pytest.raises(BenchError, match="mean square must be finite"):
        conv_profile(network("tanh", 1.0), square)
