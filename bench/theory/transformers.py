"""What the theory needs of a transformer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.theory.activations import Nonlinearity
from bench.theory.attention import logit_deviation

ATTENTION, FEED_FORWARD = "attention", "feed_forward"
EPSILON = 1e-3  # of Keras's LayerNormalization
NORMALIZED_SUM = ("post_norm", "deepnorm", "admin", "b2t")
PLAIN_INPUT = ("no_norm", "rezero", "t_fixup")  # beside these: what a sub-layer reads was normalized with the sum


@dataclass(frozen=True)
class Transformer:
    """A transformer of the suite at initialization.

    Attributes:
        phi: the activation of feed-forward sub-layers.
        depth, width, heads, length: blocks, d, heads, and tokens of a sequence.
        block: the kind of block.
        sublayers: kinds of a block's sub-layers, in order.
        query, key, value, output: d Var of attention's kernels, every factor of the block's kind in it.
        ff_in, ff_out: fan_in Var of the feed-forward kernels, likewise.
        stream_scale, branch_scale: what the stream and a branch are multiplied by before they are added.
        gain: factor on query and key kernels.
        inverse: whether logits are q.k / key_dim, not / sqrt(key_dim).
        query_key: what becomes of queries and keys: plain, layer_normalized, l2_normalized or logit_cap.
        cap: of logit_cap.
        causal: whether a token sees only itself and those before it.
        epsilon: of the layer normalizations.
    """

    phi: Nonlinearity
    depth: int
    width: int
    heads: int
    length: int
    block: str = "pre_norm"
    sublayers: tuple[str, ...] = (ATTENTION, FEED_FORWARD)
    query: float = 1.0
    key: float = 1.0
    value: float = 1.0
    output: float = 1.0
    ff_in: float = 0.4
    ff_out: float = 1.6
    stream_scale: float = 1.0
    branch_scale: float = 1.0
    gain: float = 1.0
    inverse: bool = False
    query_key: str = "plain"
    cap: float | None = None
    causal: bool = False
    epsilon: float = EPSILON

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each sub-layer, from the input on."""
        return self.sublayers * self.depth

    @property
    def key_dim(self) -> int:
        """Numbers of a head."""
        return self.width // max(self.heads, 1)

    @property
    def normalizes_sum(self) -> bool:
        """Whether a layer normalization stands behind each sum, on the stream."""
        return self.block in NORMALIZED_SUM

    @property
    def normalizes_input(self) -> bool:
        """Whether one stands before each sub-layer, off the stream."""
        return not self.normalizes_sum and self.block not in PLAIN_INPUT

    @property
    def normalizes_branch(self) -> bool:
        """Whether one stands behind each sub-layer, off the stream."""
        return self.block == "sandwich"

    def logit_deviation(self, mean_square: float) -> float:
        """Standard deviation of the logits, of tokens of that mean square, before a cap.

        Normalized queries and keys have sqrt(key_dim) for a length, whatever the kernels (Dehghani et al. 2023), or 1
        and a gain of log2(T^2 - T) in place of the scale (Henry et al. 2020); their cosine has variance 1 / key_dim.
        """
        if self.query_key == "l2_normalized":
            return math.log2(self.length**2 - self.length) / math.sqrt(self.key_dim) if self.length > 1 else 0.0
        scale = self.key_dim if self.inverse else None
        if self.query_key == "layer_normalized":
            return logit_deviation(1.0, 1.0, key_dim=scale)
        return logit_deviation(self.query, self.key, mean_square, self.gain, scale)
