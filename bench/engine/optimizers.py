"""Keras's own optimizers on stacked weights."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from bench.engine.targets import target_of
from bench.errors import SuiteError
from bench.factors import FACTORS, Choice

UNHEEDED = (
    "learning_rate", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip


def make_optimizer(choice: Choice) -> keras.optimizers.Optimizer:
    """The optimizer of a choice. Its learning rate is not used: each run brings its own.

    Raises:
        SuiteError: a plugin that is no Keras optimizer, or one whose update mixes the entries of a variable, which
            would mix the runs of a cohort.
    """
    settings = dict(choice.settings)
    if choice.name == "nesterov":
        return keras.optimizers.SGD(nesterov=True, **settings)
    optimizer = target_of("optimizer", choice)(**settings)
    if FACTORS["optimizer"].level(choice.name) is None:
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise SuiteError(f'optimizer "{choice.name}" is a {type(optimizer).__name__}, not a Keras optimizer.')
        _refuse_unheeded(choice, optimizer)
        _refuse_mixing(choice, type(optimizer), settings)
    return optimizer


def decay_of(optimizer: keras.optimizers.Optimizer) -> float:
    """The decoupled weight decay that the optimizer brings of itself (AdamW's)."""
    return float(getattr(optimizer, "weight_decay", None) or 0.0)


def _refuse_unheeded(choice: Choice, optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse what stands around `update_step` in Keras: the engine calls that alone."""
    for name, _ in choice.settings:
        if name in UNHEEDED:
            raise SuiteError(
                f'optimizer "{choice.name}": the setting {name} would not be heeded. '
                "Use the factors clipping and learning_rate, or leave it out."
            )
    if type(optimizer)._backend_update_step is not keras.optimizers.Optimizer._backend_update_step:
        raise SuiteError(f'optimizer "{choice.name}" does more in a step than its update_step, so it cannot be used.')


def _refuse_mixing(choice: Choice, kind: type[keras.optimizers.Optimizer], settings: Mapping[str, object]) -> None:
    """Update a pair of runs with and without a wild neighbour: an elementwise rule cannot tell the difference."""
    results = []
    for neighbour in (0.0, 1e3):
        weights = keras.Variable(np.array([[0.5, -0.2], [1.0, 2.0]], "float32"))
        optimizer = kind(**settings)
        optimizer.build([weights])
        for _ in range(2):
            gradient = keras.ops.convert_to_tensor(np.array([[0.1, 0.3], [neighbour, -neighbour]], "float32"))
            optimizer.update_step(gradient, weights, keras.ops.convert_to_tensor(np.full((2, 1), 0.1, "float32")))
            optimizer.iterations.assign_add(1)
        results.append(weights.numpy()[0])
    if not np.array_equal(*results):
        raise SuiteError(
            f'optimizer "{choice.name}" does not update each weight on its own, so it would mix the runs of a cohort. '
            "Use an elementwise optimizer such as keras.optimizers:Lion."
        )
