"""What a step makes of a batch in Keras's words: loss, penalties, clipping, learning rate and optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.engine.initial import derive_seed
from bench.engine.optimizers import make_optimizer
from bench.engine.targets import target_of
from bench.factors import FACTORS
from bench.script.data import Data
from bench.script.layout import call, literal, settings
from bench.script.names import Names
from bench.script.precision import precision_of
from bench.script.recorded import Recorded

CLIPS = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
LOSSES = {
    "auto": "MeanSquaredError", "mean_squared_error": "MeanSquaredError", "mean_absolute_error": "MeanAbsoluteError",
    "huber": "Huber",
}  # fmt: skip
PENALTIES = {"l1": "L1", "l2": "L2"}


@dataclass(frozen=True)
class Loss:
    """The loss as a script has it.

    Attributes:
        source: what makes it.
        targets: what it is given for the targets `y`.
        weights: of each class; none where all count alike.
    """

    source: str
    targets: str = "y"
    weights: tuple[float, ...] = ()


def loss_of(recorded: Recorded, data: Data) -> Loss:
    """The loss that the run minimized, without penalties: the one that was recorded."""
    objective, choice = data.objective, recorded["loss"]
    smoothing = float(recorded["label_smoothing"].value or 0)
    weights = () if recorded["class_weight"].is_none else tuple(float(f"{each:.9g}") for each in objective.balanced)
    smoothed = {"label_smoothing": literal(smoothing)} if smoothing else {}
    if not objective.balanced:
        made = call(f"keras.losses.{LOSSES[choice.name]}", **settings(dict(choice.settings)))
        return Loss(made)
    if objective.is_binary:
        return Loss(call("keras.losses.BinaryCrossentropy", from_logits=True, **smoothed), "y[:, None]", weights)
    if smoothing:
        made = call("keras.losses.CategoricalCrossentropy", from_logits=True, **smoothed)
        return Loss(made, f"keras.ops.one_hot(y, {data.outputs})", weights)
    return Loss("keras.losses.SparseCategoricalCrossentropy(from_logits=True)", "y", weights)


def optimizer_of(recorded: Recorded, names: Names) -> str:
    """The optimizer, which is given `learning_rate` by that name where it changes over the run."""
    choice, clip, rule = (recorded[name] for name in ("optimizer", "clipping", "regularization"))
    given: dict[str, object] = {"learning_rate": recorded["learning_rate"].value}
    level = FACTORS["optimizer"].level(choice.name)
    if choice.name == "nesterov":
        name, kind = "keras.optimizers.SGD", type(make_optimizer(choice))
        given |= dict(choice.settings) | {"nesterov": True}
    else:
        name, kind = names(choice.name if level is None else level.target), type(make_optimizer(choice))
        given |= dict(choice.settings)
    if rule.name == "weight_decay":
        given["weight_decay"] = rule.setting("strength")
    if clip.name in CLIPS:
        given[CLIPS[clip.name]] = clip.setting("threshold")
    given |= precision_of(recorded).given
    words = {
        key: literal(value)
        for key, value in given.items()
        if key == "learning_rate" or key not in (defaults := _defaults(kind)) or defaults[key] != value
    }
    if not (recorded["warmup"].is_none and recorded["schedule"].is_none):
        words["learning_rate"] = "learning_rate"
    return call(name, **words)


def _defaults(kind: Callable[..., object]) -> Mapping[str, object]:
    return {name: each.default for name, each in inspect.signature(kind).parameters.items()}


@dataclass(frozen=True)
class Rate:
    """The course of a learning rate: what makes it, and whether that needs a warm-up that Keras does not have."""

    source: str = ""
    rises: bool = False


def rate_of(recorded: Recorded) -> Rate:
    """Keras's schedule, behind the run's warm-up; nothing where the rate stays."""
    rate, steps = float(recorded["learning_rate"].value or 0), recorded.number("steps")
    schedule, warmup = recorded["schedule"], recorded["warmup"]
    rising = 0 if warmup.is_none else int(warmup.setting("steps"))
    low = float(f"{rate / (rising + 1):.12g}")
    named = {name: steps - rising if each == "steps" else each for name, each in schedule.settings}
    if schedule.is_none:
        if not rising:
            return Rate()
        # a straight line that ends at the rate and stays there
        line = {"initial_learning_rate": low, "decay_steps": rising, "end_learning_rate": rate}
        return Rate(call("keras.optimizers.schedules.PolynomialDecay", **settings(line)))
    target = target_of("schedule", schedule)
    named = {name: value for name, value in named.items() if _defaults(target).get(name) != value}
    name = f"keras.optimizers.schedules.{target.__name__}"
    if schedule.name == "cosine_decay" and rising:
        return Rate(call(name, literal(low), **settings(named | {"warmup_target": rate, "warmup_steps": rising})))
    made = call(name, literal(rate), **settings(named))
    return Rate(call("WarmUp", literal(rate), literal(rising), made), rises=True) if rising else Rate(made)


def penalized(recorded: Recorded, *, recurrent: bool = False, axes: int = 2) -> dict[str, str]:
    """What a layer is told of its kernels of so many axes: a penalty, or a bound on each unit's norm."""
    rule = recorded["regularization"]
    if rule.name in PENALTIES:
        name, setting, kind = f"keras.regularizers.{PENALTIES[rule.name]}", "strength", "regularizer"
    elif rule.name == "max_norm":
        name, setting, kind = "keras.constraints.MaxNorm", "limit", "constraint"
    else:
        return {}
    more = {"axis": literal(list(range(axes - 1)))} if kind == "constraint" and axes > 2 else {}
    made = call(name, literal(rule.setting(setting)), **more)
    return {f"{role}_{kind}": made for role in ("kernel", *(("recurrent",) if recurrent else ()))}


def minimized_of(recorded: Recorded, data: Data) -> str:
    """What the gradient is taken of: the loss with penalties, with that of large logits, and scaled."""
    said, factor = "loss", float(recorded["z_loss"].value or 0)
    if recorded["regularization"].name in PENALTIES:
        said += " + sum(model.losses)"
    if factor:
        log = "softplus(outputs)" if data.objective.is_binary else "logsumexp(outputs, axis=-1)"
        said += f" + {literal(factor)} * keras.ops.mean(keras.ops.{log} ** 2)"
    return f"optimizer.scale_loss({said})" if precision_of(recorded).scaled else said


def clips_by_unit(recorded: Recorded) -> float | None:
    """The threshold of adaptive clipping, which Keras does not have; None without."""
    clip = recorded["clipping"]
    return float(clip.setting("threshold")) if clip.name == "adaptive" else None


def dropout_of(recorded: Recorded) -> tuple[float, int] | None:
    """The rate of dropout and the seed of its masks; None without."""
    rate = float(recorded["dropout"].value or 0)
    return (rate, derive_seed(recorded.run.seed, "dropout", 0)) if rate else None
