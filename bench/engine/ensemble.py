"""A cohort's network with all its runs' weights stacked: losses, gradients and predictions of every run at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bench.engine.network import Network
from bench.engine.objective import Objective
from bench.engine.passes import Carry, Saved, StageGradients, StagePass, vectorize
from bench.engine.signal import Watch, measure_signal
from bench.engine.stacks import LayerStack


@dataclass
class Signal:
    """What is measured of the back-propagated signal, each [layers, R], the head last.

    Attributes:
        preactivation, activation: root mean squares over samples of B times the gradient's norm. The head has no
            activation: its row there is NaN.
        correlation: `class_pair_correlation` of the pre-activation gradients.
    """

    preactivation: tf.Tensor
    activation: tf.Tensor
    correlation: tf.Tensor


@dataclass
class BatchGradients:
    """One batch through the ensemble, before any update.

    Attributes:
        loss: the objective's, mean over the samples, [R].
        gradients: of the data loss, one for each of the ensemble's variables, [N, R, ...].
        saved: what each stage kept, z among it; `logits` are the head's z, [R, B, outputs].
        signal: what is measured of the back-propagated signal; zeros when not asked for.
    """

    loss: tf.Tensor
    gradients: list[tf.Tensor]
    saved: list[Saved]
    logits: tf.Tensor
    signal: Signal


@dataclass
class Ensemble:
    """The runs of a cohort.

    Attributes:
        network: the structure that they share.
        objective: what they are trained for.
        stages: for each stage the stacked layers of its block.
        head: the stacked head; its leading axis of blocks has length 1.
    """

    network: Network
    objective: Objective
    stages: list[list[LayerStack]]
    head: LayerStack

    def __post_init__(self) -> None:
        streamed = any(stage.block.skips for stage in self.network.stages)
        self.passes = [StagePass(s, k, streamed) for s, k in zip(self.network.stages, self.stages, strict=True)]

    @property
    def stacks(self) -> list[LayerStack]:
        """Every layer's stack, from the input on; a stack holds one layer of each block of its stage."""
        return [stack for stage in self.stages for stack in stage] + [self.head]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.head.trainable[0].shape[1]

    @property
    def kernels(self) -> list[keras.Variable]:
        """Every kernel of every layer's stack, [N, R, ...], in order."""
        return [kernel for stack in self.stacks for kernel in stack.kernels]

    def repeated(self, x: tf.Tensor) -> tf.Tensor:
        """Samples [B, ...] once for each run, [R, B, ...]."""
        return tf.tile(x[None], [self.runs] + [1] * len(x.shape))

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that an optimizer updates, in the order of `BatchGradients.gradients`."""
        return [variable for stack in self.stacks for variable in stack.trainable]

    def by_layer(self, values: list[tf.Tensor]) -> tf.Tensor:
        """From one [N, ...] tensor for each of `stacks` to one [layers, ...] tensor, layers from the input on."""
        rows, position = [], 0
        for stage in self.stages:
            part = tf.stack(values[position : position + len(stage)], axis=1)
            rows.append(tf.reshape(part, [-1, *part.shape[2:]]))
            position += len(stage)
        return tf.concat([*rows, values[-1]], axis=0)

    def gradients(self, x: tf.Tensor, y: tf.Tensor, measure: tf.Tensor) -> BatchGradients:
        """Losses and gradients of every run on its own batch, x [R, B, ...] and y [R, B, ...], in training mode.

        `measure`, a scalar, says whether the signal is to be measured: that costs a tenth of a step or more.
        """
        carry: Carry = (None, x)
        saved = []
        for stage in self.passes:
            carry, kept = stage.forward(carry)
            saved.append(kept)
        weights = [v.value[0] for v in self.head.trainable]
        loss, dh, d_head, d_logits, logits = vectorize(self._head_gradients, weights, carry[1], y)
        ends: Carry = (None if carry[0] is None else tf.zeros_like(carry[0]), dh)
        watch = Watch(measure, y, self.objective.classes)
        found: list[StageGradients] = []
        for stage, kept in zip(reversed(self.passes), reversed(saved), strict=True):
            ends, gradients = stage.backward(kept, ends, watch)
            found.insert(0, gradients)
        flat = [g for stage in found for layer in stage.weights for g in layer] + [g[None] for g in d_head]
        signal = _signal(found, measure_signal([d_logits], watch), y.shape[1])
        return BatchGradients(loss, flat, saved, logits, signal)

    def _head_gradients(self, weights: Any, h: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([h, weights])
            logits, _ = self.network.head.stateless_call(list(weights), [], h)
            loss = tf.reduce_mean(self.objective.losses(y, logits))
        dh, d_weights, d_logits = tape.gradient(loss, [h, list(weights), logits])
        return loss, dh, d_weights, d_logits, logits

    def predict(self, x: tf.Tensor) -> tf.Tensor:
        """Outputs of the head [R, B, ...] in inference mode of every run on the same samples x [B, ...]."""
        carry: Carry = (None, self.repeated(x))
        for stage in self.passes:
            carry, _ = stage.forward(carry, training=False)
        weights = [v.value[0] for v in self.head.trainable]
        head = self.network.head
        return vectorize(lambda w, h: head.stateless_call(list(w), [], h)[0], weights, carry[1])


def _signal(found: list[StageGradients], head: tf.Tensor, batch: int) -> Signal:
    """Mean loss: B times the gradient, squared, averaged over B samples, is B times the sum of squares.

    `head` is `measure_signal` of the logits' gradient.
    """
    square, correlation = tf.unstack(head[:, None], 2)
    pre = tf.concat([*(stage.preactivation for stage in found), square], axis=0)
    missing = tf.fill(tf.shape(square), tf.constant(float("nan"), tf.float64))
    phi = tf.concat([*(stage.activation for stage in found), missing], axis=0)
    pairs = tf.concat([*(stage.correlation for stage in found), correlation], axis=0)
    return Signal(tf.sqrt(batch * pre), tf.sqrt(batch * phi), pairs)
