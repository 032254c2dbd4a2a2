"""Architectures and their size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from bench.errors import nearest
from bench.factors.attention import OF_TRANSFORMERS, transformer_costs
from bench.factors.base import Choice, Factor, Level, Number, Place, Scalar
from bench.factors.convolution import CONVOLUTION, sizes_of_layers
from bench.factors.costs import LOOKED_STEPS, Costs
from bench.factors.datasets import DATASET, TOKENS, DataKind, DatasetLevel, a_kind, dataset_level
from bench.factors.recurrence import GATES, directions_of

ACTIVATION_FLOATS = 8  # per unit of a dense layer, kept for the backward pass
HELD_FLOATS = 3  # the same as measured, of a convolution too
FLOPS_PER_WEIGHT = 6  # of a dense layer: two forward, four backward
GATE_FLOATS, STATE_FLOATS = 3, 1  # per unit and time step of a recurrent layer: of each gate, and beside them
ANSWER_FLOATS = 3  # where the head reads every state
LOOKED_FILTER_FLOATS = 10  # per filter and position of the convolution whose activations are looked at
LOOKED_GATE_FLOATS, LOOKED_STATE_FLOATS = 2, 1  # the same of the layer whose activations are looked at

# How much of recurrent and convolutional networks is held at a time beside training steps, whatever the length.
LOOKED_POSITIONS = 2**14  # samples times positions of convolutions, the same
AT_ONCE, FEWEST = 2**24, 32  # numbers of a layer's pre-activations over time that an evaluation holds; samples at least
NORMALIZED_FLOATS = 1  # of each gate more, where its sums are normalized


def dense_costs(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> Costs:
    """Of fully connected layers of equal width, with samples of a shape and a head of so many units."""
    depth, width = (int(structure[name].value or 0) for name in ("depth", "width"))
    weights = width * (prod(shape) + width * (depth - 1) + outputs)
    units = width * depth
    return Costs(
        weights, ACTIVATION_FLOATS * units, FLOPS_PER_WEIGHT * weights, depth, held=HELD_FLOATS * units,
    )  # fmt: skip


def recurrent_costs(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> Costs:
    """Of recurrent layers of equal width over sequences (time steps, features), and a head on the last state."""
    depth, width = (int(structure[name].value or 0) for name in ("depth", "width"))
    length, features = (shape[0], prod(shape[1:])) if shape else (1, 1)
    gates, ways = GATES.get(structure["cell"].name, 1), len(directions_of(structure))
    weights = ways * gates * width * (features + width + (ways + 1) * width * (depth - 1))
    of_gate = GATE_FLOATS + (0 if structure["normalization"].is_none else NORMALIZED_FLOATS)
    data = dataset_level(structure["dataset"])
    each = data is not None and data.asks is DataKind.CLASSES_EACH  # then one head answers at every step
    floats = ways * length * width * (depth * (of_gate * gates + STATE_FLOATS) + (ANSWER_FLOATS if each else 0))
    head = ways * width * (outputs // length if each else outputs)
    looked = ways * max(length, LOOKED_STEPS) * width * (LOOKED_GATE_FLOATS * gates + LOOKED_STATE_FLOATS)
    flops = FLOPS_PER_WEIGHT * (length * weights + head * (length if each else 1))
    evaluated = length * width * gates
    return Costs(weights + head, floats, flops, depth, ways * length, looked, evaluated)


def convolutional_costs(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> Costs:
    """Of convolutions with equally many filters over samples (positions..., channels), and a head on the last."""
    depth, width, kernel = (int(structure[name].value or 0) for name in ("depth", "width", "kernel_size"))
    spans = kernel ** (len(shape) - 1)
    positions = [prod(sizes) for sizes in sizes_of_layers(structure, shape)]
    kernels = [spans * width * (width if layer else shape[-1]) for layer in range(depth)]
    head = width * outputs * (positions[-1] if structure["head_pool"].name == "flatten" else 1)
    flops = FLOPS_PER_WEIGHT * (head + sum(count * size for count, size in zip(positions, kernels, strict=True)))
    units = width * sum(positions)
    return Costs(
        sum(kernels) + head, ACTIVATION_FLOATS * units, flops, depth,
        looked=LOOKED_FILTER_FLOATS * width * max(positions[0], LOOKED_POSITIONS),
        evaluated=width * positions[0], units=units, convolves=True, held=HELD_FLOATS * units,
    )  # fmt: skip


@dataclass(frozen=True)
class ArchitectureLevel(Level):
    """A kind of network, the kinds of samples it takes (`DatasetLevel.kind`) and what it costs.

    Attributes:
        accepts: the kinds; none given: it takes any.
        costs: of a structure, the shape of a sample and the units of the head.
        defaults: of a suite that fixes this architecture, the level of each factor that it does not name, where that
            is not the factor's own; these factors have no level `none` here.
        spared: those of them that do have it, for the network can do without.
        unused: each factor that it has no use for, and why.
        refused: levels of other factors that it cannot train, and why.
        only: of each such factor the one level that it can train beside none, and why no other.
        has_time: whether its layers go along a sequence step by step.
        has_heads: whether its sub-layers attend, with heads.
        has_positions: whether its layers have outputs at each position of an image or a sequence, and no time.
    """

    accepts: tuple[str, ...] = ()
    costs: Callable[[Mapping[str, Choice], tuple[int, ...], int], Costs] = dense_costs
    defaults: Mapping[str, Scalar] = field(default_factory=dict)
    spared: tuple[str, ...] = ()
    unused: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    only: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    has_time: bool = False
    has_heads: bool = False
    has_positions: bool = False

    def objection(self, factor: str, choice: Choice) -> str:
        """Why this network cannot be made with a factor's choice; empty where it can."""
        if factor in self.unused and not choice.is_none:
            return self.unused[factor]
        if factor in self.defaults and choice.is_none and factor not in self.spared:
            return f"{self.name} needs one; {self.defaults[factor]} is its default."
        if factor in self.only and not choice.is_none and choice.name != self.only[factor][0]:
            return f"{self.name} has {self.only[factor][0]} alone: {self.only[factor][1]}"
        return self.refused.get((factor, choice.name), "")

    def data_objection(self, data: DatasetLevel) -> str:
        """Why this network cannot take a dataset's samples; empty where it can, or only the data can tell."""
        if not data.kind or data.kind in self.accepts or not self.accepts:
            return ""
        if data.kind == TOKENS:
            return (
                f"{data.name} is {TOKENS}, numbers that stand for symbols, which {self.name} would take as sizes; "
                "recurrent takes them one-hot, transformer embeds them."
            )
        levels = [level for level in DATASET.levels if isinstance(level, DatasetLevel)]
        fitting = [level.name for level in levels if level.kind in self.accepts]
        return (
            f"a sample of {data.name} is {a_kind(data.kind)}, and {self.name} takes {a_kind(*self.accepts)}. "
            f"{nearest(data.name, fitting)}"
        )


def costs_of(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> Costs:
    """What a structure costs; one from outside, which planning does not import, as dense layers of its size would."""
    level = ARCHITECTURE.level(structure["architecture"].name)
    costs = level.costs if isinstance(level, ArchitectureLevel) else dense_costs
    return costs(structure, shape, outputs)


def has_time(architecture: Choice) -> bool:
    """Whether its layers go along a sequence step by step; of one from outside nobody knows before it is built."""
    level = ARCHITECTURE.level(architecture.name)
    return level.has_time if isinstance(level, ArchitectureLevel) else True


def _of_recurrent(layers: str) -> dict[str, str]:
    """The factors that recurrent networks alone have, for other layers."""
    names = ("cell", "recurrent_initializer", "gate_bias", "direction", "truncate")
    return dict.fromkeys(names, f"{layers} layers have no state; recurrent ones have.")


def _of_convolutional(layers: str) -> dict[str, str]:
    """The factors that convolutional networks alone have, for other layers."""
    names = [factor.name for factor in CONVOLUTION]
    return dict.fromkeys(names, f"{layers} layers have no kernel that moves over positions; conv has.")


def _of_transformers(layers: str) -> dict[str, str]:
    """The factors that transformers alone have, for other layers."""
    own = dict.fromkeys((each.name for each in OF_TRANSFORMERS), f"{layers} layers have no attention; transformer has.")
    blocks = dict.fromkeys(
        ("feed_forward", "block", "sublayers"), f"{layers} layers are in no blocks; transformer's are."
    )
    tokens = dict.fromkeys(
        ("position", "embedding_initializer", "tied"), f"{layers} layers embed nothing; transformer's do."
    )
    return own | blocks | tokens | {"z_loss": "it is a term of a transformer's loss alone. Leave it at 0."}


def _off_convolutions(layers: str) -> dict[tuple[str, str], str]:
    """Levels of other factors that only convolutions have a use for."""
    centre = f"the kernel of a {layers} layer has no centre; orthogonal is that without one."
    return {("initializer", "delta_orthogonal"): centre}


ARCHITECTURE = Factor(
    "architecture", "The kind of network.", Place.GRAPH, default="mlp", plugins=True,
    levels=(
        ArchitectureLevel(
            "mlp", "Fully connected layers of equal width; inputs are flattened.", "Rumelhart, Hinton & Williams 1986",
            target="bench.engine.architectures.mlp:build", accepts=("vector", "sequence", "image"),
            unused=_of_recurrent("dense") | _of_convolutional("dense") | _of_transformers("dense"),
            refused=_off_convolutions("dense") | {
                ("normalization", "instance_normalization"): (
                    "a unit has one number a sample, which would become 0; layer_normalization is over all units."
                ),
                ("normalization", "layer_spatial_normalization"): "there is no space; layer_normalization is the same.",
            },
        ),
        ArchitectureLevel(
            "conv", "Convolutions with equally many filters over a sequence or an image, and a dense head.",
            "LeCun et al. 1998; Simonyan & Zisserman 2015",
            target="bench.engine.architectures.conv:build", accepts=("sequence", "image"), costs=convolutional_costs,
            has_positions=True,
            defaults={"kernel_size": 3, "padding": "same", "head_pool": "global_average"},
            unused=_of_recurrent("convolutional") | _of_transformers("convolutional"),
            refused={
                ("normalization", "weight_normalization"): (
                    "it is of dense kernels here; layer_spatial_normalization needs no batch either."
                ),
            },
        ),
        ArchitectureLevel(
            "recurrent", "Stacked recurrent layers of equal width over a sequence; the head reads the last state.",
            "Elman 1990; Hochreiter & Schmidhuber 1997",
            target="bench.engine.architectures.recurrent:build", accepts=("sequence", "tokens"), costs=recurrent_costs,
            has_time=True,
            defaults={
                "cell": "simple", "activation": "tanh", "recurrent_initializer": "orthogonal",
                "gate_bias": "unit_forget",
            },
            unused=_of_convolutional("recurrent") | _of_transformers("recurrent") | {
                "skip": "recurrent layers have no blocks to go around; lstm and gru carry their state past them.",
            },
            only={
                "normalization": (
                    "layer_normalization",
                    "it stands inside the cell, where statistics of a batch differ from one time step to the next.",
                ),
            },
            refused={
                ("initializer", "lsuv"): "lsuv scales one product a layer, and a recurrent layer has one a time step.",
                ("initializer", "critical"): "critical solves for dense layers; recurrent_initializer has a gain.",
                **_off_convolutions("recurrent"),
            },
        ),
        ArchitectureLevel(
            "transformer",
            "Blocks of attention and feed-forward sub-layers over a sequence; the head reads the last token, or each.",
            "Vaswani et al. 2017",
            target="bench.engine.architectures.transformer:build", accepts=("sequence", "tokens"),
            costs=transformer_costs, spared=("position",), has_heads=True,
            defaults={
                "heads": 4, "feed_forward": 4, "block": "pre_norm", "sublayers": "both", "query_key": "plain",
                "logit_scale": "inverse_root", "causal": "by_task", "position": "learned",
                "embedding_initializer": "keras_uniform", "tied": "no",
            },
            unused=_of_recurrent("a transformer's") | _of_convolutional("a transformer's") | {
                "skip": "every sub-layer has one; block says how its branch joins.",
                "normalization": "block says where its layer normalizations stand.",
            },
            refused={
                ("initializer", "lsuv"): "lsuv scales one product a layer, and a sub-layer has several.",
                ("initializer", "critical"): "critical solves for dense layers; attention_gain has a factor.",
                **_off_convolutions("transformer"),
            },
        ),
    ),
)  # fmt: skip


def without_use(architectures: Iterable[object]) -> frozenset[str]:
    """The factors that none of these architectures has a use for; of one from outside nothing is known."""
    levels = [ARCHITECTURE.level(str(each)) for each in architectures]
    unused = [frozenset(each.unused) if isinstance(each, ArchitectureLevel) else frozenset() for each in levels]
    return frozenset[str]().union(*unused[:1]).intersection(*unused[1:])


def default_level(factor: Factor, architectures: Iterable[object]) -> Scalar:
    """A factor's level where a suite names none: the architecture's own where there is one alone that has such."""
    levels = [ARCHITECTURE.level(str(each)) for each in architectures]
    own = levels[0] if len(levels) == 1 else None
    return own.defaults.get(factor.name, factor.default) if isinstance(own, ArchitectureLevel) else factor.default


DEPTH = Factor(
    "depth", "Number of hidden layers; the head comes on top.", Place.GRAPH, default=4,
    number=Number(int, minimum=1, maximum=10_000),
)  # fmt: skip

WIDTH = Factor(
    "width", "Units in each hidden layer.", Place.GRAPH, default=64, number=Number(int, minimum=1, maximum=100_000),
)  # fmt: skip
