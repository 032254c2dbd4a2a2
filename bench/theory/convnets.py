"""What the theory needs of a convolutional network."""

from __future__ import annotations

from dataclasses import dataclass

from bench.theory.activations import Nonlinearity
from bench.theory.maps import moments
from bench.theory.weights import WeightLaw

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
        normalization, position: "" or `layer` or `rms` (of the channels of one position) or `layer_spatial` (of a
            sample's channels and positions); `before` or `after` the activation.
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
