"""What an optimizer is given and what it makes of it: gradients before and after clipping, weights, their change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bench.recorder.inner_optimizers import PIECE, clips, innermost, pieces
from bench.recorder.norms import Squares, beside, merged, side_by_side, square_sums, widened
from bench.recorder.patches import Patches
from bench.recorder.taps import graph_now

HANDING = (keras.optimizers.SGD, keras.optimizers.Adam, keras.optimizers.RMSprop)


def scale_of(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | float:
    """By what the loss is multiplied before its gradient is taken."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.convert_to_tensor(optimizer.dynamic_scale) if optimizer.built else float(optimizer.initial_scale)
    return 1.0 if optimizer.loss_scale_factor is None else float(optimizer.loss_scale_factor)


def _hands_out_updates(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> bool:
    """Whether each weight changes by one `assign_add` or `assign_sub`, whose argument then is its update."""
    more = (optimizer.weight_decay, optimizer.use_ema, optimizer.gradient_accumulation_steps)
    constrained = any(getattr(each, "constraint", None) is not None for each in variables)
    return type(optimizer) in HANDING and not any(more) and not constrained


def _some(gradient: tf.Tensor) -> tuple[tf.Tensor, float]:
    """About `SAMPLED` numbers of a gradient, and by what to multiply their sums."""
    size = math.prod(gradient.shape) if gradient.shape.is_fully_defined() else 0
    picked, share = pieces(size)
    if picked is None:
        return gradient, share
    whole = tf.reshape(gradient, [-1])[: PIECE * (size // PIECE)]
    return tf.gather(tf.reshape(whole, [-1, PIECE]), picked), share


def _key(variable: Any) -> int:
    return id(variable.value) if isinstance(variable, keras.Variable) else id(variable)


class Carry:
    """Variables that bring numbers out of a branch of a condition, made before any trace; one for each optimizer."""

    def __init__(self, optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
        self.variables: dict[int, tf.Variable] = {}
        for each in optimizers:
            branches = isinstance(each, keras.optimizers.LossScaleOptimizer) or each.gradient_accumulation_steps
            if clips(each) and branches:
                count = len(getattr(innermost(each), "_trainable_variables", ()))
                self.variables[id(each)] = tf.Variable(tf.fill([count], tf.constant(math.nan, tf.float64)), False)


class UpdateTaps:
    """What the optimizers of one traced step were given, by variable in the order in which they are applied."""

    def __init__(self, carry: Carry, squares: Squares, *, penalized: Callable[[], bool]) -> None:
        self.carry = carry
        self.squares = squares
        self.penalized = penalized
        self.variables: list[Any] = []
        self.asked: dict[tuple[int, str], int] = {}
        self.vectors: list[tuple[list[tuple[int, str]], tf.Tensor]] = []
        self.counts: list[tuple[int, float, tf.Tensor]] = []  # what to count in, and by what to multiply the sums
        self.scales: dict[int, tf.Tensor | float] = {}
        self.clipped: tf.Tensor | None = None
        self.weighed: dict[int, tf.Tensor] = {}  # by variable what must be known before it changes
        self.updates: dict[int, list[Any]] = {}  # what each variable is changed by, in the latest `apply`
        self.graph: object = None  # whose tensors are looked at
        self.elsewhere = False  # whether another graph's are applied

    def put_on(self, patches: Patches, optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
        """Look at these optimizers' `apply` from now on, and at what clipping gives where there is any."""
        self.graph = graph_now()
        for each in optimizers:
            self.scales[id(each)] = scale_of(each)
            patches.around(each, "apply", partial(self._around_apply, each))
            if clips(each):
                inner = innermost(each)
                patches.around(inner, "_clip_gradients", partial(self._around_clip, each))
            if _hands_out_updates(each, ()):
                for name in ("assign_add", "assign_sub"):
                    patches.around(each, name, self._around_assign)

    def _around_apply(self, optimizer: Any, apply: Callable[..., Any]) -> Callable[..., Any]:
        def looked(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
            if graph_now() is not self.graph:
                self.elsewhere = True
                return apply(grads, trainable_variables)
            own = innermost(optimizer)._trainable_variables
            given = own if trainable_variables is None else list(trainable_variables)
            pairs = [(g, v) for g, v in zip(grads, given, strict=False) if g is not None]
            if any(known is v for known in self.variables for _, v in pairs):
                return apply(grads, given)  # a second time in a step: the first counts
            numbers = range(len(self.variables), len(self.variables) + len(pairs))
            self.variables += [v for _, v in pairs]
            before = [tf.identity(variable) for _, variable in pairs]
            handed = _hands_out_updates(optimizer, given)
            for number, (gradient, variable), old in zip(numbers, pairs, before, strict=True):
                self._ask_gradient(number, merged(beside(gradient)), variable, self.scales[id(optimizer)])
                if not handed:
                    self.asked[number, "weight"] = self.squares.ask(old, stays=True)
            self._tell_counts()
            if handed:  # at once: whoever holds weights while they are updated makes the update copy them
                self._sum_now(numbers, "weight", before)
                self.weighed = {_key(variable): self.vectors[-1][1] for _, variable in pairs}
            self.updates = {}
            carried = self.carry.variables.get(id(optimizer))
            if carried is not None:
                carried.assign(tf.fill(carried.shape, tf.constant(math.nan, tf.float64)))
            self.clipped = None
            result = apply(grads, given)
            clipped = self.clipped if carried is None else carried[: len(numbers)]
            if clipped is not None:
                self.vectors.append(([(number, "clipped") for number in numbers], clipped))
            self._ask_updates(numbers, [v for _, v in pairs], None if handed else before)
            return result

        return looked

    def _ask_updates(
        self, numbers: Sequence[int], variables: Sequence[Any], before: Sequence[tf.Tensor] | None
    ) -> None:
        """By the weights before, or where these are not held by what `assign_add` and `assign_sub` were given."""
        for k, (number, variable) in enumerate(zip(numbers, variables, strict=True)):
            if before is not None:
                change = tf.convert_to_tensor(variable) - before[k]
            elif len(self.updates.get(_key(variable), ())) == 1:
                handed = self.updates[_key(variable)][0]  # of momentum its variable
                change = merged(tf.convert_to_tensor(handed) if isinstance(handed, keras.Variable) else handed)
            else:
                continue
            self.asked[number, "update"] = self.squares.ask(change, stays=True)

    def _sum_now(self, numbers: Sequence[int], what: str, tensors: Sequence[tf.Tensor]) -> None:
        now = Squares()
        for each in tensors:
            now.ask(each, stays=True)
        order, sums = now.settled()
        self.vectors.append(([(numbers[k], what) for k in order], sums))

    def _around_assign(self, assign: Callable[..., Any]) -> Callable[..., Any]:
        def looked(variable: Any, value: Any) -> Any:
            if graph_now() is self.graph:
                self.updates.setdefault(_key(variable), []).append(value)
                if _key(variable) in self.weighed:  # else an update that comes first copies the weights
                    with tf.control_dependencies([self.weighed[_key(variable)]]):
                        return assign(variable, value)
            return assign(variable, value)

        return looked

    def _ask_gradient(self, number: int, gradient: tf.Tensor, variable: Any, scale: tf.Tensor | float) -> None:
        gradient = widened(gradient)
        self.asked[number, "gradient"] = self.squares.ask(gradient, stays=True)
        regularizer = getattr(variable, "regularizer", None)
        if regularizer is not None and self.penalized():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                value = tf.identity(variable)
                tape.watch(value)
                penalty = regularizer(value)
            gradient = gradient - tf.cast(scale, gradient.dtype) * tf.cast(
                tape.gradient(penalty, value), gradient.dtype
            )
            self.asked[number, "data_gradient"] = self.squares.ask(gradient, stays=True)
        if len(variable.shape) > 1:
            some, share = _some(gradient)
            self.counts.append((number, share, some))

    def _tell_counts(self) -> None:
        """Of magnitudes and of what is not 0; kernels of which as many numbers are looked at are taken together."""
        groups: dict[Any, list[tuple[int, float, tf.Tensor]]] = {}
        for number, share, some in self.counts:
            shape = tuple(some.shape) if some.shape.is_fully_defined() else number
            groups.setdefault((shape, some.dtype), []).append((number, share, some))
        for members in groups.values():
            some = side_by_side([each for _, _, each in members])
            axes = list(range(1, len(some.shape)))
            nonzero = tf.reduce_sum(tf.cast(tf.not_equal(some, 0.0), some.dtype), axes)
            numbers = tf.cast(tf.concat([tf.reduce_sum(tf.abs(some), axes), nonzero], axis=0), tf.float64)
            keys = [(number, name) for name in ("abs_sum", "nonzero") for number, _, _ in members]
            self.vectors.append((keys, numbers * tf.constant([share for _, share, _ in members] * 2, tf.float64)))
        self.counts = []

    def _around_clip(self, optimizer: Any, clip: Callable[..., Any]) -> Callable[..., Any]:
        def looked(grads: Sequence[Any]) -> Any:
            result = clip(grads)
            sums = square_sums([merged(beside(each)) for each in result])
            carried = self.carry.variables.get(id(optimizer))
            if carried is None and graph_now() is self.graph:
                self.clipped = sums
            elif carried is not None:
                rest = tf.fill([carried.shape[0] - len(result)], tf.constant(math.nan, tf.float64))
                carried.assign(tf.concat([sums, rest], axis=0))
            return result

        return looked
