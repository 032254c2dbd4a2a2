"""A Keras model of a user's own as a suite's architecture: what its function reads, and how it is built and drawn.

`build(structure, input_shape, outputs)` with an attribute `reads`, the factors that it looks at, returns a Keras model
that ends with the logits, or the values. Its runs train one at a time (bench.engine.model_training); a function without
`reads` returns a `Network`, whose runs share a graph (bench.engine.network).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, update_wrapper
from math import prod
from typing import Any

import keras

from bench.engine.initial import HEAD, derive_seed, draw_bias, draw_kernel
from bench.engine.stacks import is_kernel, kind_of_role, roles
from bench.engine.targets import resolve, target_of
from bench.errors import SuiteError, nearest
from bench.factors import FACTORS, Choice, Costs, choose
from bench.plan import Run

Cell = Mapping[str, Choice]

# What is done for any model, whether it reads it or not.
APPLIED = (
    "architecture", "dataset", "preprocessing", "target_preprocessing", "loss", "label_smoothing", "batch_size",
    "steps", "optimizer", "learning_rate", "warmup", "schedule", "clipping", "regularization",
)  # fmt: skip
DRAWN = ("initializer", "bias_initializer")  # what is drawn after the model is built, where it is among `reads`
UNABLE = {
    ("clipping", "adaptive"): "Keras's optimizers have no adaptive clipping.",
    ("initializer", "lsuv"): "it scales the layers of a stacked network by its data.",
    ("initializer", "critical"): "it knows plain dense layers alone.",
}
UNREADABLE = ("precision",)  # a model has its own


class Structure:
    """What a suite says of a network, to the function that builds it: `structure.depth`, `structure.activation`.

    Numbers are numbers, the activation is what Keras layers take, another level is its name, None where there is none;
    `structure["skip"]` is the choice itself, with its settings.
    """

    def __init__(self, cell: Cell, reads: tuple[str, ...]) -> None:
        self._cell = cell
        self._reads = reads

    def __getitem__(self, factor: str) -> Choice:
        """The choice of a factor.

        Raises:
            SuiteError: it is not among those that the function declares.
        """
        if factor not in self._reads or factor in DRAWN:
            raise SuiteError(
                f'architecture "{self._cell["architecture"].label}" looks at structure.{factor}. '
                f"{nearest(factor, [name for name in self._reads if name not in DRAWN])} Its `reads` declares them."
            )
        return self._cell[factor]

    def __getattr__(self, factor: str) -> Any:
        """The level of a factor; see the class."""
        if factor.startswith("_"):
            raise AttributeError(factor)
        choice = self[factor]
        if choice.value is not None:
            return choice.value
        if factor != "activation":
            return None if choice.is_none else choice.name
        target, settings = target_of("activation", choice), dict(choice.settings)
        if isinstance(target, type):
            return target(**settings)
        return update_wrapper(partial(target, **settings), target) if settings else target


def trains_alone(name: str) -> bool:
    """Whether an architecture is a Keras model, whose runs train one at a time.

    Raises:
        SuiteError: a function from outside that cannot be imported.
    """
    return FACTORS["architecture"].level(name) is None and hasattr(resolve(name), "reads")


def reads_of(name: str) -> tuple[str, ...]:
    """The factors that the function of an architecture declares to read.

    Raises:
        SuiteError: they are no names of factors, or of some that it cannot read.
    """
    reads = resolve(name).reads  # type: ignore[attr-defined]
    said = f'architecture "{name}": its `reads`'
    if isinstance(reads, str) or not all(isinstance(each, str) for each in reads):
        raise SuiteError(f'{said} is {reads!r}; it is the names of factors, such as ("depth", "width").')
    readable = [each for each in FACTORS if each not in (*APPLIED, *UNREADABLE)]
    for each in reads:
        if each in APPLIED:
            raise SuiteError(f'{said} has "{each}", which is done for every model. Leave it out.')
        if each not in readable:
            raise SuiteError(f'{said} has "{each}". {nearest(each, readable)}')
    return tuple(reads)


def check_cell(cell: Cell) -> None:
    """Refuse levels that would stand in the tables and change nothing.

    Raises:
        SuiteError: a factor that the function does not read is not at its default, or a level that no model has.
    """
    name = cell["architecture"].name
    reads = reads_of(name)
    for factor, choice in cell.items():
        if factor not in (*APPLIED, *reads) and choice.label != choose(FACTORS[factor], FACTORS[factor].default).label:
            raise SuiteError(
                f'architecture "{name}" does not read {factor}, so {factor} {choice.label} would change nothing. '
                f"{nearest(factor, reads)} Add it to its `reads`, or leave it out of the suite."
            )
        if why := UNABLE.get((factor, choice.name)):
            raise SuiteError(f'architecture "{name}" and {factor} {choice.label} do not go together: {why}')


def build_model(cell: Cell, shape: tuple[int, ...], outputs: int, seed: int = 0) -> keras.Model:
    """The model of a cell as its function builds it, from a state of Keras's random numbers and names of its own.

    Raises:
        SuiteError: it is no built Keras model, or has another head.
    """
    choice = cell["architecture"]
    keras.utils.clear_session(free_memory=False)  # layers are named anew: tables hold their names
    keras.utils.set_random_seed(derive_seed(seed, "model", 0))
    structure = Structure(cell, reads_of(choice.name))
    model = resolve(choice.name)(structure, shape, outputs, **dict(choice.settings))
    built = f'architecture "{choice.label}" built'
    if not isinstance(model, keras.Model):
        raise SuiteError(f"{built} a {type(model).__name__}, not a keras.Model.")
    sample = model(keras.ops.zeros((1, *shape)))  # which builds what is not, and only a call tells a subclass's shape
    made = tuple(getattr(sample, "shape", ()))
    if made != (1, outputs):
        raise SuiteError(
            f"{built} outputs of shape {(None, *made[1:])}, not {(None, outputs)}: logits, or values, and no softmax."
        )
    return model


def draw_start(model: keras.Model, run: Run) -> None:
    """Draw kernels, and biases, as the engine draws those of a layer in that place, where the function reads that."""
    reads = reads_of(run.choices["architecture"].name)
    layers: dict[str, list[keras.Variable]] = {}
    for variable in model.trainable_variables:
        layers.setdefault(variable.path.rpartition("/")[0], []).append(variable)
    with_kernel = [path for path, variables in layers.items() if any(is_kernel(role) for role in roles(variables))]
    for place, path in enumerate(with_kernel):
        index = HEAD if path == with_kernel[-1] else place
        for variable, role in zip(layers[path], roles(layers[path]), strict=True):
            seed, shape = derive_seed(run.seed, role, index), tuple(variable.shape)
            if is_kernel(role) and "initializer" in reads:
                variable.assign(draw_kernel(run.choices["initializer"], seed, shape))
            elif kind_of_role(role) == "bias" and "bias_initializer" in reads:
                variable.assign(draw_bias(run.choices["bias_initializer"], seed, shape))


def costs_of_model(cell: Cell, shape: tuple[int, ...], outputs: int) -> Costs:
    """What a run takes, counted on the model that the cell's function builds; once for all that it is the same for."""
    architecture = cell["architecture"]
    read = tuple(cell[name] for name in reads_of(architecture.name) if name not in DRAWN)
    key = architecture, read, shape, outputs
    if key not in _COUNTED:
        _COUNTED[key] = _counted(build_model(cell, shape, outputs))
    return _COUNTED[key]


_COUNTED: dict[object, Costs] = {}


def _counted(model: keras.Model) -> Costs:
    weights = numbers = products = layers = 0
    for layer in model._flatten_layers(include_self=False):
        made = _numbers(layer)
        numbers += made
        if list(layer._flatten_layers(include_self=False)):
            continue
        kernels = [v for v in layer.trainable_variables if is_kernel(v.name)]
        size = sum(prod(kernel.shape) for kernel in kernels)
        weights += size
        products += size * max(1, made // int(kernels[0].shape[-1]) if kernels else 1)
        layers += bool(kernels)
    return Costs(weights, 2 * numbers, 6 * products, max(1, layers - 1), alone=True)


def _numbers(layer: Any) -> int:
    """Numbers of a sample that a layer makes; 0 where only a call can tell."""
    try:
        return sum(prod(each.shape[1:]) for each in keras.tree.flatten(layer.output))
    except (AttributeError, TypeError):
        return 0
