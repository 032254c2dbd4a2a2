"""What an optimizer is given in a step of JAX's and what it makes of it, by its `stateless_apply`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import keras
from jax import Array, grad

from bench.recorder.inner_optimizers import PIECE, clips, innermost, pieces
from bench.recorder.jax_norms import beside, square_sums
from bench.recorder.patches import Patches

Call = Callable[..., Any]
Key = tuple[str, int, str]


class Applied:
    """Of one traced step: gradients, weights and their change, by variable in the order in which they are applied.

    Attributes:
        penalty: the sum of the variables' penalties; None without any.
        counted: of a kernel's gradient its number, some of its entries, and by what to multiply their sums.
        asked: tensors whose sums of squares are wanted.
        sums: such sums [tensors, SUMS], of what clipping gave, and what each is.
        scale: by what the loss was multiplied.
        penalized: whether the loss has the variables' penalties in it.
    """

    def __init__(self, is_here: Callable[[Any], bool]) -> None:
        self.is_here = is_here
        self.variables: list[Any] = []
        self.penalty: Any = None
        self.counted: list[tuple[int, Array, float]] = []
        self.asked: dict[Key, Array] = {}
        self.sums: list[tuple[list[Key], Array]] = []
        self.scale: Any = 1.0
        self.penalized = False
        self.clipped: tuple[list[int], Array] | None = None

    def put_on(self, patches: Patches, optimizer: keras.optimizers.Optimizer) -> None:
        """Look at an optimizer's `stateless_apply` from now on, and at what clipping gives where there is any."""
        patches.around(optimizer, "stateless_apply", partial(self._around_apply, optimizer))
        if clips(optimizer):
            inner = innermost(optimizer)
            patches.around(inner, "_clip_gradients", partial(self._around_clip, inner))

    def _around_apply(self, optimizer: Any, apply: Call) -> Call:
        def looked(optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]) -> Any:
            given = innermost(optimizer)._trainable_variables
            known = any(one is other for one in self.variables for other in given)
            self.clipped = None
            result = apply(optimizer_variables, grads, trainable_variables)
            if known or not self.is_here(list(grads)):  # a second time in a step: the first counts
                return result
            state = dict(zip(map(id, optimizer.variables), optimizer_variables, strict=True))
            self.scale = _scale(optimizer, state)
            first = len(self.variables)
            self.variables += given
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and clips(optimizer):
                # It clips in a branch, out of which no number comes.
                clipped = innermost(optimizer)._clip_gradients([each / self.scale for each in grads])
                self.clipped = square_sums(clipped)
            for k, variable in enumerate(given):
                old, new = trainable_variables[k], result[0][k]
                self.asked["variable", first + k, "weight"] = old
                self.asked["variable", first + k, "update"] = new - old
                self._look_at_gradient(first + k, grads[k].astype(jnp.float32), variable, old)
            if self.clipped is not None:
                order, sums = self.clipped
                self.sums.append(([("variable", first + k, "clipped") for k in order], sums))
            return result

        return looked

    def _around_clip(self, optimizer: Any, clip: Call) -> Call:
        def looked(grads: Sequence[Any]) -> Any:
            result = clip(grads)
            if self.is_here(list(grads)):
                order, sums = square_sums(result)
                every = optimizer.gradient_accumulation_steps
                if every:
                    sums = jnp.where((optimizer._iterations.value + 1) % every == 0, sums, math.nan)
                self.clipped = order, sums
            return result

        return looked

    def _look_at_gradient(self, number: int, gradient: Array, variable: Any, value: Array) -> None:
        self.asked["variable", number, "gradient"] = gradient
        regularizer = getattr(variable, "regularizer", None)
        if regularizer is not None and self.penalized:
            penalty, of_penalty = regularizer(value), grad(regularizer)(value)
            self.penalty = penalty if self.penalty is None else self.penalty + penalty
            gradient = gradient - self.scale * of_penalty.astype(jnp.float32)
            self.asked["variable", number, "data_gradient"] = gradient
        if len(variable.shape) > 1:
            self.counted.append((number, *_some(gradient)))

    def counts(self) -> Iterator[tuple[list[Key], Array]]:
        """Sums of kernels' gradients' magnitudes, how many of them are not 0, and what each number is."""
        by_size: dict[int, list[tuple[int, Array, float]]] = {}
        for each in self.counted:
            by_size.setdefault(each[1].size, []).append(each)
        for group in by_size.values():
            rows = beside([some for _, some, _ in group])
            both = jnp.stack([jnp.sum(jnp.abs(rows), axis=1), jnp.sum((rows != 0.0).astype(jnp.float32), axis=1)])
            shares = jnp.asarray([share for _, _, share in group], jnp.float32)
            keys = [("variable", number, name) for name in ("abs_sum", "nonzero") for number, _, _ in group]
            yield keys, (both * shares).reshape(-1)


def _some(gradient: Array) -> tuple[Array, float]:
    """About `SAMPLED` numbers of a gradient, and by what to multiply their sums."""
    picked, share = pieces(gradient.size)
    flat = gradient.reshape(-1)
    if picked is None:
        return flat, share
    return flat[: PIECE * (flat.size // PIECE)].reshape(-1, PIECE)[picked].reshape(-1), share


def _scale(optimizer: Any, state: dict[int, Any]) -> Any:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return state[id(optimizer.dynamic_scale)]
    return 1.0 if optimizer.loss_scale_factor is None else float(optimizer.loss_scale_factor)
