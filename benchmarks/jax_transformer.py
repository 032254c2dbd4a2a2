"""A pre-norm transformer in JAX, for `jax_vmap`: tokens with an answer at each, the mean loss over all of them.

The variant `unrolled` has a list of blocks, `scan` stacks them and runs `lax.scan` over them. Gradients of each branch
and of each sum come of zeros that are added to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import HEADS, Case

EPSILON = 1e-3  # of Keras's LayerNormalization
KERNELS = ("query_kernel", "key_kernel", "value_kernel", "output_kernel", "in_kernel", "out_kernel")
NORMS = ("first", "second")

Tree = Any


def forward(case: Case, variant: str) -> Callable[..., tuple[jax.Array, Tree]]:
    """The mean loss of one run on its batch, and a state, which it has none of."""

    def loss_of(weights: Tree, state: Tree, shifts: Tree, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Tree]:
        h = weights["tokens"][batch[0]] + weights["places"]
        if variant == "unrolled":
            for part in zip(weights["blocks"], shifts, strict=True):
                h, _ = _block(h, part)
        else:
            h, _ = jax.lax.scan(_block, h, (weights["blocks"], shifts))
        logits = _normalized(h, weights["norm"]) @ weights["head"]["kernel"] + weights["head"]["bias"]
        told = jnp.take_along_axis(jax.nn.log_softmax(logits), batch[1][..., None], axis=-1)
        return -told.mean(), state

    return loss_of


def _block(h: jax.Array, part: tuple[Tree, Tree]) -> tuple[jax.Array, None]:
    weights, shifts = part
    for branch, norm, (of_branch, of_sum) in zip((_attention, _feed_forward), NORMS, shifts, strict=True):
        h = h + branch(_normalized(h, weights[norm]), weights) + of_branch + of_sum
    return h, None


def _attention(x: jax.Array, weights: Tree) -> jax.Array:
    samples, tokens, width = x.shape
    q, k, v = (
        (x @ weights[f"{name}_kernel"] + weights[f"{name}_bias"])
        .reshape(samples, tokens, HEADS, width // HEADS)
        .transpose(0, 2, 1, 3)
        for name in ("query", "key", "value")
    )
    shares = jax.nn.softmax(q @ k.swapaxes(-1, -2) * (width // HEADS) ** -0.5)
    said = (shares @ v).transpose(0, 2, 1, 3).reshape(samples, tokens, width)
    return said @ weights["output_kernel"] + weights["output_bias"]


def _feed_forward(x: jax.Array, weights: Tree) -> jax.Array:
    hidden = jax.nn.relu(x @ weights["in_kernel"] + weights["in_bias"])
    return hidden @ weights["out_kernel"] + weights["out_bias"]


def _normalized(x: jax.Array, norm: Tree) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * norm["gamma"] + norm["beta"]


def zeros(case: Case, variant: str) -> Tree:
    """A pair of zeros for each sub-layer of each block."""
    shape = (case.batch, case.length, case.width)
    if variant == "unrolled":
        return [[(jnp.zeros(shape), jnp.zeros(shape))] * 2] * case.depth
    return [(jnp.zeros((case.depth, *shape)), jnp.zeros((case.depth, *shape)))] * 2


def initial(case: Case, variant: str) -> Tree:
    """Weights, velocities and state of all runs, the runs as the first axis of every leaf."""
    tokens, places, *kernels, head = case.kernels()

    def norm() -> Tree:
        return {"gamma": np.ones((case.runs, case.width)), "beta": np.zeros((case.runs, case.width))}

    def block_of(own: list[np.ndarray]) -> Tree:
        named = dict(zip(KERNELS, own, strict=True))
        biases = {
            f"{name.removesuffix('_kernel')}_bias": np.zeros((case.runs, k.shape[-1])) for name, k in named.items()
        }
        return named | biases | {name: norm() for name in NORMS}

    each = [block_of(kernels[start : start + len(KERNELS)]) for start in range(0, len(kernels), len(KERNELS))]
    blocks = each if variant == "unrolled" else jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *each)
    ending = {"kernel": head, "bias": np.zeros((case.runs, head.shape[-1]))}
    weights = {"tokens": tokens, "places": places, "blocks": blocks, "norm": norm(), "head": ending}
    trees = (weights, jax.tree.map(np.zeros_like, weights), {"none": np.zeros(case.runs)})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trees)
