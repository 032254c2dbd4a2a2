"""Where a run left the finite numbers: in the compiled step, found only when a loss or norm is not finite.

`tf.debugging.check_numerics` is silently ignored under XLA and stops at the first bad number of any run; these flags
are part of the graph and tell runs, layers and tensors apart.

What is named is the first bad tensor in order of computation: weights as the step found them; then, layer by layer
from the input on, the pre-activation and what the layer makes of it, of attention the logits in between; the loss;
gradients from the head back. Its kind must not be a kernel's choice. Where a sum of finite products overflows, one
kernel leaves an infinity and another, that adds in two parts, infinity - infinity. So a bad sum of finite numbers is an
infinity by definition: a pre-activation is one, so are logits, and so is a weight's gradient, unless the derivative of
its layer's response is NaN where the batch stands. Everything else is computed element by element and says itself what
it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import BatchGradients, Ensemble
from bench.engine.precision import widened
from bench.schema import EventKind, Tensor

# The rows of `diagnose`: of each layer its weights, s, u, phi(u) and h as in `blocks.Layer`, dh/dz and the gradient.
FORWARD = (Tensor.PREACTIVATION, Tensor.ACTIVATION, Tensor.ACTIVATION, Tensor.ACTIVATION)
WITH_HEADS = (FORWARD[0], Tensor.LOGITS, *FORWARD[1:])  # where any layer attends
ROWS = 3 + len(FORWARD)
SUMS = (Tensor.PREACTIVATION, Tensor.LOGITS)  # of products
FACTS = 3  # any NaN, any infinity, the largest finite magnitude


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
    time: int | None = None


def diagnose(ensemble: Ensemble, batch: BatchGradients, penalized: list[tf.Tensor]) -> tf.Tensor:
    """What `locate` asks, [ROWS, layers, FACTS, R] in float32, the head the last layer; with heads a row more.

    Args:
        penalized: the gradients with their penalties, which may overflow by the penalty alone.
    """
    gradients = iter(penalized)
    grouped = [[next(gradients) for _ in stack.trainable] for stack in ensemble.stacks]
    passes = zip(ensemble.passes, batch.saved, strict=True)
    responses = [each.respond_again(saved, _facts_each) for each, saved in passes]
    logits = _facts(batch.logits, 1)[None]
    attends = any(getattr(each, "heads", 0) for each in ensemble.passes)
    rows = len(WITH_HEADS if attends else FORWARD)
    head = tf.stack([logits, *[tf.zeros_like(logits)] * rows], axis=1)  # nothing stands between it and the loss
    forward = tf.concat([*responses, head], axis=0)  # [layers, s, u, phi, h and dh/dz, FACTS, R]
    weights = [[v.value for v in stack.trainable] for stack in ensemble.stacks]
    weight, gradient = (ensemble.by_layer([_facts_of(group) for group in each]) for each in (weights, grouped))
    return tf.stack([weight, *tf.unstack(forward, rows + 1, axis=1), gradient])


def _facts_each(tensors: list[tf.Tensor]) -> tf.Tensor:
    """[len, FACTS, R] of tensors [R, B, ...]."""
    return tf.stack([_facts(tensor, 1) for tensor in tensors])


def _facts_of(tensors: list[tf.Tensor]) -> tf.Tensor:
    """[N, FACTS, R] over tensors [N, R, ...]."""
    return tf.reduce_max(tf.stack([_facts(tensor, 2) for tensor in tensors]), axis=0)


def _facts(tensor: tf.Tensor, keep: int) -> tf.Tensor:
    """The facts of a tensor [..., R, entries...] whose first `keep` axes end with the runs: [..., FACTS, R]."""
    axes = list(range(keep, len(tensor.shape)))
    tensor = widened(tensor)
    finite = tf.where(tf.math.is_finite(tensor), tf.abs(tensor), 0.0)
    flags = (tf.cast(test(tensor), tf.float32) for test in (tf.math.is_nan, tf.math.is_inf))
    return tf.stack([tf.reduce_max(fact, axis=axes) for fact in (*flags, finite)], axis=keep - 1)


def bad_times(ensemble: Ensemble, batch: BatchGradients) -> tf.Tensor:
    """What `dated` asks, [2, hidden layers, R]: see `passes.Pass.bad_times`."""
    stages = zip(ensemble.passes, batch.saved, batch.stages, strict=True)
    return tf.concat([each.bad_times(saved, found) for each, saved, found in stages], axis=1)


def dated(event: Event, times: np.ndarray) -> Event:
    """The event with the first bad time step of its layer; of a gradient that is the last one, for it goes back.

    Args:
        times: what `bad_times` returned.
    """
    row = {Tensor.PREACTIVATION: 0, Tensor.ACTIVATION: 0, Tensor.GRADIENT: 1}.get(event.tensor)
    if row is None or event.layer_index is None or event.layer_index == times.shape[1]:  # the head has no time
        return event
    time = int(times[row, event.layer_index, event.run])
    return event if time < 0 else replace(event, time=time)


def locate(facts: np.ndarray, run: int, step: int, losses: tuple[float, float | None]) -> Event:
    """The first bad tensor of a run whose loss or gradient norm is not finite.

    Args:
        facts: what `diagnose` returned.
        losses: the run's loss at this step, and the last one that was finite.
    """
    loss, last_loss = losses
    for tensor, layer, found, known in _in_order(facts[..., run], loss):
        kind = _kind(found)
        if kind is not None:
            value = last_loss if layer is None else float(found[-1]) or None
            return Event(run, step, known or kind, tensor, layer, value, None)
    raise ValueError(f"run {run} at step {step}: every tensor is finite")


def _in_order(facts: np.ndarray, loss: float) -> Iterator[tuple[Tensor, int | None, np.ndarray, EventKind | None]]:
    """Every tensor of a run in order of computation: its layer, facts, and kind where it cannot say that itself."""
    weight, *forward, slope, gradient = facts
    for layer, found in enumerate(weight):
        yield Tensor.WEIGHT, layer, found, None
    for layer in range(len(weight)):
        for tensor, rows in zip(FORWARD if len(facts) == ROWS else WITH_HEADS, forward, strict=True):
            yield tensor, layer, rows[layer], EventKind.INFINITY if tensor in SUMS else None
    yield Tensor.LOSS, None, np.array([np.isnan(loss), np.isinf(loss), 0.0]), None
    for layer in reversed(range(len(weight))):
        undefined = _kind(slope[layer]) is EventKind.NAN
        yield Tensor.GRADIENT, layer, gradient[layer], EventKind.NAN if undefined else EventKind.INFINITY


def _kind(facts: np.ndarray) -> EventKind | None:
    """What a tensor holds: infinity where it holds any, for NaN comes of infinity and not the other way."""
    nan, infinite, _ = facts
    if infinite:
        return EventKind.INFINITY
    return EventKind.NAN if nan else None
