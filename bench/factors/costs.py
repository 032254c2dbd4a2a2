"""What a run of a network takes: the numbers that plans and memory estimates are made of."""

from __future__ import annotations

from dataclasses import dataclass

LOOKED_STEPS = 2**14  # samples times time steps whose activations are looked at, at most


@dataclass(frozen=True)
class Costs:
    """What a run of a network takes.

    Attributes:
        weights: numbers in its kernels.
        activations: numbers that the backward pass needs of each sample.
        flops: operations for each sample and step.
        layers: hidden layers: rows of a measured step.
        length: steps that each layer takes one after the other.
        looked: numbers of a run that a look at activations needs, where that may be more than a step does.
        evaluated: numbers of a sample's pre-activations over time, where evaluations take few samples at a time.
        units: numbers of a sample that elementwise work goes over, where they are not the width of each layer.
        convolves: whether runs take each layer one after the other.
        held: of `activations` what was measured, where cohorts have always been split by a larger number.
        alone: whether each run trains by itself, as a Keras model of a user's own does.
    """

    weights: int
    activations: int
    flops: int
    layers: int
    length: int = 1
    looked: int = 0
    evaluated: int = 0
    units: int = 0
    convolves: bool = False
    held: int = 0
    alone: bool = False
