"""Recurrent networks in a script."""

from __future__ import annotations

from typing import Any

from bench.engine.initial import derive_seed
from bench.factors import Choice
from bench.script.layout import call, literal, rows
from bench.script.model import Model, Parts, named, plural_layers
from bench.script.starts import Draw, Drawn, together
from bench.script.training import dropout_of, penalized

LAYERS = {"simple": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


def recurrent(parts: Parts) -> Model:
    """The lines of stacked recurrent layers over a sequence and a dense head on the last state, or on each."""
    recorded, data = parts.recorded, parts.data
    depth, width, cell = recorded.number("depth"), recorded.number("width"), recorded["cell"].name
    both = recorded["direction"].name == "bidirectional"
    window, normalized = recorded["truncate"], not recorded["normalization"].is_none
    ways = ("", "_2") if both else ("",)
    drawn = together([_draws(parts, layer, way) for layer in range(depth) for way in ways])
    own = both and (
        normalized or not window.is_none
    )  # Keras's Bidirectional makes a copy, which needs a layer of Keras's
    rate = dropout_of(recorded)
    values: dict[str, Any] = {
        "shape": data.shape, "depth": depth, "units": width, "cell": cell, "drawn": drawn, "both": both, "own": own,
        "window": None if window.is_none else window.setting("steps"), "each": data.each,
        "layer": _layer(parts, drawn, normalized), "activation": parts.activation(),
        "listed": _listed(drawn, len(ways)), "rate": None if rate is None else literal(rate[0]),
        "head": parts.head(width * len(ways), data.outputs), "cells": _cells(both, own, not window.is_none),
        **_gates(parts, ways), "has_bias": bool(parts.starts.bias(0)),
        **{name: penalized(recorded, recurrent=True).get(f"kernel_{name}") for name in ("regularizer", "constraint")},
    }  # fmt: skip
    pieces = [*(["normalized_cell"] if normalized else []), *([] if window.is_none else ["in_windows"])]
    pieces += [*(["both_ways"] if own else []), *(["dropout"] if rate is not None else [])]
    return Model("recurrent", values, _words(parts), pieces)


def _draws(parts: Parts, layer: int, way: str) -> dict[str, Draw]:
    """The initializers of one direction of a layer by argument."""
    recorded, starts = parts.recorded, parts.starts
    found = {"kernel_initializer": starts.kernel(layer, (1, 1), f"kernel{way}")}
    if not _tiled(recorded["recurrent_initializer"], recorded["cell"]):
        found["recurrent_initializer"] = starts.recurrent(layer, f"recurrent_kernel{way}")
    return found | starts.bias(layer, f"bias{way}")


def _tiled(initializer: Choice, cell: Choice) -> bool:
    """Whether the identity stands in the kernel once for each gate, which no initializer of Keras's draws."""
    return initializer.name == "identity" and cell.name != "simple"


def _layer(parts: Parts, drawn: Drawn, normalized: bool) -> str:
    """A layer, without what says which of its states it passes on."""
    recorded = parts.recorded
    cell, units = recorded["cell"].name, recorded.number("width")
    arguments = dict(drawn.arguments)
    if normalized:
        return call("layers.RNN", call("NormalizedCell", **arguments))
    said = {} if recorded["activation"].name == "tanh" else {"activation": parts.activation()}
    if cell == "lstm" and (recorded["gate_bias"].name != "unit_forget" or parts.starts.bias(0)):
        arguments["unit_forget_bias"] = "False"
    return call(f"layers.{LAYERS[cell]}", units, **said, **arguments, **penalized(recorded, recurrent=True))


def _listed(drawn: Drawn, ways: int) -> str:
    """The rows of all layers; of two directions a pair of rows a layer."""
    if ways == 1 or not drawn.names:
        return drawn.listed
    values = [row[0] if len(row) == 1 else row for row in drawn.values]
    return rows(list(zip(values[::2], values[1::2], strict=True)))


def _cells(both: bool, own: bool, windows: bool) -> str:
    """All cells, from the first layer on, of each the direction forward in time first."""
    if not both:
        kind, cell = ("InWindows", "layer.layer.cell") if windows else ("layers.RNN", "layer.cell")
        return f"[{cell} for layer in model.layers if isinstance(layer, {kind})]"
    cell = "way.layer.cell" if windows else "way.cell"
    kind, names = ("BothWays", ("ahead", "back")) if own else (
        "layers.Bidirectional", ("forward_layer", "backward_layer")
    )  # fmt: skip
    pair = ", ".join(f"layer.{name}" for name in names)
    loops = f"for layer in model.layers if isinstance(layer, {kind})", f"for way in ({pair})"
    return "\n    ".join(["[", cell, *loops]) + "\n]"


def _gates(parts: Parts, ways: tuple[str, ...]) -> dict[str, Any]:
    """What the gates' biases and recurrent kernels start at, where Keras's layers cannot be told."""
    recorded, length = parts.recorded, parts.data.shape[0]
    cell, bias, depth = recorded["cell"].name, recorded["gate_bias"], recorded.number("depth")
    found: dict[str, Any] = {"keeps": None, "memory": None, "gate_seeds": None, "identity": None}
    if _tiled(recorded["recurrent_initializer"], recorded["cell"]):
        found["identity"] = literal(recorded["recurrent_initializer"].setting("gain"))
    plain = recorded["normalization"].is_none and not parts.starts.bias(0)
    if cell == "simple" or bias.name == "zeros":
        return found
    if bias.name == "remember":
        found["keeps"] = literal(bias.setting("value"))
    elif bias.name == "chrono":
        t_max = bias.setting("t_max")
        found["memory"] = literal(float(length if t_max == "length" else t_max) - 1.0)
        seeds = [derive_seed(recorded.run.seed, f"gate_bias{way}", layer) for layer in range(depth) for way in ways]
        found["gate_seeds"] = rows([(seed,) for seed in seeds])
    elif cell == "lstm" and not plain:
        found["keeps"] = "1.0"
    return found


def _words(parts: Parts) -> str:
    """`2 LSTM layers of 32 units, tanh, bidirectional`."""
    recorded = parts.recorded
    names = ("normalization", "direction", "truncate")
    more = [named(recorded[name]) for name in names if not recorded[name].is_none]
    said = plural_layers(recorded.number("depth"), LAYERS[recorded["cell"].name])
    starts = f"recurrent kernels {named(recorded['recurrent_initializer'])}, gates {named(recorded['gate_bias'])}"
    return ", ".join([f"{said} of {recorded.number('width')} units", named(recorded["activation"]), *more, starts])
