"""Whether what a suite names can be trained: a plugin by itself, a structure by one step."""

from __future__ import annotations

from dataclasses import replace

import keras

from bench.engine.activations import make_activation
from bench.engine.initial import draw_kernel
from bench.engine.optimizers import make_optimizer
from bench.engine.targets import target_of
from bench.engine.train import training_of
from bench.errors import SuiteError
from bench.factors import Choice
from bench.plan import Cohort

TRIED_SHAPE = (4, 3)  # of a kernel


def build_cohort(cohort: Cohort) -> int:
    """Build the structure of a cohort for its first run and train one step; returns its trainable numbers.

    Raises:
        Exception: whatever the dataset, the network or a plugin raised.
    """
    training = training_of(replace(cohort, runs=cohort.runs[:1], schedules={}))
    training.steps = 1
    training.run()
    return training.recorder.parameter_count


def try_plugin(asked: tuple[str, Choice]) -> str:
    """Import what a factor's choice names as `module:name`, and use it once on little; returns nothing to be said.

    Raises:
        SuiteError: it cannot be used; the message says why.
        Exception: whatever it raised, which would fail its own runs.
    """
    factor, choice = asked
    match factor:
        case "activation":
            make_activation(choice)
        case "optimizer":
            make_optimizer(choice)
        case "initializer":
            made = draw_kernel(choice, 0, TRIED_SHAPE).shape
            if made != TRIED_SHAPE:
                raise SuiteError(f'initializer "{choice.label}" makes {made} where a kernel is {TRIED_SHAPE}.')
        case "normalization":
            layer = target_of("normalization", choice)(**dict(choice.settings))
            shape = (None, TRIED_SHAPE[0])
            if not isinstance(layer, keras.layers.Layer) or layer(keras.Input(shape[1:])).shape != shape:
                raise SuiteError(f'normalization "{choice.label}" is not a Keras layer that keeps the inputs\' shape.')
    return ""
