"""A step whose update is held back where it leaves a number that is not finite: all is as it was before the step.

Every variable is copied before the step and put back after it, those of the optimizer, of normalizations, of metrics
and of random seeds too, so that the same batch makes the same step again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bench.recorder.layers import state_of
from bench.recorder.patches import Patches, patched


class Guard:
    """Of a model and its optimizers; `loss` finds it in what a step gives back, where `compute_loss` is not called."""

    def __init__(
        self,
        model: keras.Model,
        optimizers: Sequence[keras.optimizers.Optimizer],
        loss: Callable[[Any], tf.Tensor | None],
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.loss = loss
        self.scaled = any(isinstance(each, keras.optimizers.LossScaleOptimizer) for each in optimizers)

    def take(self, step: Callable[[Any], Any], data: Any) -> tuple[Any, tf.Tensor]:
        """The step on one batch: its outputs, and whether it was kept (bool, []); else nothing of it is left."""
        variables = state_of(self.model, self.optimizers)
        before = [tf.identity(each.value) for each in variables]
        loss: list[tf.Tensor] = []
        compute = self.model.compute_loss

        def noted(*args: Any, **more: Any) -> Any:
            loss.append(compute(*args, **more))
            return loss[-1]

        def building(optimizer: Any, apply: Callable[..., Any]) -> Callable[..., Any]:
            def built(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
                given = trainable_variables if trainable_variables is None else list(trainable_variables)
                if given is not None and not optimizer.built:  # a first step, without a graph
                    optimizer.build(given)
                    known = {id(each) for each in variables}
                    new = [each for each in optimizer.variables if id(each) not in known]
                    variables.extend(new)
                    before.extend(tf.identity(each.value) for each in new)
                return apply(grads, given)

            return built

        def put_on(patches: Patches) -> None:
            patches.put(self.model, "compute_loss", noted)
            for each in self.optimizers:
                patches.around(each, "apply", partial(building, each))

        with patched(put_on):
            outputs = step(data)
        if not loss:
            loss = [found for found in (self.loss(outputs),) if found is not None]
        # Where a loss is scaled, a step that overflows is skipped by the optimizer and is no divergence.
        looked = [] if self.scaled else [each for each in loss if isinstance(each, tf.Tensor)]
        weights = [each.value for each in self.model.weights if _is_real(each)]
        kept = tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(each)) for each in [*looked, *weights]]))

        def put_back() -> tf.Tensor:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            return tf.constant(False)

        return outputs, tf.cond(kept, lambda: tf.constant(True), put_back)


def _is_real(variable: keras.Variable) -> bool:
    return "float" in str(variable.dtype)
