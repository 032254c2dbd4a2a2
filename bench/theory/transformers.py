"""What the theory needs of a transformer, read from levels spelled as in a suite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError, SuiteError
from bench.factors import (
    ATTENTION,
    FEED_FORWARD_LAYER,
    Choice,
    dataset_level,
    is_causal,
    misfit_of_heads,
    sublayer_kinds,
)
from bench.theory.activations import Nonlinearity
from bench.theory.attention import logit_deviation
from bench.theory.describe import choice_of, choices_of
from bench.theory.tokens import Tokens
from bench.theory.weights import bias_variance, weight_law

TRANSFORMER = "transformer"
READ = (
    "depth", "width", "activation", "initializer", "bias_initializer", "dropout", "heads", "feed_forward", "block",
    "sublayers", "query_key", "attention_gain", "logit_scale", "causal",
)  # fmt: skip
ON_EMBEDDING = ("embedding_initializer", "position")
KNOWN_QUERY_KEY = ("plain", "layer_normalized", "l2_normalized", "logit_cap")
KERAS_LIMIT = 0.05  # of Keras's Embedding, whose vectors are uniform between its negative and itself
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
    sublayers: tuple[str, ...] = (ATTENTION, FEED_FORWARD_LAYER)
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


def transformer_of(levels: Mapping[str, object], length: int | None = None) -> Transformer:
    """The transformer that levels describe.

    Args:
        levels: factor to level, as `network_of` takes them; what is missing takes the default of transformers.
        length: T, tokens of a sequence; by default those of the dataset.

    Raises:
        SuiteError: a level that does not exist, or heads that the width cannot be shared by.
        BenchError: what the theory does not cover: not predicted, and why.
    """
    choices, phi = choices_of(levels, TRANSFORMER, READ)
    data = dataset_level(choice_of("dataset", levels["dataset"])) if levels.get("dataset") else None
    tokens = length or (data.steps if data is not None else 0)
    if not tokens:
        raise BenchError("The number of tokens is not known: give the length of a sequence.")
    depth, width, heads, multiple = (
        int(choices[name].value or 0) for name in ("depth", "width", "heads", "feed_forward")
    )
    kinds = sublayer_kinds(choices["sublayers"].name)
    if ATTENTION in kinds and (misfit := misfit_of_heads(heads, width)):
        raise SuiteError(f"heads: {heads} of them cannot share a width of {width}: {misfit}")
    _refuse(choices)
    start, block, query_key = choices["initializer"], choices["block"], choices["query_key"]
    stream, branch, kernels = _factors(block, depth, depth * len(kinds))
    square, wide = weight_law(start, width, width, phi).variance, multiple * width
    causal = choices["causal"]
    told = choices | ({"dataset": choice_of("dataset", levels["dataset"])} if data is not None else {})
    return Transformer(
        phi=phi,
        depth=depth,
        width=width,
        heads=heads,
        length=tokens,
        block=block.name,
        sublayers=kinds,
        query=square,
        key=square,
        value=square * kernels**2,
        output=square * kernels**2,
        ff_in=weight_law(start, width, wide, phi).variance * kernels**2 if wide else 0.0,
        ff_out=weight_law(start, wide, width, phi).variance * kernels**2 if wide else 0.0,
        stream_scale=stream,
        branch_scale=branch,
        gain=float(choices["attention_gain"].value or 0.0),
        inverse=choices["logit_scale"].name == "inverse",
        query_key=query_key.name,
        cap=float(query_key.setting("cap")) if query_key.name == "logit_cap" else None,
        causal=is_causal(told) if data is not None or causal.name != "by_task" else False,
    )


def _factors(block: Choice, blocks: int, sublayers: int) -> tuple[float, float, float]:
    """What a kind of block multiplies the stream, a branch, and values', outputs' and feed-forward kernels by.

    Sources: see `bench.theory.streams`; Admin's is the closed form of its authors' package admin-torch.
    """
    match block.name:
        case "deepnorm":
            return (2 * blocks) ** 0.25, 1.0, (8 * blocks) ** -0.25
        case "admin":
            return math.sqrt((sublayers + 1) / math.log(sublayers + 1) - 1.0), 1.0, 1.0
        case "t_fixup":
            return 1.0, 1.0, 0.67 * blocks**-0.25
        case "rezero":
            return 1.0, 0.0, 1.0
        case "layer_scale":
            return 1.0, float(block.setting("start")), 1.0
        case "damped":
            return 1.0, float(block.setting("scale")) / sublayers ** float(block.setting("exponent")), 1.0
    return 1.0, 1.0, 1.0


def _refuse(choices: Mapping[str, Choice]) -> None:
    if choices["block"].name == "no_skip":
        raise BenchError(
            "The theory follows tokens that a skip connection keeps apart; without one they become one, and so do the "
            "weights of two queries, which it takes for independent."
        )
    if choices["dropout"].value:
        raise BenchError("The theory does not cover dropout.")
    if bias_variance(choices["bias_initializer"]):
        raise BenchError("The theory of transformers covers biases that start at 0.")
    if choices["query_key"].name not in KNOWN_QUERY_KEY:
        raise BenchError(f"The theory knows nothing of queries and keys that are {choices['query_key'].name}.")


def embedded(levels: Mapping[str, object], length: int, alike: float = 0.0) -> Tokens:
    """The stream where tokens are embedded: mean square, and mean product of two tokens of a sample.

    Vectors of different tokens and places are independent; Keras's are uniform within 0.05, of mean square 8.3e-4,
    which a layer normalization of epsilon 1e-3 does not bring to 1. Sines and cosines of a place have 1/2.

    Args:
        levels: `embedding_initializer` and `position`; with `block` t_fixup a normal of deviation d^(-1/2).
        length: T.
        alike: chance that two places of a sample hold the same token.

    Raises:
        SuiteError: a level that does not exist.
    """
    choices, _ = choices_of(levels, TRANSFORMER, (*ON_EMBEDDING, "block", "width", "activation"))
    start, position, width = (
        choices["embedding_initializer"],
        choices["position"].name,
        int(choices["width"].value or 1),
    )
    square = float(start.setting("stddev")) ** 2 if start.name == "normal" else KERAS_LIMIT**2 / 3.0
    square = 1.0 / width if choices["block"].name == "t_fixup" else square
    tokens = Tokens(square, alike * square)
    if position == "learned":
        return tokens.plus(Tokens(square, 0.0))
    if position != "sinusoidal":
        return tokens
    unit = np.arange(width)
    angles = np.arange(length)[:, None] / 10_000.0 ** (2 * (unit // 2) / width)
    waves = np.where(unit % 2, np.cos(angles), np.sin(angles))
    own = float(np.square(waves).mean())
    pairs = float(np.square(waves.sum(axis=0)).mean()) - length * own
    return tokens.plus(Tokens(own, pairs / (length * (length - 1)) if length > 1 else 0.0))
