"""Half precision as in Keras's policies: layers compute in it, and weights, loss and updates stay in float32.

Keras's layers cast for themselves under the policy that `policy` sets while a network is built. What enters a network
is cast once (`Ensemble.entering`), and so each pass computes in the numbers that it is given. Loss scaling is that of
`keras.optimizers.LossScaleOptimizer`, each run by itself.
Source: Micikevicius et al. 2018 (arXiv:1710.03740).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bench.engine.clipping import per_run
from bench.factors import DYNAMIC, Choice, first_scale


def compute_dtype(precision: Choice) -> tf.DType:
    """What layers compute in: `float16` of `mixed_float16`."""
    return tf.as_dtype(precision.name.removeprefix("mixed_"))


@contextmanager
def policy(precision: Choice) -> Iterator[None]:
    """Keras's layers that are made meanwhile, a user's own among them, compute in this precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision.name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def model_input(shape: tuple[int, ...]) -> Any:
    """What a model of layers is given, in the numbers in which they compute."""
    return keras.Input(shape, dtype=keras.config.dtype_policy().compute_dtype)


def cast_samples(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Samples as layers compute; what are no real numbers, such as tokens, stay."""
    return tf.cast(x, dtype) if x.dtype.is_floating else x


def widened(tensor: tf.Tensor) -> tf.Tensor:
    """What statistics are taken of: half precision as float32, everything else as it is."""
    return tf.cast(tensor, tf.float32) if tensor.dtype.size == 2 else tensor


@dataclass
class LossScale:
    """What each run's loss is multiplied by before its gradient is taken.

    Attributes:
        value: the scales, [R] in float32.
        growth_steps: steps without an overflow after which a scale doubles; None: scales stay, and nothing is skipped.
        since: steps since a scale changed, [R].
        skipped: updates skipped so far, [R].
    """

    value: tf.Variable
    growth_steps: int | None
    since: tf.Variable
    skipped: tf.Variable

    @classmethod
    def of(cls, precision: Choice, runs: int) -> LossScale | None:
        """At its start; None where no loss is scaled."""
        start = first_scale(precision)
        if start is None:
            return None
        steps = int(precision.setting("growth_steps")) if precision.setting("loss_scale") == DYNAMIC else None
        counts = [tf.Variable(tf.zeros([runs], tf.int64), trainable=False) for _ in range(2)]
        return cls(tf.Variable(tf.fill([runs], start), trainable=False), steps, *counts)

    @property
    def skips(self) -> bool:
        """Whether steps may be skipped."""
        return self.growth_steps is not None

    def columns(self, finite: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `loss_curves` has of a step, each [R]; to be asked before `follow`."""
        skipped = tf.cast(~finite, tf.int64) if self.skips else tf.zeros(finite.shape, tf.int64)
        return {"loss_scale": self.value.value(), "skipped": self.skipped + skipped}

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Of gradients [N, R, ...] of the scaled losses those of the losses."""
        return [gradient / per_run(self.value, gradient) for gradient in gradients]

    def unscaled_norms(self, columns: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
        """Of columns [..., columns, R] with these names those that are gradients' norms, unscaled; the others stay."""
        wide = tf.cast(self.value, columns.dtype)
        one = tf.ones_like(wide)
        return columns / tf.stack([wide if name.endswith("grad_norm") else one for name in names])

    def follow(self, finite: tf.Tensor) -> None:
        """Count a step: a run's scale halves where its gradient was not finite, and doubles after long enough.

        Args:
            finite: whether all of a run's gradient is, [R].
        """
        if self.growth_steps is None:
            return
        grown = finite & (self.since >= self.growth_steps - 1)
        self.since.assign(tf.where(finite & ~grown, self.since + 1, 0))
        self.value.assign(self.value * tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5))
        self.skipped.assign_add(tf.cast(~finite, tf.int64))
