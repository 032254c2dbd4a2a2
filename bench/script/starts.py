"""The run's initial weights in Keras's words: an initializer for each kernel and bias, with the seed of its own draw.

Of equal layers, what is the same in all stands in the call, and what differs in a list, a row a layer: most often that
is the seed alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

from bench.engine.critical import bias_choice, kernel_choice
from bench.engine.initial import HEAD, derive_seed
from bench.engine.targets import target_of
from bench.engine.train import Training
from bench.factors import FACTORS, Choice
from bench.plan import Cohort
from bench.script.layout import call, literal, rows
from bench.script.names import Names
from bench.script.recorded import Recorded

GAIN = "gain"  # of orthogonal kernels, 1 where none is written


@dataclass(frozen=True)
class Draw:
    """One initializer.

    Attributes:
        name: what it is called.
        arguments: their values by name.
        function: whether it is a function of the shape itself.
        unnamed: how many arguments are written without their names.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    function: bool = False
    unnamed: int = 0

    def source(self, named: Mapping[str, str] | None = None) -> str:
        """The initializer as written, with names in the place of some arguments' values."""
        if self.function and not self.arguments:
            return self.name
        words = {key: (named or {}).get(key, literal(value)) for key, value in self.arguments.items()}
        if self.function:
            return f"lambda shape, dtype=None: {call(self.name, 'shape', dtype='dtype', **words)}"
        first = list(words)[: self.unnamed]
        return call(self.name, *(words.pop(key) for key in first), **words)


@dataclass(frozen=True)
class Drawn:
    """How equal layers are drawn.

    Attributes:
        arguments: of each of a layer's arguments (`kernel_initializer`) its source; what differs goes by its name.
        names: of what differs between layers, such as `seed`.
        values: a row a layer of what goes by these names.
    """

    arguments: Mapping[str, str]
    names: tuple[str, ...]
    values: tuple[tuple[object, ...], ...]

    @property
    def row(self) -> str:
        """What a loop over the list calls a row of it."""
        return ", ".join(self.names) or "_"

    @property
    def listed(self) -> str:
        """The list; of layers that differ in nothing their numbers."""
        return rows(self.values) if self.names else f"range({len(self.values)})"


def together(layers: Sequence[Mapping[str, Draw]]) -> Drawn:
    """How layers are drawn of which each has the same initializers by argument, with arguments of their own."""
    layers = [{argument: _with_gain(draw, argument, layers) for argument, draw in layer.items()} for layer in layers]
    first = layers[0]
    differing = [
        (argument, key)
        for argument, draw in first.items()
        for key in draw.arguments
        if len({str(layer[argument].arguments[key]) for layer in layers}) > 1
    ]
    keys = [key for _, key in differing]
    names = {
        (argument, key): key if keys.count(key) == 1 else f"{argument.removesuffix('_initializer')}_{key}"
        for argument, key in differing
    }
    sources = {
        argument: draw.source({key: name for (of, key), name in names.items() if of == argument})
        for argument, draw in first.items()
    }
    values = tuple(tuple(layer[argument].arguments[key] for argument, key in differing) for layer in layers)
    return Drawn(sources, tuple(names.values()), values)


def _with_gain(draw: Draw, argument: str, layers: Sequence[Mapping[str, Draw]]) -> Draw:
    """The same with its gain of 1 written out, where another of these layers has a gain."""
    written = any(GAIN in layer[argument].arguments for layer in layers)
    return replace(draw, arguments={GAIN: 1.0} | dict(draw.arguments)) if written else draw


@dataclass(frozen=True)
class Starts:
    """What draws the weights of a run; `role` and `index` are those of the engine's seeds, `HEAD` the head's."""

    recorded: Recorded
    names: Names

    def kernel(self, index: int, shape: tuple[int, ...], role: str = "kernel") -> Draw:
        """The initializer of a layer's kernel of a shape."""
        if self.recorded["initializer"].name == "lsuv":
            gain = {} if self.length(index) else {"gain": self._gains[index]}
            return Draw("initializers.Orthogonal", gain | {"seed": self.seed(role, index)})
        choice = kernel_choice(self.recorded["initializer"], self.recorded["activation"], shape)
        return self.draw(choice, role, index)

    def length(self, index: int) -> dict[str, Draw]:
        """With weight normalization, the start of a hidden layer's lengths as an argument, where lsuv set them."""
        levels = [self.recorded[name].name for name in ("initializer", "normalization")]
        if levels != ["lsuv", "weight_normalization"] or index == HEAD:
            return {}
        return {"length_initializer": Draw("initializers.Constant", {"value": self._gains[index]})}

    def recurrent(self, index: int, role: str = "recurrent_kernel") -> Draw:
        """The initializer of a layer's recurrent kernel."""
        choice = self.recorded["recurrent_initializer"]
        if choice.name == "identity":
            return Draw("initializers.Identity", {"gain": choice.setting("gain")})
        return self.draw(choice, role, index)

    def bias(self, index: int, role: str = "bias") -> dict[str, Draw]:
        """The initializer of a layer's bias as an argument; none where it starts at 0, as Keras has it."""
        levels = (self.recorded[name] for name in ("initializer", "activation", "bias_initializer"))
        choice = bias_choice(*levels)
        if choice.name == "zeros":
            return {}
        arguments = {"stddev": rounded(float(choice.setting("stddev"))), "seed": self.seed(role, index)}
        return {"bias_initializer": Draw("initializers.RandomNormal", arguments)}

    def draw(self, choice: Choice, role: str, index: int) -> Draw:
        """What a level of `initializer` draws, by the seed of a role and a layer."""
        settings: dict[str, object] = {
            key: rounded(value) if isinstance(value, float) else value for key, value in choice.settings
        }
        unnamed = 0
        if choice.name == "random_uniform":
            limit = float(choice.setting("limit"))
            settings, unnamed = {"minval": -limit, "maxval": limit}, 2
        if settings.get("gain") == 1.0:
            del settings["gain"]
        if choice.name == "delta_orthogonal":
            return Draw("DeltaOrthogonal", settings | {"seed": self.seed(role, index)})
        level, target = FACTORS["initializer"].level(choice.name), target_of("initializer", choice)
        name = self.names(choice.name if level is None else level.target)
        if not isinstance(target, type):
            return Draw(name, settings, function=True)
        seeded = "seed" in inspect.signature(target).parameters
        return Draw(name, settings | ({"seed": self.seed(role, index)} if seeded else {}), unnamed=unnamed)

    def seed(self, role: str, index: int) -> int:
        """Of the draw of a role in a layer."""
        return derive_seed(self.recorded.run.seed, role, index)

    @cached_property
    def _gains(self) -> dict[int, float]:
        """What lsuv found on the run's data: the gain of each layer's orthogonal kernel, the head's too."""
        run = self.recorded.run
        ensemble = Training(Cohort(run.cell_key, self.recorded.suite, (run,), {})).ensemble
        kernels = [
            (stack.weights.get("length"), stack.kernel.numpy()[block, 0], block)
            for stage, stacks in zip(ensemble.network.stages, ensemble.stages, strict=True)
            for block in range(stage.count)
            for stack in stacks
        ]
        found = [
            _gain(kernel) if length is None else rounded(length.numpy()[block, 0, 0])
            for length, kernel, block in kernels
        ]
        return dict(enumerate(found)) | {HEAD: _gain(ensemble.head.kernel.numpy()[0, 0])}


def _gain(kernel: np.ndarray) -> float:
    """Of a gain times an orthogonal matrix, whose singular values all are that gain: min(rows, columns) of them."""
    singular = min(prod(kernel.shape[:-1]), kernel.shape[-1])
    return rounded(np.linalg.norm(kernel.astype(np.float64)) / singular**0.5)


def rounded(number: float) -> float:
    """To the digits that a 32-bit float holds."""
    return float(f"{number:.8g}")
