"""A cohort's network with all its runs' weights stacked: losses, gradients and predictions of every run at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bench.engine.dropout import Dropout
from bench.engine.inside import ATTENTION_COLUMNS, POSITION_COLUMNS
from bench.engine.layers import is_shared
from bench.engine.lifting import lifted, vectorize
from bench.engine.network import Network
from bench.engine.objective import Objective
from bench.engine.passes import Carry, Pass, StageGradients, StagePass, Watch
from bench.engine.precision import LossScale, cast_samples, widened
from bench.engine.recurrence import TIME_COLUMNS
from bench.engine.run_settings import RunSettings
from bench.engine.signal import look, measure_signal
from bench.engine.stacks import LayerStack
from bench.engine.unrolling import is_unrolled
from bench.factors import DataKind, Moment

NOTHING: Mapping[str, tf.Tensor] = {}


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


@dataclass(frozen=True)
class TimedLayer:
    """A layer at a time step, and the columns of `TIME_COLUMNS` that it lacks."""

    layer: int
    moment: Moment
    lacks: tuple[str, ...]


@dataclass
class BatchGradients:
    """One batch through the ensemble, before any update.

    Attributes:
        loss: the objective's, mean over the samples, [R].
        gradients: of the data loss, one for each of the ensemble's variables, [N, R, ...].
        saved: what each stage's pass kept; `logits` are the head's z, [R, B, outputs].
        signal: what is measured of the back-propagated signal; of no meaning when not asked for.
        stages: what each stage's pass found.
        log_z_square: mean of (ln Z)^2 over the samples, [R]; None of a network that does not tell it.
    """

    loss: tf.Tensor
    gradients: list[tf.Tensor]
    saved: list[Any]
    logits: tf.Tensor
    signal: Signal
    stages: list[StageGradients]
    log_z_square: tf.Tensor | None = None

    @property
    def over_time(self) -> tf.Tensor | None:
        """`TIME_COLUMNS` at the ensemble's `moments`, [moments, columns, R]; None where nobody ever asks."""
        told = [stage.over_time for stage in self.stages if stage.over_time is not None]
        return tf.concat(told, axis=0) if told else None


@dataclass
class Ensemble:
    """The runs of a cohort.

    Attributes:
        network: the structure that they share.
        objective: what they are trained for.
        stages: for each stage the stacked layers of its block.
        head: the stacked head; its leading axis of blocks has length 1.
        steps: how many steps they will be trained for: the longer, the more layers are worth unrolling.
        settings: what the runs' levels say.
        dropout: what training drops behind hidden layers, and behind each stage with a pass of its own; None: nothing.
    """

    network: Network
    objective: Objective
    stages: list[list[LayerStack]]
    head: LayerStack
    steps: int
    settings: RunSettings
    dropout: Dropout | None = None

    def __post_init__(self) -> None:
        streamed = any(stage.block.skips for stage in self.network.stages)
        unrolled = is_unrolled(self.network.depth, self.settings.runs)
        self.passes: list[Pass] = []
        self._ends: list[int] = []  # of each pass the last layer, counted from the input
        below = 0
        for stage, stacks in zip(self.network.stages, self.stages, strict=True):
            drop = partial(_drop, self.dropout, below) if self.dropout else None
            own = stage.own_pass and stage.own_pass(stage, stacks, self.settings)
            if self.dropout and own and hasattr(own, "drop"):
                own.drop = partial(_factors, self.dropout, below)
            self.passes.append(own or StagePass(stage, stacks, streamed, unrolled, drop, self.settings.dtype))
            below += stage.count * len(stage.block.layers)
            self._ends.append(below - 1)
        self._lifted_head = lifted(self._head_gradients)
        smoothing = self.settings.number("label_smoothing", 0.0)
        self._smoothing = [] if smoothing is None else [smoothing]
        self._class_weights = self.settings.class_weights(self.objective.balanced)
        z_loss = self.settings.number("z_loss", 0.0)
        self._z_loss = [] if z_loss is None else [z_loss]
        self._tells_z = self.network.tells_z and self.objective.kind is not DataKind.VALUES
        self.scale = LossScale.of(self.settings.runs[0].choices["precision"], self.runs)

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

    @property
    def penalized(self) -> list[keras.Variable]:
        """The kernels that penalties and bounds apply to: not what a head shares, an embedding."""
        shared = {id(each) for each in self.head.shared}
        return [kernel for kernel in self.kernels if id(kernel) not in shared]

    @property
    def moments(self) -> list[TimedLayer]:
        """The time steps that are told of, from the input on; none without time."""
        found, layer = [], 0
        for stage in self.passes:
            lacks = tuple(getattr(stage, "lacks", ()))
            found += [TimedLayer(layer, moment, lacks) for moment in getattr(stage, "moments", ())]
            layer += stage.stage.count * len(stage.stage.block.layers)
        return found

    def repeated(self, x: tf.Tensor) -> tf.Tensor:
        """Samples [B, ...] once for each run, [R, B, ...]."""
        return tf.tile(x[None], [self.runs] + [1] * len(x.shape))

    def entering(self, x: tf.Tensor) -> Carry:
        """Samples [R, B, ...] as the first stage is given them, in the numbers in which layers compute."""
        return None, cast_samples(x, self.settings.dtype)

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

    def gradients(
        self, x: tf.Tensor, y: tf.Tensor, measure: tf.Tensor, asked: Mapping[str, tf.Tensor] = NOTHING
    ) -> BatchGradients:
        """Losses and gradients of every run on its own batch, x [R, B, ...] and y [R, B, ...], in training mode.

        `measure`, a scalar, says whether the signal is to be measured, `asked` the same of each table on what is within
        layers; a cohort that never records one has none of it. No variable is assigned to, see `assign_states`.
        """
        carry = self.entering(x)
        saved = []
        for stage, end in zip(self.passes, self._ends, strict=True):
            carry, kept = stage.forward(carry)
            carry = self._dropped(carry, stage, end)
            saved.append(kept)
        scale = [] if self.scale is None else [self.scale.value.value()]
        given = (self._head_weights(), carry[1], y, self._smoothing, self._class_weights, self._z_loss, scale)
        loss, dh, d_head, d_logits, logits, log_z_square = self._lifted_head(*given)
        ends: Carry = (None if carry[0] is None else tf.zeros_like(carry[0]), dh)
        classes = self.objective.classes
        watch = Watch(
            measure, tf.one_hot(y, classes) if classes else None,
            asked.get("time_gradients"), asked.get("attention"), asked.get("positions"),
        )  # fmt: skip
        found: list[StageGradients] = []
        for stage, end, kept in reversed(list(zip(self.passes, self._ends, saved, strict=True))):
            ends, gradients = stage.backward(kept, self._dropped(ends, stage, end), watch)
            found.insert(0, gradients)
        flat = self._with_head([g for stage in found for layer in stage.weights for g in layer], d_head)
        signal = _signal([stage.signal for stage in found], d_logits, watch)
        if self.scale is not None:
            flat, signal = self.scale.unscaled(flat), _divided(signal, scale[0])
            found = [self._unscaled(each) for each in found]
        return BatchGradients(loss, flat, saved, logits, signal, found, *log_z_square)

    def _head_weights(self) -> list[tf.Tensor]:
        """The head's variables in its model's order, [R, ...]; what it shares is a lower layer's."""
        own, shared = iter(self.head.trainable), iter(self.head.shared)
        order = self.network.head.trainable_variables
        return [next(shared if is_shared(variable) else own).value[0] for variable in order]

    def _with_head(self, below: list[tf.Tensor], d_head: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients of all variables: what the head shares has both uses' sum."""
        found, shared = list(below), iter(self.head.shared)
        place = {id(variable): at for at, variable in enumerate(self.variables)}
        for variable, gradient in zip(self.network.head.trainable_variables, d_head, strict=True):
            if is_shared(variable):
                at = place[id(next(shared))]
                found[at] = found[at] + gradient[None]
            else:
                found.append(gradient[None])
        return found

    def _unscaled(self, found: StageGradients) -> StageGradients:
        """What a pass tells of gradients beside those for weights, of losses that were scaled."""
        names = {"over_time": TIME_COLUMNS, "attention": ATTENTION_COLUMNS, "positions": POSITION_COLUMNS}
        told = {field: getattr(found, field) for field in names}
        if self.scale is None:
            return found
        unscaled = self.scale.unscaled_norms
        return replace(found, **{n: unscaled(each, names[n]) for n, each in told.items() if each is not None})

    def _dropped(self, carry: Carry, stage: Pass, layer: int) -> Carry:
        """What dropout leaves behind a pass of an architecture's own, or of the gradients for it."""
        if self.dropout is None or hasattr(stage, "drop"):
            return carry
        return carry[0], self.dropout(carry[1], layer)

    def assign_states(self, saved: list[Any]) -> None:
        """The moving averages after a batch become the ensemble's."""
        for stage, kept in zip(self.stages, saved, strict=True):
            for stack, states in zip(stage, kept.states, strict=True):
                for variable, array in zip(stack.state, states, strict=True):
                    variable.assign(tf.ensure_shape(array.stack(), variable.shape))

    def _head_gradients(  # noqa: PLR0913
        self, weights: Any, h: Any, y: Any, smoothing: Any, class_weights: Any, z_loss: Any, scale: Any
    ) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([h, weights])
            logits, _ = self.network.head.stateless_call(list(weights), [], h)
            wide = widened(logits)
            told = {"smoothing": smoothing, "weights": class_weights}
            told = {name: given[0] for name, given in told.items() if given}
            loss = tf.reduce_mean(self.objective.losses(y, wide, **told))
            squares = [tf.reduce_mean(self.objective.log_z_squares(wide))] if self._tells_z else []
            minimized = loss + z_loss[0] * squares[0] if z_loss else loss
            scaled = minimized * scale[0] if scale else minimized
        dh, d_weights, d_logits = tape.gradient(scaled, [h, list(weights), logits])
        return loss, dh, d_weights, d_logits, logits, squares

    def predict(self, x: tf.Tensor) -> tf.Tensor:
        """Outputs of the head [R, B, ...] in inference mode of every run on the same samples x [B, ...]."""
        carry = self.entering(self.repeated(x))
        for stage in self.passes:
            carry, _ = stage.forward(carry, training=False)
        head = self.network.head
        logits = vectorize(lambda w, h: head.stateless_call(list(w), [], h)[0], self._head_weights(), carry[1])
        return widened(logits)


def _drop(dropout: Dropout, below: int, h: tf.Tensor, layer: Any) -> tf.Tensor:
    """What is left of h behind a layer that is counted from so many below it."""
    return dropout(h, below + layer)


def _factors(dropout: Dropout, below: int, shape: Sequence[int], layer: Any) -> tf.Tensor:
    """What dropout multiplies by behind a layer that is counted from so many below it."""
    return dropout.factors(shape, below + layer)


def _divided(signal: Signal, scale: tf.Tensor) -> Signal:
    """The signal of losses [R] that were multiplied by a scale each."""
    wide = tf.cast(scale, tf.float64)
    return Signal(signal.preactivation / wide, signal.activation / wide, signal.correlation)


def _signal(stages: list[list[tf.Tensor]], d_logits: tf.Tensor, watch: Watch) -> Signal:
    """Mean loss: B times the gradient, squared, averaged over B samples, is B times the sum of squares.

    Args:
        stages: what `look` found in each stage.
        d_logits: the gradient for the logits, [R, B, outputs].
    """
    head_norms, head_directions = look(
        [d_logits, tf.fill(tf.shape(d_logits), float("nan"))], watch.measure, watch.member
    )
    norms = tf.concat([*(norms for norms, _ in stages), head_norms[None]], axis=0)
    directions = tf.concat([*(directions for _, directions in stages), head_directions[None]], axis=0)
    squares, correlation = measure_signal(norms, directions, watch.member)
    pre, phi = tf.unstack(tf.sqrt(d_logits.shape[1] * squares), axis=1)
    return Signal(pre, phi, correlation)
