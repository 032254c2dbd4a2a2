"""What a layer makes of its pre-activation: skip connection, normalization and activation, as one Keras model.

From z, and the stream where a block ends, it computes s = z (plus the stream), u = norm(s) and h = phi(u); with the
normalization after the activation u = s and h = norm(phi(s)). The skip connection thus runs over pre-activations: the
identity path is clean, as in He et al. 2016b (arXiv:1603.05027), and a block changes the stream by F = W phi(norm(s)).
With `residual_post_norm` the stream is u instead of s: s_{l+1} = u_l + W phi(u_l), the order of Vaswani et al. 2017
(arXiv:1706.03762). With `residual_v1` it is h, and a block that ends has s = stream + norm(z) and u = s: the first
residual networks' order, He et al. 2016a (arXiv:1512.03385). `fixup` (Zhang, Dauphin & Ma 2019, arXiv:1901.09321) is it
with learned numbers in place of biases: one added before each layer and each activation, one that multiplies a branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from bench.engine.activations import make_activation
from bench.engine.layers import BranchScale, Shift
from bench.engine.precision import model_input
from bench.engine.targets import target_of
from bench.factors import FACTORS, Choice

FIXUP = "fixup"
BEHIND = ("residual_v1", FIXUP)  # skip connections whose stream is what stands behind the activation
Structure = Mapping[str, Choice]
Branch = Callable[[Any], Any]
Entering = tuple[tuple[int, ...], Branch]  # the shape of a stream, and what makes it one of another shape


def number(structure: Structure, factor: str) -> int:
    """The whole number that a structure has for a factor."""
    return int(structure[factor].value or 0)


def is_known(of_block: tuple[tuple[str, Choice], ...]) -> bool:
    """Whether none of these choices comes from outside, where a name may stand for something else tomorrow."""
    return all(choice.value is not None or FACTORS[name].level(choice.name) for name, choice in of_block)


def branch_of(skip: Choice, blocks: int) -> Branch:
    """What multiplies the output of each of so many blocks before the skip connection adds it."""
    if skip.name == "residual_scaled":
        return lambda z: BranchScale()(z)
    if skip.name == FIXUP:
        return lambda z: Shift()(BranchScale(1.0)(z))
    if skip.name == "residual_damped":
        factor = float(skip.setting("scale")) / blocks ** float(skip.setting("exponent"))
        return lambda z: keras.layers.Rescaling(factor)(z)
    return lambda z: z


def make_response(
    structure: Structure, shape: tuple[int, ...], branch: Branch | None, entering: Entering | None = None
) -> tuple[keras.Model, keras.layers.Layer]:
    """From z, and the stream where a branch ends, to (s, u, phi, h, what leaves as the stream); and the activation.

    Args:
        shape: of a sample's z.
        branch: what multiplies z before the stream is added; None where no block ends.
        entering: the stream's shape and what brings it to that of z; None where it has it.
    """
    z = model_input(shape)
    inputs, s, skip = [z], z, structure["skip"].name
    normalize, position = _normalization(structure["normalization"], len(shape))
    inside = branch is not None and skip in BEHIND and position == "before"  # of the branch, not of the sum
    if branch is not None:
        before, shrink = entering or (shape, lambda stream: stream)
        stream = model_input(before)
        inputs.append(stream)
        s = keras.layers.Add()([shrink(stream), branch(normalize(z) if inside else z)])
    elif skip == FIXUP:
        s = Shift()(z)
    activation = make_activation(structure["activation"])
    u = normalize(s) if position == "before" and not inside else s
    phi = activation(u)
    h = normalize(phi) if position == "after" else phi
    leaving = {"residual_post_norm": u}.get(skip, h if skip in BEHIND else s)
    return keras.Model(inputs, [s, u, phi, h, leaving]), activation


def before_layer(structure: Structure, h: Any) -> Any:
    """What a layer within a block, or the head, reads: h, with Fixup's number added."""
    return Shift()(h) if structure["skip"].name == FIXUP else h


def _normalization(choice: Choice, axes: int) -> tuple[Any, str]:
    """The normalization layer of a sample's so many axes and its position; (no layer, "") where there is none."""
    if choice.name in ("none", "weight_normalization"):
        return None, ""
    settings: dict[str, Any] = dict(choice.settings)
    position = str(settings.pop("position", "before"))
    if choice.name == "layer_spatial_normalization":
        settings["axis"] = list(range(1, axes + 1))
    if choice.name == "instance_normalization":
        settings["groups"] = -1  # Keras's word for as many as there are filters
    return target_of("normalization", choice)(**settings), position
