"""What the theory needs of a network, read from a run's levels as the `runs` table spells them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BenchError, SuiteError, during
from bench.factors import (
    FACTORS,
    ArchitectureLevel,
    Choice,
    DataKind,
    dataset_level,
    default_level,
    level_name,
    read_label,
)
from bench.factors.losses import BINARY
from bench.theory.activations import Nonlinearity, activation
from bench.theory.weights import WeightLaw, bias_variance, weight_law

NORMALIZATIONS = (
    "none", "batch_normalization", "layer_normalization", "rms_normalization", "group_normalization",
    "unit_normalization", "weight_normalization",
)  # fmt: skip

MLP = "mlp"
READ = (
    "depth", "width", "activation", "initializer", "bias_initializer", "normalization", "skip",
    "batch_size", "dropout",
)  # fmt: skip


@dataclass(frozen=True)
class DenseNetwork:
    """A multilayer perceptron of the suite at initialization.

    Attributes:
        phi: the activation.
        depth, width: hidden layers, and units in each.
        inputs: features of a sample.
        classes: units of the head.
        first, hidden, head: how the kernels [inputs, width], [width, width] and [width, classes] are drawn.
        bias_variance: sigma_b^2.
        normalization: the choice of that factor.
        skip_layers: hidden layers in a block with a skip connection; 0 without.
        branch_scale: what the branch is multiplied by before the stream is added: 1, 0 for residual_scaled, or
            scale / blocks^exponent for residual_damped.
        batch_size: samples in a training batch.
        binary: whether the head's one unit tells two classes apart, by the logistic function.
    """

    phi: Nonlinearity
    depth: int
    width: int
    inputs: int
    classes: int
    first: WeightLaw
    hidden: WeightLaw
    head: WeightLaw
    bias_variance: float
    normalization: Choice
    skip_layers: int
    branch_scale: float
    batch_size: int
    binary: bool = False

    @property
    def position(self) -> str:
        """Where a normalization of values stands: `before` or `after` the activation; empty where there is none."""
        if self.normalization.name in ("none", "weight_normalization"):
            return ""
        return str(self.normalization.setting("position"))

    @property
    def plain(self) -> bool:
        """Whether each layer's mean square follows from the one below by the variance map alone.

        A normalization, a skip connection and lsuv set it anew.
        """
        return not self.position and not self.skip_layers and self.hidden.tolerance is None

    def ends_block(self, layer: int) -> bool:
        """Whether the stream of a skip connection is added in this layer, counted from 0."""
        if not self.skip_layers or layer == 0:
            return False
        return layer % self.skip_layers == 0 or layer == self.depth - 1


def network_of(
    levels: Mapping[str, object], inputs: int | Sequence[int] | None = None, classes: int | None = None
) -> DenseNetwork:
    """The network that a run's levels describe.

    Args:
        levels: factor to level: a label as in the `runs` table (`random_normal(stddev=0.3)`), a number, a table
            with `level` and settings as a suite writes it, a `Choice`, or for the activation a `Nonlinearity`.
            Factors that are missing take their defaults; columns that are no factor are left alone.
        inputs: features of a sample, or the sample's shape; by default those of the dataset.
        classes: by default those of the dataset; of `binary_crossentropy` one unit.

    Raises:
        SuiteError: a level that does not exist; the message names the nearest.
        BenchError: what the theory does not cover: another architecture than dense layers, a plugin.
    """
    architecture = levels.get("architecture") or MLP
    written = architecture.get("level") if isinstance(architecture, Mapping) else architecture
    name = written.name if isinstance(written, Choice) else level_name(str(written))
    if name != MLP:
        own = " It has its own: docs/theory.md." if name in ("conv", "transformer", "recurrent") else ""
        raise BenchError(f'The theory covers dense layers (mlp), not the architecture "{name}".{own}')
    choices, phi = choices_of(levels, MLP, READ)
    if choices["dropout"].value:
        raise BenchError("The theory does not cover dropout.")
    normalization = choices["normalization"]
    if normalization.name not in NORMALIZATIONS:
        raise BenchError(f'The theory knows nothing of the normalization "{normalization.name}".')
    if choices["skip"].name in ("residual_v1", "fixup"):
        raise BenchError(f"The theory does not cover the skip connection {choices['skip'].name}.")
    if choices["skip"].name == "residual_post_norm" and dict(normalization.settings).get("position") == "before":
        raise BenchError("The theory does not cover a skip connection with its normalization on the path.")
    features, targets = _data(levels, inputs, classes)
    binary = choice_of("loss", levels.get("loss") or FACTORS["loss"].default).name == BINARY and targets <= 2
    targets = 1 if binary else targets
    width, skip = int(choices["width"].value or 0), choices["skip"]
    start, normalized = choices["initializer"], normalization.name == "weight_normalization"
    return DenseNetwork(
        phi=phi,
        depth=int(choices["depth"].value or 0),
        width=width,
        inputs=features,
        classes=targets,
        first=weight_law(start, features, width, phi, normalized=normalized),
        hidden=weight_law(start, width, width, phi, normalized=normalized),
        head=weight_law(start, width, targets, phi),
        bias_variance=bias_variance(choices["bias_initializer"], start, phi),
        normalization=normalization,
        skip_layers=0 if skip.is_none else int(skip.setting("layers")),
        branch_scale=branch_scale(skip, int(choices["depth"].value or 0)),
        batch_size=int(choices["batch_size"].value or 0),
        binary=binary,
    )


def branch_scale(skip: Choice, depth: int) -> float:
    """What a block's output is multiplied by before it is added to the stream."""
    if skip.name == "residual_scaled":
        return 0.0
    if skip.name != "residual_damped":
        return 1.0
    blocks = max(math.ceil((depth - 1) / int(skip.setting("layers"))), 1)
    return float(float(skip.setting("scale")) / blocks ** float(skip.setting("exponent")))


def choices_of(
    levels: Mapping[str, object], architecture: str, names: Sequence[str]
) -> tuple[dict[str, Choice], Nonlinearity]:
    """The choices of these factors, which are missing at the architecture's defaults, and the activation.

    Raises:
        SuiteError: a level that does not exist, or that the architecture has no use for; the message names the nearest.
        BenchError: an activation of which no formula is known.
    """
    own, defaults = levels.get("activation"), {name: default_level(FACTORS[name], [architecture]) for name in names}
    choices = {
        name: choice_of(name, levels[name] if levels.get(name) is not None else defaults[name])
        for name in names
        if not (name == "activation" and isinstance(own, Nonlinearity))
    }
    level = FACTORS["architecture"].level(architecture)
    for name, choice in choices.items():
        if isinstance(level, ArchitectureLevel) and (objection := level.objection(name, choice)):
            raise SuiteError(f'{name} "{choice.label}": {objection}')
    if isinstance(own, Nonlinearity):
        return choices, own
    return choices, activation(choices["activation"].name, dict(choices["activation"].settings))


def choice_of(factor: str, written: object) -> Choice:
    """The choice that a label, a number, a table or a `Choice` makes for a factor.

    Raises:
        SuiteError: it is none of the factor's levels, or its settings are wrong; the factor is named.
    """
    if isinstance(written, Choice):
        return written
    with during(f"{factor}:"):
        return read_label(FACTORS[factor], written)


def _data(levels: Mapping[str, object], inputs: int | Sequence[int] | None, classes: int | None) -> tuple[int, int]:
    """Features and classes, from what was given or the dataset of the levels."""
    level = dataset_level(choice_of("dataset", levels.get("dataset") or FACTORS["dataset"].default))
    if level is not None and level.asks is DataKind.CLASSES_EACH:
        raise BenchError("The theory covers one target a sample, not one at each step.")
    shape = inputs if inputs is not None else level.shape if level is not None else ()
    if shape == ():
        raise BenchError("The number of input features is not known: give `inputs`.")
    features = int(shape) if isinstance(shape, int) else math.prod(map(int, shape))
    return features, classes or (level.classes if level is not None else 0) or 2
