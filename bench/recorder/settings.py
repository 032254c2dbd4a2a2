"""A network's settings as the project's factors: what of a model, an optimizer and a loss the tables can name.

What has no word there is recorded as `own`, what differs between layers as `mixed`, and a number as null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from bench.errors import SuiteError, nearest
from bench.factors import FACTORS, MIXED, OWN, choose
from bench.recorder.inner_optimizers import innermost
from bench.recorder.layers import below, path_of
from bench.recorder.layout import Layout

Level = str | int | float | None
NORMALIZATIONS = {
    getattr(keras.layers, name): word
    for name, word in {
        "BatchNormalization": "batch_normalization",
        "LayerNormalization": "layer_normalization",
        "GroupNormalization": "group_normalization",
        "RMSNormalization": "rms_normalization",  # since Keras 3.9
        "UnitNormalization": "unit_normalization",
    }.items()
    if hasattr(keras.layers, name)
}
ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
CELLS = {keras.layers.SimpleRNN: "simple", keras.layers.LSTM: "lstm", keras.layers.GRU: "gru"}
SHORT_LOSSES = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "bce": "binary_crossentropy"}
KNOWN_OPTIMIZERS = {"RMSprop": "rmsprop", "Adam": "adam", "AdamW": "adamw"}


def read_settings(model: keras.Model, layout: Layout, optimizers: Sequence[Any], loss: Any = None) -> dict[str, Level]:
    """What a model, its optimizers and its loss tell, by factor, as the columns of `runs`.

    Args:
        model: what is trained.
        layout: of its recorded steps.
        optimizers: what it is trained with.
        loss: what compares answers with targets; None: what the model was compiled with.
    """
    layers = list(model._flatten_layers(include_self=False))
    hidden = [place for place in layout.rows if not place.head]
    widths = {place.features for place in hidden}
    attentions = [each for each in layers if isinstance(each, ATTENTION)]
    convolutions = [each for each in layers if hasattr(each, "kernel_size") and hasattr(each, "padding")]
    found: dict[str, Level] = {
        "depth": _depth(hidden, attentions),
        "width": widths.pop() if len(widths) == 1 else None,
        "activation": _same([_activation(place.activation) for place in hidden if place.activation], "linear"),
        "initializer": _same([_drawn(each, "kernel_initializer", "initializer") for each in layers], OWN),
        "bias_initializer": _same([_drawn(each, "bias_initializer", "bias_initializer") for each in layers], "zeros"),
        "normalization": _same([word for kind, word in NORMALIZATIONS.items() if _any(layers, kind)], "none"),
        "kernel_size": _most([max(each.kernel_size) for each in convolutions], 0),
        "padding": _same([_labelled("padding", each.padding, {}) for each in convolutions], "none"),
        "heads": _most([_heads(each) for each in attentions], 0),
        "cell": _same([word for kind, word in CELLS.items() if _any(layers, kind)], "none"),
        "regularization": _same([_penalty(each) for each in layers], "none"),
        "dropout": _number({each.rate for each in layers if isinstance(each, keras.layers.Dropout)}),
        "precision": _labelled("precision", model.dtype_policy.name, {}),
        **_of_loss(model.loss if loss is None else loss),
        **(_of_optimizer(innermost(optimizers[0])) if optimizers else {}),
    }
    if _any(layers, keras.layers.Add):
        found["skip"] = "residual"
    if len(optimizers) > 1:
        each = [_of_optimizer(innermost(one)) for one in optimizers]
        found |= {"optimizer": _same([str(one["optimizer"]) for one in each], OWN)}
        if any(one["learning_rate"] != each[0]["learning_rate"] for one in each):
            found["learning_rate"] = None
    return found


def asked_settings(settings: Mapping[str, Any]) -> dict[str, Level]:
    """What a user says of a network, as columns of `runs`.

    Raises:
        ValueError: a name is no factor's, or a value none of its levels.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f'settings={settings!r} is not allowed: a dict such as {{"dataset": "digits"}}.')
    found: dict[str, Level] = {}
    for name, value in settings.items():
        if name not in FACTORS:
            raise ValueError(f'settings: there is no "{name}". {nearest(name, FACTORS)}')
        plain = value.item() if hasattr(value, "item") else value
        try:
            found[name] = plain if plain in (OWN, MIXED) else choose(FACTORS[name], plain).column
        except SuiteError as error:
            raise ValueError(f"settings: {name}: {error}") from None
    return found


def settled(told: Mapping[str, Level], asked: Mapping[str, Level]) -> tuple[dict[str, Level], str]:
    """Each factor's level, and a sentence on where a user says otherwise than the model, which wins; "" for none.

    What the model leaves open is as the user says, else as a suite has it that does not name the factor.
    """
    open_ = (None, OWN, MIXED)
    found: dict[str, Level] = {name: choose(factor, factor.default).column for name, factor in FACTORS.items()}
    found |= dict.fromkeys(("dataset", "preprocessing", "architecture"), OWN)
    found |= told
    found |= {name: level for name, level in asked.items() if told.get(name) in open_}
    odd = [
        f"{name} {level}, the model says {told[name]}"
        for name, level in asked.items()
        if told.get(name) not in open_ and not _alike(level, told[name])
    ]
    return found, f"settings say {'; '.join(odd)}: recorded is what the model says." if odd else ""


def _alike(one: Level, other: Level) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other


def _depth(hidden: Sequence[Any], attentions: Sequence[Any]) -> int:
    """Hidden layers; an attention's projections are one."""
    inside = {path_of(part): number for number, each in enumerate(attentions) for part in below(each)}
    return len({inside.get(place.name.partition("#")[0], place.name) for place in hidden})


def _heads(attention: Any) -> int:
    return int(getattr(attention, "num_heads", 0) or getattr(attention, "num_query_heads", 0))


def _most(found: Sequence[int], otherwise: int) -> int:
    """The commonest number, of several the largest."""
    return max(found, key=lambda each: (found.count(each), each), default=otherwise)


def _of_optimizer(optimizer: Any) -> dict[str, Level]:
    config = optimizer.get_config()
    name = KNOWN_OPTIMIZERS.get(type(optimizer).__name__, "")
    if isinstance(optimizer, keras.optimizers.SGD):
        name = "nesterov" if optimizer.nesterov else "momentum" if optimizer.momentum else "sgd"
    rate, schedule = config.get("learning_rate"), "none"
    if isinstance(rate, Mapping):
        schedule = _labelled("schedule", snake(str(rate.get("class_name"))), rate.get("config", {}))
        rate = rate.get("config", {}).get("initial_learning_rate")
    clipped = {"value": optimizer.clipvalue, "norm": optimizer.clipnorm, "global_norm": optimizer.global_clipnorm}
    clipping = [_labelled("clipping", kind, {"threshold": float(each)}) for kind, each in clipped.items() if each]
    decays = config.get("weight_decay") and name != "adamw"
    return {
        "optimizer": _labelled("optimizer", name, config),
        "learning_rate": float(str(np.float32(rate))) if isinstance(rate, int | float) and rate > 0 else None,
        "schedule": schedule,
        "clipping": _same(clipping, "none"),
    } | ({"regularization": _labelled("regularization", "weight_decay", {"strength": config["weight_decay"]})}
         if decays else {})  # fmt: skip


def _of_loss(loss: Any) -> dict[str, Level]:
    """The loss by the name of its function or class; of several losses `mixed`."""
    if isinstance(loss, list | tuple | dict):
        names = {_loss_level(each) for each in (loss.values() if isinstance(loss, dict) else loss)}
        return {"loss": names.pop() if len(names) == 1 else MIXED}
    smoothing = getattr(loss, "_fn_kwargs", {}).get("label_smoothing", 0) if loss is not None else 0
    return {"loss": _loss_level(loss), "label_smoothing": smoothing if isinstance(smoothing, int | float) else 0}


def loss_name(loss: Any) -> str:
    """A loss by the name of Keras's function; empty where it is none of them, or there are several."""
    if isinstance(loss, list | tuple | dict) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, dict) else loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    return SHORT_LOSSES.get(snake(str(name)), snake(str(name)))


def _loss_level(loss: Any) -> str:
    name = loss_name(loss)
    kept = getattr(loss, "_fn_kwargs", None)  # a delta is nowhere else
    if name == "huber" and kept is None and not isinstance(loss, str):
        return OWN
    config = {"delta": (kept or {}).get("delta", 1.0)} if name == "huber" else {}
    return _labelled("loss", name.removeprefix("sparse_"), config)


def _drawn(layer: Any, attribute: str, factor: str) -> str:
    initializer = getattr(layer, attribute, None)
    if initializer is None or isinstance(layer, tuple(NORMALIZATIONS)):
        return ""
    return _labelled(factor, snake(type(initializer).__name__), initializer.get_config())


def _penalty(layer: Any) -> str:
    penalty = getattr(layer, "kernel_regularizer", None)
    if penalty is None:
        return ""
    strengths = {name: float(getattr(penalty, name, 0.0)) for name in ("l1", "l2")}
    said = [name for name, strength in strengths.items() if strength]
    return _labelled("regularization", said[0], {"strength": strengths[said[0]]}) if len(said) == 1 else OWN


def _activation(name: str) -> str:
    return _labelled("activation", snake(name), {})


def _labelled(factor: str, name: str, config: Mapping[str, Any]) -> str:
    """A level's label with those settings that differ from their defaults; `own` of what is none of the levels."""
    level = FACTORS[factor].level(name)
    if level is None:
        return OWN
    known = {key: value for key, value in config.items() if key in level.settings and value is not None}
    written = {
        key: type(level.settings[key].default)(value) if isinstance(value, int | float) else value
        for key, value in known.items()
    }
    try:
        return str(choose(FACTORS[factor], {"level": name, **written}).label)
    except SuiteError:
        return OWN


def _same(labels: Iterable[str], otherwise: str) -> str:
    found = {each for each in labels if each}
    return otherwise if not found else found.pop() if len(found) == 1 else MIXED


def _number(found: set[float]) -> float | None:
    return 0.0 if not found else float(found.pop()) if len(found) == 1 else None


def _any(layers: Sequence[Any], kind: type) -> bool:
    return any(isinstance(each, kind) for each in layers)


def snake(name: str) -> str:
    """A class's name as a function has it: `MeanSquaredError` is `mean_squared_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
