"""Convolutions in JAX, for `jax_vmap`: `lax.conv_general_dilated` in a list of layers, and the mean over positions.

The gradients of pre-activations and activations come of zeros that are added to them. Of the two variants `unrolled` is
a `vmap` over runs, of which XLA makes one grouped convolution, and `scan` a `lax.map`, one run after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import SIDE, Case

Tree = Any
AXES = ("NHWC", "HWIO", "NHWC")


def over_runs(variant: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of one run for all."""
    return jax.vmap(step) if variant == "unrolled" else lambda *trees: jax.lax.map(lambda each: step(*each), trees)


def forward(case: Case, variant: str) -> Callable[..., tuple[jax.Array, Tree]]:
    """The mean loss of one run on its batch, and a state, which it has none of."""

    def loss_of(weights: Tree, state: Tree, shifts: Tree, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Tree]:
        h = batch[0]
        for layer, (shift, after) in zip(weights["layers"], shifts, strict=True):
            z = jax.lax.conv_general_dilated(h, layer["kernel"], (1, 1), "SAME", dimension_numbers=AXES)
            h = jax.nn.relu(z + layer["bias"] + shift) + after
        logits = h.mean(axis=(1, 2)) @ weights["head"]["kernel"] + weights["head"]["bias"]
        return -jax.nn.log_softmax(logits)[jnp.arange(len(batch[1])), batch[1]].mean(), state

    return loss_of


def zeros(case: Case, variant: str) -> Tree:
    """A pair of zeros for each layer."""
    shape = (case.batch, SIDE, SIDE, case.width)
    return [(jnp.zeros(shape), jnp.zeros(shape))] * case.depth


def initial(case: Case, variant: str) -> Tree:
    """Weights, velocities and state of all runs, the runs as the first axis of every leaf."""
    *layers, head = ({"kernel": each, "bias": np.zeros((case.runs, each.shape[-1]))} for each in case.kernels())
    weights = {"layers": layers, "head": head}
    trees = (weights, jax.tree.map(np.zeros_like, weights), {"none": np.zeros(case.runs)})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trees)
