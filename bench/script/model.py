"""What a family of networks gives a script, and what families share: activations, normalizations, heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.engine.initial import HEAD
from bench.engine.targets import target_of
from bench.factors import FACTORS, Choice
from bench.script.data import Data
from bench.script.layout import call, literal, settings
from bench.script.names import Names
from bench.script.recorded import Recorded
from bench.script.starts import Starts
from bench.script.training import penalized


@dataclass(frozen=True)
class Model:
    """The network of a script.

    Attributes:
        template: of the lines that make `model`, in the folder `models`.
        values: what it shows.
        words: the network in a few words.
        pieces: layers that Keras does not have, in their order: templates in the folder `layers`.
        head: how many variables the head has, which stand last.
    """

    template: str
    values: Mapping[str, object]
    words: str
    pieces: Sequence[str] = ()
    head: int = 2


@dataclass(frozen=True)
class Parts:
    """What a family's builder is given: the run, its rows, its draws, and the names it may use."""

    recorded: Recorded
    data: Data
    names: Names
    starts: Starts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", Starts(self.recorded, self.names))

    def activation(self) -> str:
        """What a layer is given as its activation."""
        target, name, said = self._activation()
        if self.recorded["activation"].name in _catalogued("activation"):
            return literal(self.recorded["activation"].name)
        if isinstance(target, type):
            return call(name, **said)
        return f"lambda x: {call(name, 'x', **said)}" if said else name

    def activation_layer(self) -> str:
        """The activation as a layer of its own."""
        target, name, said = self._activation()
        if isinstance(target, type):
            return call(name, **said)
        return call("layers.Activation", self.activation())

    def _activation(self) -> tuple[object, str, dict[str, str]]:
        choice = self.recorded["activation"]
        level = FACTORS["activation"].level(choice.name)
        path = choice.name if level is None else level.target
        return target_of("activation", choice), self.names(path), settings(dict(choice.settings))

    def normalization(self, positions: int = 0) -> tuple[str, str]:
        """The normalization layer, and whether it stands before or after the activation; two empty texts without.

        Args:
            positions: how many axes of positions there are before that of the units.
        """
        choice = self.recorded["normalization"]
        if choice.name in ("none", "weight_normalization"):
            return "", ""
        said: dict[str, object] = dict(choice.settings)
        position = str(said.pop("position", "before"))
        if choice.name == "batch_normalization" and said.get("momentum") == 0.99:
            del said["momentum"]
        if choice.name == "layer_spatial_normalization":
            said["axis"] = list(range(1, positions + 2))
        if choice.name == "instance_normalization":
            said["groups"] = -1  # as many as there are filters
        level = FACTORS["normalization"].level(choice.name)
        return call(self.names(choice.name if level is None else level.target), **settings(said)), position

    def head(self, fan_in: int, units: int) -> str:
        """The dense layer that gives the outputs."""
        draws = {"kernel_initializer": self.starts.kernel(HEAD, (fan_in, units))} | self.starts.bias(HEAD)
        return call(
            "layers.Dense", units, **{name: draw.source() for name, draw in draws.items()}, **penalized(self.recorded)
        )


Build = Callable[[Parts], Model]


def _catalogued(factor: str) -> set[str]:
    return {level.name for level in FACTORS[factor].levels}


def plural_layers(count: int, kind: str) -> str:
    """`4 dense layers`."""
    return f"{count} {kind} layer{'' if count == 1 else 's'}"


def named(choice: Choice) -> str:
    """A level in words."""
    return choice.label.replace("_", " ")
