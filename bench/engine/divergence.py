"""Where a run left the finite numbers: in the compiled step, found only when a loss or norm is not finite.

`tf.debugging.check_numerics` is silently ignored under XLA and stops at the first bad number of any run; these flags
are part of the graph and tell runs, layers and tensors apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import BatchGradients, Ensemble
from bench.schema import EventKind, Tensor


@dataclass(frozen=True)
class Event:
    """A dated fact in a run; see `divergence_events` in the schema."""

    run: int
    step: int
    kind: EventKind
    tensor: Tensor
    layer_index: int | None
    value: float | None
    limit: float | None


def diagnose(ensemble: Ensemble, batch: BatchGradients, penalized: list[tf.Tensor]) -> tf.Tensor:
    """For weights, activations and gradients, by layer and run: any NaN, any infinity, the largest finite magnitude.

    Args:
        penalized: the gradients with their penalties, which may overflow by the penalty alone.

    Returns:
        [3 kinds, layers, 3 facts, R], float32.
    """
    gradients = iter(penalized)
    grouped = [[next(gradients) for _ in stack.trainable] for stack in ensemble.stacks]
    z = [_facts_of([array.stack()]) for saved in batch.saved for array in saved.z]
    return tf.stack(
        [
            weight_facts(ensemble),
            ensemble.by_layer([*z, _facts_of([batch.logits[None]])]),
            ensemble.by_layer([_facts_of(group) for group in grouped]),
        ]
    )


def weight_facts(ensemble: Ensemble) -> tf.Tensor:
    """The facts of `diagnose` for the weights alone, [layers, 3 facts, R]."""
    return ensemble.by_layer([_facts_of([v.value for v in stack.trainable]) for stack in ensemble.stacks])


def _facts_of(tensors: list[tf.Tensor]) -> tf.Tensor:
    """[N, 3 facts, R] over tensors [N, R, ...]."""
    parts = []
    for tensor in tensors:
        axes = list(range(2, len(tensor.shape)))
        finite = tf.where(tf.math.is_finite(tensor), tf.abs(tensor), 0.0)
        flags = (tf.cast(test(tensor), tf.float32) for test in (tf.math.is_nan, tf.math.is_inf))
        parts.append(tf.stack([tf.reduce_max(fact, axis=axes) for fact in (*flags, finite)], axis=1))
    return tf.reduce_max(tf.stack(parts), axis=0)


def locate(facts: np.ndarray, run: int, step: int, losses: tuple[float, float | None]) -> Event:
    """The first bad tensor of a run whose loss or gradient norm is not finite.

    Args:
        facts: what `diagnose` returned.
        losses: the run's loss at this step, and the last one that was finite.
    """
    weight, activation, gradient = facts[:, :, :, run]
    loss, last_loss = losses
    for tensor, found, backward in (
        (Tensor.WEIGHT, weight, False),
        (Tensor.ACTIVATION, activation, False),
        (Tensor.LOSS, None, False),
        (Tensor.GRADIENT, gradient, True),  # computed from the head back
    ):
        if found is None:
            if not np.isfinite(loss):
                kind = EventKind.NAN if np.isnan(loss) else EventKind.INFINITY
                return Event(run, step, kind, tensor, None, last_loss, None)
            continue
        for layer in range(len(found))[:: -1 if backward else 1]:
            nan, infinite, largest = found[layer]
            if nan or infinite:
                # A layer that holds both was infinite first: its NaN came of inf - inf or 0 x inf.
                kind = EventKind.INFINITY if infinite else EventKind.NAN
                return Event(run, step, kind, tensor, layer, float(largest) or None, None)
    raise ValueError(f"run {run} at step {step}: every tensor is finite")
