"""Fully connected networks in a script."""

from __future__ import annotations

from typing import Any

from bench.script.layout import call, literal
from bench.script.model import Model, Parts, named, plural_layers
from bench.script.starts import Draw, Drawn, together
from bench.script.training import dropout_of, penalized


def dense(parts: Parts) -> Model:
    """The lines of a multilayer perceptron: a chain of layers, or blocks with a stream around them."""
    recorded, data = parts.recorded, parts.data
    depth, width = recorded.number("depth"), recorded.number("width")
    normalization, position = parts.normalization()
    kind = _kind(parts, depth, position)
    drawn = together([_draws(parts, layer) for layer in range(depth)])
    weight_normalized = recorded["normalization"].name == "weight_normalization"
    fused = kind == "none" and position != "before"  # then a layer has its activation itself
    arguments = (
        ({"activation": parts.activation()} if fused else {})
        | ({"use_bias": "False"} if kind == "fixup" else {})
        | dict(drawn.arguments) | penalized(recorded)
    )  # fmt: skip
    rate = dropout_of(recorded)
    values: dict[str, Any] = {
        "inputs": data.shape[0], "depth": depth, "kind": kind, "drawn": drawn, "fused": fused,
        "layer": call("WeightNormalizedDense" if weight_normalized else "layers.Dense", width, **arguments),
        "activation": parts.activation_layer(), "normalization": normalization, "position": position,
        "rate": None if rate is None else literal(rate[0]), "head": _head(parts, kind, width),
        "has_lengths": bool(parts.starts.length(0)),
        "answers": (data.objective.steps, data.outputs) if data.each else None, **_of_blocks(parts, kind, depth, drawn),
    }  # fmt: skip
    pieces = [*(["weight_normalized"] if weight_normalized else []), *(["dropout"] if rate is not None else [])]
    pieces += {"residual_scaled": ["branch_scale"], "fixup": ["branch_scale", "shift"]}.get(kind, [])
    return Model("dense", values, _words(parts, depth, width), pieces, head=3 if kind == "fixup" else 2)


def _kind(parts: Parts, depth: int, position: str) -> str:
    """The skip connection as far as it makes a difference."""
    kind = parts.recorded["skip"].name
    if depth == 1 and kind != "fixup":
        return "none"
    return "residual" if kind == "residual_post_norm" and position != "before" else kind


def _draws(parts: Parts, layer: int) -> dict[str, Draw]:
    """The initializers of a hidden layer by argument."""
    width = parts.recorded.number("width")
    found = {"kernel_initializer": parts.starts.kernel(layer, (width if layer else parts.data.shape[0], width))}
    return found | parts.starts.bias(layer) | parts.starts.length(layer)


def _head(parts: Parts, kind: str, width: int) -> str:
    data = parts.data
    units = data.outputs * (data.objective.steps if data.each else 1)
    if kind != "fixup":
        return parts.head(width, units)
    return call("layers.Dense", units, kernel_initializer='"zeros"', **penalized(parts.recorded))


def _of_blocks(parts: Parts, kind: str, depth: int, drawn: Drawn) -> dict[str, Any]:
    """What the lines of a network in blocks show beside its layers."""
    if kind == "none":
        return {}
    skip = parts.recorded["skip"]
    layers = int(skip.setting("layers"))
    blocks = -(-(depth - 1) // layers)
    found: dict[str, Any] = {"layers": layers, "blocks": blocks}
    if kind == "residual_damped":
        found["factor"] = literal(float(skip.setting("scale")) / blocks ** float(skip.setting("exponent")))
    if kind == "fixup":  # the last layer of a block starts at 0 and has no draw
        inner = [drawn.values[start : start + layers][:-1] for start in range(1, depth, layers)]
        found["inner"] = [[row[0] if len(row) == 1 else row for row in block] for block in inner]
        found["stem"] = drawn.values[0]
        found["last"] = call(
            "layers.Dense", parts.recorded.number("width"), use_bias=False, kernel_initializer='"zeros"',
            **penalized(parts.recorded),
        )  # fmt: skip
    return found


def _words(parts: Parts, depth: int, width: int) -> str:
    """`8 dense layers of 64 units, tanh, with batch normalization`."""
    recorded = parts.recorded
    more = [named(recorded[name]) for name in ("normalization", "skip") if not recorded[name].is_none]
    said = f"{plural_layers(depth, 'dense')} of {width} units, {named(recorded['activation'])}"
    return said + (f", with {' and '.join(more)}" if more else "")
