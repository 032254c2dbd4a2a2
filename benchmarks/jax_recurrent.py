"""Keras's recurrent cells in JAX, for `jax_vmap`: products with the inputs at once, then a `lax.scan` over time.

Gates are in Keras's order, the GRU is that with `reset_after`. The variant `unrolled` has `UNROLLED` steps in a turn of
the scan. The gradients at every time step come of zeros that are added to the pre-activations and to the states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import GATES, Case

UNROLLED = 5

Tree = Any


def forward(case: Case, variant: str) -> Callable[..., tuple[jax.Array, Tree]]:
    """The mean loss of one run on its batch, and a state, which it has none of."""

    def loss_of(weights: Tree, state: Tree, shifts: Tree, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Tree]:
        layer, head = weights["layer"], weights["head"]
        inputs = jnp.swapaxes(batch[0] @ layer["kernel"] + layer["bias"], 0, 1)
        start = (jnp.zeros(shifts["state"].shape[1:]),) * (2 if case.cell == "lstm" else 1)

        def step(carried: tuple[jax.Array, ...], given: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
            a, shift, state_shift = given
            h, *more = CELLS[case.cell](layer, a + shift, carried)
            return (h + state_shift, *more), None

        over = (inputs, shifts["input"], shifts["state"])
        (h, *_), _ = jax.lax.scan(step, start, over, unroll=UNROLLED if variant == "unrolled" else 1)
        logits = h @ head["kernel"] + head["bias"]
        return -jax.nn.log_softmax(logits)[jnp.arange(len(batch[1])), batch[1]].mean(), state

    return loss_of


def _simple(layer: Tree, a: jax.Array, carried: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    return (jnp.tanh(a + carried[0] @ layer["recurrent_kernel"]),)


def _lstm(layer: Tree, a: jax.Array, carried: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    h, c = carried
    i, f, u, o = jnp.split(a + h @ layer["recurrent_kernel"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(layer: Tree, a: jax.Array, carried: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    (h,) = carried
    az, ar, au = jnp.split(a, 3, axis=-1)
    hz, hr, hu = jnp.split(h @ layer["recurrent_kernel"] + layer["recurrent_bias"], 3, axis=-1)
    z, r = jax.nn.sigmoid(az + hz), jax.nn.sigmoid(ar + hr)
    return (z * h + (1 - z) * jnp.tanh(au + r * hu),)


CELLS = {"simple": _simple, "lstm": _lstm, "gru": _gru}


def zeros(case: Case, variant: str) -> Tree:
    """What is added to the pre-activations and states at every time step."""
    shape = (case.length, case.batch, case.width)
    return {"input": jnp.zeros((*shape[:2], GATES[case.cell] * case.width)), "state": jnp.zeros(shape)}


def initial(case: Case, variant: str) -> Tree:
    """Weights, velocities and state of all runs, the runs as the first axis of every leaf."""
    kernel, recurrent, head = case.kernels()
    bias = np.zeros((case.runs, GATES[case.cell] * case.width))
    if case.cell == "lstm":
        bias[:, case.width : 2 * case.width] = 1.0  # as Keras's `unit_forget_bias`
    layer = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
    if case.cell == "gru":
        layer["recurrent_bias"] = np.zeros_like(bias)
    weights = {"layer": layer, "head": {"kernel": head, "bias": np.zeros((case.runs, head.shape[-1]))}}
    trees = (weights, jax.tree.map(np.zeros_like, weights), {"none": np.zeros(case.runs)})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trees)
