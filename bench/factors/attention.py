"""What transformers alone have: heads, sub-layers, how branches join the stream, and where tokens and places enter."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

from bench.factors.base import (
    Choice,
    Factor,
    Level,
    Number,
    Place,
    Rule,
    Setting,
    above_zero,
    nearest_divisors,
)  # fmt: skip
from bench.factors.costs import LOOKED_STEPS, Costs
from bench.factors.datasets import DataKind, DatasetLevel, dataset_level

ATTENTION, FEED_FORWARD_LAYER = KINDS = ("attention", "feed_forward")  # of sub-layers, as layers are named by them
WITHOUT_NORM = ("no_norm", "rezero", "t_fixup", "no_skip")  # blocks
NORM_AT_THE_END = ("pre_norm", "sandwich", "layer_scale", "damped")  # blocks whose stream the head normalizes

_NONE = Level("none", "The network is no transformer.", "Baseline", elsewhere=True)

HEADS = Factor(
    "heads", "Attention heads; they share the width, which they must divide. 0 where there is no attention.",
    Place.GRAPH, default=0, later=True, absent=0, number=Number(int, minimum=0, maximum=4096),
)  # fmt: skip

FEED_FORWARD = Factor(
    "feed_forward", "Hidden units of a feed-forward sub-layer, in multiples of the width. 0 where there is none.",
    Place.GRAPH, default=0, later=True, absent=0, number=Number(int, minimum=0, maximum=64),
)  # fmt: skip

BLOCK = Factor(
    "block", "How a sub-layer's branch F joins the stream x, and where layer normalizations stand.", Place.GRAPH,
    default="none",
    levels=(
        _NONE,
        Level(
            "pre_norm", "x + F(norm(x)), and one normalization before the head.",
            "Baevski & Auli 2019; Xiong et al. 2020",
        ),
        Level("post_norm", "norm(x + F(x)).", "Vaswani et al. 2017"),
        Level("no_norm", "x + F(x), with no normalization anywhere.", "Baseline"),
        Level("sandwich", "x + norm(F(norm(x))), and one before the head.", "Ding et al. 2021"),
        Level(
            "deepnorm",
            "norm(a x + F(x)), a = (2N)^(1/4) of N blocks; values', outputs' and feed-forward kernels start at "
            "(8N)^(-1/4) of their draw.",
            "Wang et al. 2022",
        ),
        Level(
            "admin", "norm(w x + F(x)), w = sqrt((n + 1) / ln(n + 1) - 1) of n sub-layers: the form without a profile.",
            "Liu et al. 2020",
        ),
        Level("rezero", "x + a F(x), a learned from 0 for each branch; no normalization.", "Bachlechner et al. 2021"),
        Level(
            "layer_scale", "x + s F(norm(x)), s learned for each unit from `start`.", "Touvron et al. 2021",
            settings={"start": above_zero(0.1, "What each unit's scale starts at.")},
        ),
        Level(
            "damped", "x + scale n^(-exponent) F(norm(x)), n the number of sub-layers.", "Noci et al. 2022",
            settings={
                "exponent": Setting(0.5, "How fast branches shrink with their number."),
                "scale": above_zero(1.0, "Factor on every branch."),
            },
        ),
        Level(
            "t_fixup",
            "x + F(x) without normalization; embeddings are normal of standard deviation d^(-1/2), values', outputs' "
            "and feed-forward kernels start at 0.67 N^(-1/4) of their draw.",
            "Huang et al. 2020",
        ),
        Level(
            "b2t", "norm(x + F(x)), where the feed-forward sub-layer adds the block's own input too.",
            "Takase et al. 2022",
        ),
        Level("no_skip", "F(x): no skip connection, and no normalization.", "Dong, Cordonnier & Loukas 2021"),
    ),
)  # fmt: skip

SUBLAYERS = Factor(
    "sublayers", "What a block consists of.", Place.GRAPH, default="none",
    levels=(
        _NONE,
        Level("both", "Attention, then a feed-forward sub-layer.", "Vaswani et al. 2017"),
        Level("attention_only", "Attention alone.", "Dong, Cordonnier & Loukas 2021"),
        Level("feed_forward_only", "A feed-forward sub-layer alone: tokens never meet.", "Baseline"),
    ),
)  # fmt: skip

QUERY_KEY = Factor(
    "query_key", "What becomes of queries and keys before they are compared.", Place.GRAPH, default="none",
    levels=(
        _NONE,
        Level("plain", "Nothing: their scaled products are the logits.", "Vaswani et al. 2017"),
        Level(
            "layer_normalized", "Each head's queries and keys are normalized, with a learned gain that heads share.",
            "Dehghani et al. 2023",
        ),
        Level(
            "l2_normalized",
            "Each head's queries and keys are divided by their norms; their cosines times a learned number, from "
            "log2(T^2 - T) of T tokens on, are the logits.",
            "Henry et al. 2020",
        ),
        Level(
            "logit_cap", "A logit l becomes cap tanh(l / cap).", "Gemma Team 2024",
            settings={"cap": above_zero(50.0, "The largest size of a logit.")},
        ),
        Level(
            "sigma_reparam",
            "Query and key kernels are divided by their spectral norms and multiplied by a learned number, from 1 on.",
            "Zhai et al. 2023",
        ),
    ),
)  # fmt: skip

ATTENTION_GAIN = Factor(
    "attention_gain", "Factor on the query and key kernels at the start.", Place.RUN, default=1, later=True, absent=1,
    number=Number(float, minimum=0.0, maximum=1000.0),
)  # fmt: skip

LOGIT_SCALE = Factor(
    "logit_scale", "What products of queries and keys are multiplied by.", Place.GRAPH, default="none",
    levels=(
        _NONE,
        Level("inverse_root", "1 / sqrt(units of a head), as in Keras.", "Vaswani et al. 2017"),
        Level("inverse", "1 / units of a head.", "Yang et al. 2022"),
    ),
)  # fmt: skip

CAUSAL = Factor(
    "causal", "Whether a token sees only itself and those before it.", Place.GRAPH, default="none",
    levels=(
        _NONE,
        Level("by_task", "As the dataset asks for: where each answer is the next token.", "Own"),
        Level("yes", "It does.", "Vaswani et al. 2017"),
        Level("no", "Every token sees every other.", "Vaswani et al. 2017"),
    ),
)  # fmt: skip

POSITION = Factor(
    "position", "What tells a transformer where in a sequence a token stands.", Place.GRAPH, default="none",
    levels=(
        Level("none", "Nothing, or the network is no transformer.", "Baseline"),
        Level("learned", "A vector for each place, learned, added to the token's.", "Gehring et al. 2017"),
        Level("sinusoidal", "Sines and cosines of the place, added to the token's.", "Vaswani et al. 2017"),
    ),
)  # fmt: skip

EMBEDDING_INITIALIZER = Factor(
    "embedding_initializer", "How the vectors of tokens and places are drawn.", Place.RUN, default="none",
    levels=(
        _NONE,
        Level("keras_uniform", "Uniform within 0.05 of 0, as Keras's Embedding does.", "Keras's default"),
        Level(
            "normal", "Gaussian with mean 0.", "Vaswani et al. 2017",
            settings={"stddev": above_zero(1.0, "Standard deviation.")},
        ),
    ),
)  # fmt: skip

TIED = Factor(
    "tied", "Whether the head's kernel is the embedding of tokens.", Place.GRAPH, default="none",
    levels=(
        _NONE,
        Level("no", "It has a kernel of its own.", "Vaswani et al. 2017"),
        Level("yes", "It is: both uses train it.", "Press & Wolf 2017"),
    ),
)  # fmt: skip

Z_LOSS = Factor(
    "z_loss", "What (ln Z)^2 is multiplied by that training adds to a loss of classes, Z the sum of exp(logit).",
    Place.RUN, default=0, later=True, absent=0, number=Number(float, minimum=0.0, maximum=1000.0),
)  # fmt: skip

OF_TRANSFORMERS = (
    HEADS, FEED_FORWARD, BLOCK, SUBLAYERS, QUERY_KEY, ATTENTION_GAIN, LOGIT_SCALE, CAUSAL, POSITION,
    EMBEDDING_INITIALIZER, TIED, Z_LOSS,
)  # fmt: skip


def sublayer_kinds(sublayers: str) -> tuple[str, ...]:
    """The kinds of a block's sub-layers in order."""
    return KINDS if sublayers == "both" else (sublayers.removesuffix("_only"),)


def is_causal(structure: Mapping[str, Choice]) -> bool:
    """Whether a token sees only itself and those before it; of data from outside, unless a suite says so, all."""
    if structure["causal"].name == "by_task":
        data = dataset_level(structure["dataset"])
        return isinstance(data, DatasetLevel) and data.next_tokens
    return structure["causal"].name == "yes"


def misfit_of_tied(tokens: int, classes: int) -> str:
    """Why a head of so many classes cannot be the embedding of so many tokens; empty where it can."""
    if tokens and tokens == classes:
        return ""
    what = f"has {tokens} tokens and {classes} classes" if tokens else "has no tokens"
    return f"it {what}, and a head can share the embedding where each answer is a token, as in text, reverse and sort."


def misfit_of_z_loss(z_loss: Choice, kind: DataKind) -> str:
    """Why what a dataset asks for has no logits, of which a z-loss is; empty where it has, or there is no z-loss."""
    if not z_loss.value or kind is not DataKind.VALUES:
        return ""
    return "its targets are values, which have no logits. Leave z_loss at 0."


def misfit_of_heads(heads: int, width: int) -> str:
    """Why so many heads cannot share a width, and the nearest that can; empty where they can."""
    if not heads or width % heads == 0:
        return ""
    return f"heads share the width, and of {width} so many can: {nearest_divisors(heads, width)}."


def held_of_token(structure: Mapping[str, Choice], length: int) -> int:
    """Numbers of a token that a sub-layer holds at once: what it reads, and twice what it makes of it."""
    width, heads, multiple = (int(structure[name].value or 0) for name in ("width", "heads", "feed_forward"))
    made = {ATTENTION: 2 * heads * length + 4 * width, FEED_FORWARD_LAYER: 2 * multiple * width + 2 * width}
    return max(made[kind] for kind in sublayer_kinds(structure["sublayers"].name))


KEPT_WIDTHS = {ATTENTION: 5, FEED_FORWARD_LAYER: 1}  # of each token, beside the widths of its own that a kind keeps
PASSING_FLOATS = 3  # of each number that the widest sub-layer holds of a token: what it takes to go back through one
ANSWER_FLOATS = 6  # of each number that a head says
LOOKED_FLOATS = 2  # of each of those numbers, while it is looked at
MOST_LOOKED = 512  # samples whose activations are looked at
FLOPS_PER_WEIGHT = 6  # two forward, four backward


def transformer_costs(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> Costs:
    """Of blocks over sequences (tokens, features), with a head on the last token or on each."""
    depth, width, heads, multiple = (
        int(structure[name].value or 0) for name in ("depth", "width", "heads", "feed_forward")
    )
    length, features = (shape[0], prod(shape[1:])) if shape else (1, 1)
    kinds, data = sublayer_kinds(structure["sublayers"].name), dataset_level(structure["dataset"])
    after = structure["block"].name not in (*WITHOUT_NORM, "pre_norm", "damped")  # these keep one tensor less
    weights = {ATTENTION: 4 * width**2, FEED_FORWARD_LAYER: 2 * multiple * width**2}
    own = {ATTENTION: heads * length, FEED_FORWARD_LAYER: multiple * width}  # of a token
    kernels = depth * sum(weights[kind] for kind in kinds)
    kept = depth * sum((KEPT_WIDTHS[kind] + after) * width + own[kind] for kind in kinds)
    each = data is not None and data.asks is DataKind.CLASSES_EACH
    answers = outputs // length if each else outputs
    answered = length if each else 1
    pairs = 2 * length * width * depth * (ATTENTION in kinds)  # of a token: products with queries, and of weights
    widest = max(features, 2 * answers if each else 0, held_of_token(structure, length))
    return Costs(
        kernels + width * (features + length + (0 if structure["tied"].name == "yes" else answers)),
        length * (kept + PASSING_FLOATS * widest) + ANSWER_FLOATS * answered * answers,
        FLOPS_PER_WEIGHT * (length * (kernels + pairs) + answered * answers * width),
        depth * len(kinds),
        looked=LOOKED_FLOATS * max(length, min(LOOKED_STEPS, MOST_LOOKED * length)) * widest,
        evaluated=length * widest,
        units=length * kept,
    )


def _sees_what_it_may(causal: Choice, dataset: Choice) -> str:
    """Why tokens may not see what comes behind them, or must; empty where a suite is free to say."""
    data = dataset_level(dataset)
    if causal.name == "yes" and data is not None and data.both_sides:
        return f"answers of {dataset.name} rest on tokens behind them, which none would see. Leave causal at by_task."
    if causal.name != "no" or data is None or not data.next_tokens:
        return ""
    return f"each answer of {dataset.name} is the next token, which would be seen. Leave causal at by_task."


def _heads_divide_width(heads: Choice, width: Choice, sublayers: Choice) -> str:
    if sublayers.name == "feed_forward_only":
        return ""
    return misfit_of_heads(int(heads.value or 0), int(width.value or 0))


def _attends(factor: str, sublayers: Choice, choice: Choice) -> str:
    """What a level says of attention, of which there is none with feed-forward sub-layers alone; empty if nothing."""
    usual = {"query_key": ("none", "plain"), "logit_scale": ("none", "inverse_root"), "causal": ("none", "by_task")}
    said = choice.name not in usual[factor] if factor in usual else choice.value not in (None, 1)
    if sublayers.name != "feed_forward_only" or not said:
        return ""
    kept = f"at {usual[factor][1]}" if factor in usual else "at 1"
    return f"feed-forward sub-layers alone have no attention. Leave {factor} {kept}."


def _compares(factor: str, query_key: Choice, choice: Choice) -> str:
    """Why a way to compare queries and keys has no use for a level, and what it has."""
    if factor == "logit_scale" and query_key.name == "l2_normalized" and choice.name == "inverse":
        return "l2_normalized learns its own scale. Leave logit_scale at inverse_root."
    if factor == "attention_gain" and query_key.name == "sigma_reparam" and choice.value not in (None, 1):
        return "sigma_reparam divides the kernels by their norms, whatever these are. Leave attention_gain at 1."
    return ""


def _answers_are_tokens(tied: Choice, dataset: Choice) -> str:
    data = dataset_level(dataset)
    if tied.name != "yes" or data is None or not data.classes:
        return ""
    return misfit_of_tied(data.vocabulary, data.classes)


def _has_both_sublayers(block: Choice, sublayers: Choice) -> str:
    if block.name != "b2t" or sublayers.name in ("both", "none"):
        return ""
    return "b2t adds what entered at attention behind the feed-forward sub-layer. Leave sublayers at both."


def _t_fixup_draws_embeddings(block: Choice, embedding_initializer: Choice) -> str:
    if block.name != "t_fixup" or embedding_initializer.name in ("keras_uniform", "none"):
        return ""
    return "t_fixup draws the embeddings too. Leave embedding_initializer at keras_uniform."


def _has_logits(dataset: Choice, z_loss: Choice) -> str:
    data = dataset_level(dataset)
    return "" if data is None else misfit_of_z_loss(z_loss, data.asks)


# Of blocks without such a sub-layer the levels of a factor all make one network.
IDLE = {"heads": "feed_forward_only", "feed_forward": "attention_only"}
_OF_ATTENTION = ("query_key", "attention_gain", "logit_scale", "causal")  # factors on attention sub-layers alone
TRANSFORMER_RULES: tuple[Rule, ...] = (
    (("heads", "width", "sublayers"), _heads_divide_width),
    (("block", "sublayers"), _has_both_sublayers),
    *((("sublayers", each), partial(_attends, each)) for each in _OF_ATTENTION),
    *((("query_key", each), partial(_compares, each)) for each in ("logit_scale", "attention_gain")),
    (("causal", "dataset"), _sees_what_it_may),
    (("tied", "dataset"), _answers_are_tokens),
    (("dataset", "z_loss"), _has_logits),
    (("block", "embedding_initializer"), _t_fixup_draws_embeddings),
)
