"""What the theory needs of a convolutional network, read from levels spelled as in a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BenchError, SuiteError
from bench.factors import Choice, dataset_level, misfit_in_space, misfit_of_channels
from bench.theory.activations import Nonlinearity
from bench.theory.describe import branch_scale, choice_of, choices_of
from bench.theory.maps import moments
from bench.theory.weights import WeightLaw, bias_variance, weight_law

CONV = "conv"
READ = (
    "depth", "width", "activation", "initializer", "bias_initializer", "normalization", "skip", "kernel_size",
    "padding", "downsample", "dropout",
)  # fmt: skip
BATCH = "batch"
NORMALIZATIONS = {
    "none": "", "layer_normalization": "layer", "rms_normalization": "rms",
    "layer_spatial_normalization": "layer_spatial", "batch_normalization": BATCH,
}  # fmt: skip
UNCOVERED = {
    "instance_normalization": "its statistics are of one filter's positions, which are alike",
    "group_normalization": "its statistics are of few filters' positions, which are alike",
}
SKIPS = ("none", "residual", "residual_scaled", "residual_damped", "residual_post_norm")
DELTA = "delta_orthogonal"
SAME, CIRCULAR = "same", "circular"
STRIDE, MAX_POOL, AVERAGE_POOL = "stride", "max_pool", "average_pool"
UNIT = WeightLaw(1.0)
SCALE_FREE = 1e-9  # relative departure of E[phi^2] from a multiple of q that counts as none


@dataclass(frozen=True)
class ConvNetwork:
    """A convolutional network of the suite at initialization; layer 0 is the stem.

    Attributes:
        phi: the activation.
        depth, width: convolutions, and filters of each.
        shape: positions along each axis, of the input.
        kernel_size, padding: k, and `same` or `circular`.
        first, hidden: sigma_w^2 = k^d C_in Var(W) of the stem's kernel and of the others'.
        centered: whether the kernels are 0 but for their centre.
        bias_variance: sigma_b^2.
        normalization, position: "" or `layer` or `rms` (of the channels of one position), `layer_spatial` (of a
            sample's channels and positions) or `batch` (of a filter, over samples and positions); `before` or `after`
            the activation.
        downsample, every: "" or how images are halved, between groups of so many layers; the stem is in none.
        skip_layers: layers in a block with a skip connection; 0 without.
        branch_scale: what a block's output is multiplied by before the stream is added.
    """

    phi: Nonlinearity
    depth: int
    width: int
    shape: tuple[int, ...]
    kernel_size: int = 3
    padding: str = SAME
    first: WeightLaw = UNIT
    hidden: WeightLaw = UNIT
    centered: bool = False
    bias_variance: float = 0.0
    normalization: str = ""
    position: str = "before"
    downsample: str = ""
    every: int = 0
    skip_layers: int = 0
    branch_scale: float = 1.0

    def halves(self, layer: int) -> bool:
        """Whether images are halved in front of this layer: by its own stride, or by a pool."""
        return bool(self.downsample) and layer > 1 and (layer - 1) % self.every == 0

    def ends_block(self, layer: int) -> bool:
        """Whether the stream of a skip connection is added in this layer, counted from 0."""
        if not self.skip_layers or layer == 0:
            return False
        return layer % self.skip_layers == 0 or layer == self.depth - 1

    @property
    def scale_free(self) -> bool:
        """Whether E[phi^2] and E[phi'^2] do not depend on q but for a factor: linear, relu, leaky_relu, without biases
        or a normalization, so that gradients do not depend on the mean square at all.
        """
        if self.normalization or self.bias_variance:
            return False
        low, high = (moments(self.phi, q) for q in (0.01, 1.0))
        return (
            abs(100.0 * low.square - high.square) < SCALE_FREE * high.square
            and abs(low.slope_square - high.slope_square) < SCALE_FREE * high.slope_square
        )


def conv_network_of(levels: Mapping[str, object], shape: Sequence[int] | None = None) -> ConvNetwork:
    """The convolutional network that levels describe.

    Args:
        levels: factor to level, as `network_of` takes them; what is missing takes the default of conv.
        shape: a sample's, its positions along each axis and its channels; by default that of the dataset.

    Raises:
        SuiteError: a level that does not exist, or images that it does not fit; the message names what does.
        BenchError: what the theory does not cover: not predicted, and why.
    """
    choices, phi = choices_of(levels, CONV, READ)
    level = dataset_level(choice_of("dataset", levels["dataset"])) if levels.get("dataset") else None
    sample = tuple(shape) if shape else level.shape if level is not None else ()
    if not 2 <= len(sample) <= 3:
        raise BenchError("The size of the images is not known: give positions along each axis, and channels.")
    misfit = misfit_in_space(choices, sample) or misfit_of_channels(choices["width"], choices["initializer"], sample)
    if misfit:
        raise SuiteError(misfit)
    _refuse(choices)
    kernel, width, skip = int(choices["kernel_size"].value or 0), int(choices["width"].value or 0), choices["skip"]
    start, downsample, normalization = choices["initializer"], choices["downsample"], choices["normalization"]
    spans, depth = kernel ** (len(sample) - 1), int(choices["depth"].value or 0)
    return ConvNetwork(
        phi=phi,
        depth=depth,
        width=width,
        shape=tuple(map(int, sample[:-1])),
        kernel_size=kernel,
        padding=choices["padding"].name,
        first=kernel_law(start, int(sample[-1]), width, spans, phi),
        hidden=kernel_law(start, width, width, spans, phi),
        centered=start.name == DELTA,
        bias_variance=bias_variance(choices["bias_initializer"], start, phi),
        normalization=NORMALIZATIONS[normalization.name],
        position="before" if normalization.is_none else str(normalization.setting("position")),
        downsample="" if downsample.is_none else downsample.name,
        every=0 if downsample.is_none else int(downsample.setting("every")),
        skip_layers=0 if skip.is_none else int(skip.setting("layers")),
        branch_scale=branch_scale(skip, depth),
    )


def kernel_law(initializer: Choice, channels: int, filters: int, spans: int, phi: Nonlinearity) -> WeightLaw:
    """How an initializer draws a kernel [positions..., channels, filters] of `spans` positions in all.

    Fans are spans x channels and spans x filters, but for Keras's orthogonal, which draws orthonormal columns of
    [spans x channels, filters]: fan_in Var = min(1, spans x channels / filters) of gain 1, so 1 for kernels of 3 with
    as many filters as channels, and no isometry. Delta-orthogonal has an orthogonal [channels, filters] at its centre.

    Raises:
        BenchError: an initializer whose variance is not known.
    """
    if initializer.name == DELTA:
        return weight_law(initializer, channels, filters, phi)
    outside = filters if initializer.name in ("orthogonal", "lsuv") else spans * filters
    law = weight_law(initializer, spans * channels, outside, phi)
    return WeightLaw(law.variance, spans == 1 and law.isometric, law.tolerance, law.iterations)


def _refuse(choices: Mapping[str, Choice]) -> None:
    normalization, skip = choices["normalization"].name, choices["skip"].name
    if normalization in UNCOVERED:
        raise BenchError(f"Not predicted: {normalization}; {UNCOVERED[normalization]}.")
    if normalization not in NORMALIZATIONS:
        raise BenchError(f'The theory of convolutions knows nothing of the normalization "{normalization}".')
    if skip not in SKIPS:
        raise BenchError(f'The theory of convolutions knows nothing of the skip connection "{skip}".')
    after = dict(choices["normalization"].settings).get("position") == "after"
    if normalization == "batch_normalization" and after and choices["bias_initializer"].name != "zeros":
        raise BenchError("The theory of convolutions does not cover biases before batch normalization of activations.")
    if choices["dropout"].value:
        raise BenchError("The theory does not cover dropout.")
    if skip == "residual_post_norm" and normalization != "none":
        raise BenchError("The theory does not cover a skip connection with its normalization on the path.")
