"""Convolutional networks in a script."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from bench.factors import halves_before, sizes_of_layers
from bench.script.layout import call, literal
from bench.script.model import Model, Parts, named, plural_layers
from bench.script.starts import Draw, Drawn, together
from bench.script.training import dropout_of, penalized

POOLS = {"max_pool": "MaxPooling", "average_pool": "AveragePooling"}


def conv(parts: Parts) -> Model:
    """The lines of convolutions over a sequence or an image, perhaps in blocks with a stream, and a head."""
    recorded, shape = parts.recorded, parts.data.shape
    depth, width, size = (recorded.number(name) for name in ("depth", "width", "kernel_size"))
    axes, skip = len(shape) - 1, recorded["skip"]
    normalization, position = parts.normalization(axes)
    kind = "none" if depth == 1 and skip.name != "fixup" else skip.name
    kind = "residual" if kind == "residual_post_norm" and position != "before" else kind
    layers = 1 if kind == "none" else min(int(skip.setting("layers")), max(depth - 1, 1))
    drawn = together([_draws(parts, layer) for layer in range(depth)])
    fused = kind == "none" and position != "before"  # then a layer has its activation itself
    circular = recorded["padding"].name == "circular" and size > 1
    halved, pool = _halved(parts), POOLS.get(recorded["downsample"].name)
    place = "number" if kind == "none" else "first"
    rate = dropout_of(recorded)
    settings = (
        ({"strides": f"2 if {_among(place, halved)} else 1" if kind == "none" else "strides"}
         if halved and not pool else {})
        | ({} if circular else {"padding": '"same"'})
        | ({"use_bias": "False"} if kind == "fixup" else {})
        | ({"activation": parts.activation()} if fused else {})
    )  # fmt: skip
    kernels = penalized(recorded, axes=axes + 2)
    values: dict[str, Any] = {
        "shape": shape, "depth": depth, "kind": kind, "layers": layers, "drawn": drawn, "fused": fused, "axes": axes,
        "layer": call(f"layers.Conv{axes}D", width, size, **settings, **drawn.arguments, **kernels),
        "circular": size if circular else None, "halved": _among(place, halved) if halved else "",
        "pool": f"layers.{pool}{axes}D(2)" if pool else None, "every": bool(halved),
        "activation": parts.activation_layer(), "normalization": normalization, "position": position,
        "rate": None if rate is None else literal(rate[0]), **_head(parts, kind, axes),
        **(_of_blocks(parts, kind, layers, drawn, halved) if kind != "none" else {}),
    }  # fmt: skip
    if kind == "fixup":
        values["last"] = call(
            f"layers.Conv{axes}D", width, size, **settings, kernel_initializer='"zeros"', **kernels
        )  # fmt: skip
    pieces = ["delta_orthogonal"] if recorded["initializer"].name == "delta_orthogonal" else []
    pieces += [*(["circular_padding"] if circular else []), *(["dropout"] if rate is not None else [])]
    pieces += {"residual_scaled": ["branch_scale"], "fixup": ["branch_scale", "shift"]}.get(kind, [])
    return Model("conv", values, _words(parts, halved), pieces, head=3 if kind == "fixup" else 2)


def _draws(parts: Parts, layer: int) -> dict[str, Draw]:
    """The initializers of a hidden layer by argument."""
    recorded = parts.recorded
    width, size = recorded.number("width"), recorded.number("kernel_size")
    *positions, channels = parts.data.shape
    shape = (*[size] * len(positions), width if layer else channels, width)
    return {"kernel_initializer": parts.starts.kernel(layer, shape)} | parts.starts.bias(layer)


def _halved(parts: Parts) -> list[int]:
    """The layers in front of which images are halved."""
    downsample = parts.recorded["downsample"]
    every = 0 if downsample.is_none else int(downsample.setting("every"))
    return [layer for layer in range(parts.recorded.number("depth")) if halves_before(layer, every)]


def _among(name: str, places: Sequence[int]) -> str:
    """Whether a number is one of these, as it is written."""
    return f"{name} == {places[0]}" if len(places) == 1 else f"{name} in {literal(tuple(places))}"


def _head(parts: Parts, kind: str, axes: int) -> dict[str, Any]:
    """What reads the last layer's images."""
    recorded, data = parts.recorded, parts.data
    flat, width = recorded["head_pool"].name == "flatten", recorded.number("width")
    *_, left = sizes_of_layers(recorded.run.choices, data.shape)
    units = data.outputs * (data.objective.steps if data.each else 1)
    head = parts.head(width * (prod(left) if flat else 1), units)
    if kind == "fixup":
        head = call("layers.Dense", units, kernel_initializer='"zeros"', **penalized(recorded))
    pooled = "layers.Flatten()" if flat else f"layers.GlobalAveragePooling{axes}D()"
    return {"head": head, "pooled": pooled, "answers": (data.objective.steps, data.outputs) if data.each else None}


def _of_blocks(parts: Parts, kind: str, layers: int, drawn: Drawn, halved: Sequence[int]) -> dict[str, Any]:
    """What the lines of a network in blocks show beside its layers."""
    skip, depth = parts.recorded["skip"], parts.recorded.number("depth")
    blocks = -(-(depth - 1) // int(skip.setting("layers")))
    if kind == "residual_damped":
        return {"factor": literal(float(skip.setting("scale")) / blocks ** float(skip.setting("exponent")))}
    if kind != "fixup":
        return {}
    # The last layer of a block starts at 0 and has no draw.
    inner = [drawn.values[start : start + layers][:-1] for start in range(1, depth, layers)]
    listed = [[row[0] if len(row) == 1 else row for row in block] for block in inner]
    at = [(layer - 1) // layers for layer in halved]
    return {"inner": listed, "stem": drawn.values[0], "halved": _among("number", at) if at else ""}


def _words(parts: Parts, halved: Sequence[int]) -> str:
    """`3 convolutional layers of 8 filters of size 3x3, relu, with batch normalization`."""
    recorded, data = parts.recorded, parts.data
    size = "x".join([str(recorded.number("kernel_size"))] * (len(data.shape) - 1))
    said = plural_layers(recorded.number("depth"), "convolutional")
    more = [named(recorded[name]) for name in ("normalization", "skip") if not recorded[name].is_none]
    more += [f"{named(recorded['downsample'])}"] if halved else []
    more += ["circular padding"] if recorded["padding"].name == "circular" else []
    words = f"{said} of {recorded.number('width')} filters of size {size}, {named(recorded['activation'])}"
    return words + (f", with {' and '.join(more)}" if more else "")
