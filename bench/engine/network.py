"""A cohort's structure as ordinary Keras models, cut where gradients are tapped.

A network is a chain of stages and a head. A stage repeats one block; a block is one or more layers; a layer is
two models: `affine` (h to z) and `response` (z to what the layer passes on). The cut at z lets the backward pass
start from a saved z instead of computing it again, and it is where the pre-activation gradient is read. Equal
blocks share one traced loop body, so a deep cohort compiles as fast as a shallow one.

An architecture is a function `build(structure, input_shape, outputs)` that returns a `Network`: the target of a level,
or one from outside (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.engine.blocks import Block, Build, Layer, Network, Stage
from bench.engine.precision import policy
from bench.engine.targets import target_of
from bench.errors import SuiteError
from bench.factors import FACTORS, Choice


def build_network(structure: Mapping[str, Choice], input_shape: tuple[int, ...], outputs: int) -> Network:
    """The network of a cohort's structure, for samples of `input_shape` and a head of that many units.

    Raises:
        SuiteError: an architecture from outside that builds no network, or one of another depth or with another head.
    """
    choice = structure["architecture"]
    settings = dict(choice.settings)
    with policy(structure["precision"]):
        network = target_of("architecture", choice)(structure, input_shape, outputs, **settings)
    if FACTORS["architecture"].level(choice.name) is None:
        built, wanted = f'architecture "{choice.label}" built', structure["depth"].value
        if not isinstance(network, Network):
            raise SuiteError(f"{built} a {type(network).__name__}, not a Network.")
        if network.depth != wanted:
            raise SuiteError(f"{built} {network.depth} hidden layers, not {wanted} (depth).")
        if network.head.output_shape != (None, outputs):  # more units than classes would train without a word
            raise SuiteError(f"{built} a head of shape {network.head.output_shape}, not {(None, outputs)}.")
    return network


__all__ = ["Block", "Build", "Layer", "Network", "Stage", "build_network"]
