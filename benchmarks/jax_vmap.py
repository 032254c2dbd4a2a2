"""(b) A hand-written JAX `vmap` of the same multilayer perceptron, as a careful user would write it.

Two variants: `unrolled` has a list of layers, `scan` stacks the equal hidden layers and runs `lax.scan` over them. The
gradients of pre-activations and activations come of zeros that are added to them. Momentum, and a limit on the global
gradient norm for each run, as in the engine's cohort.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.process import Case, Findings, serve, time_calls

ROWS, FEATURES, CLASSES = 1437, 64, 10
LEARNING_RATE, MOMENTUM, MOVING, EPSILON = 0.02, 0.9, 0.99, 1e-3
Tree = Any


def layer(weights: Tree, state: Tree, h: jax.Array, shifts: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Tree]:
    """One hidden layer; the zeros `shifts` are added to z and to the activation."""
    z = h @ weights["kernel"] + weights["bias"] + shifts[0]
    if "gamma" in weights:
        mean, variance = z.mean(0), z.var(0)
        z = (z - mean) * jax.lax.rsqrt(variance + EPSILON) * weights["gamma"] + weights["beta"]
        state = {
            "mean": MOVING * state["mean"] + (1 - MOVING) * mean,
            "variance": MOVING * state["variance"] + (1 - MOVING) * variance,
        }
    return jax.nn.relu(z) + shifts[1], state


def forward(weights: Tree, state: Tree, shifts: Tree, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Tree]:
    """The mean loss of one run on its batch, and its new state."""
    h, first = layer(weights["first"], state["first"], batch[0], shifts["first"])
    if isinstance(weights["hidden"], list):
        hidden = []
        for parts in zip(weights["hidden"], state["hidden"], shifts["hidden"], strict=True):
            h, new = layer(parts[0], parts[1], h, parts[2])
            hidden.append(new)
    else:
        parts = (weights["hidden"], state["hidden"], shifts["hidden"])
        h, hidden = jax.lax.scan(lambda h, part: layer(part[0], part[1], h, part[2]), h, parts)
    logits = h @ weights["head"]["kernel"] + weights["head"]["bias"]
    loss = -jax.nn.log_softmax(logits)[jnp.arange(len(batch[1])), batch[1]].mean()
    return loss, {"first": first, "hidden": hidden}


def make_step(case: Case, *, measure: bool) -> Callable[..., Any]:
    """One training step of one run: new weights, velocities and state, and what was measured."""

    def step(trees: Tree, limit: jax.Array, batch: tuple[jax.Array, jax.Array]) -> tuple[Tree, Tree]:
        weights, velocity, state = trees
        shifts = zeros(case, (case["batch"], case["width"]))
        if measure:
            grad = jax.value_and_grad(forward, argnums=(0, 2), has_aux=True)
            (loss, state), (gradients, signal) = grad(weights, state, shifts, batch)
        else:
            (loss, state), gradients = jax.value_and_grad(forward, has_aux=True)(weights, state, shifts, batch)
        raw = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
        scale = jnp.where(raw > limit, limit / raw, 1.0)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - LEARNING_RATE * scale * g, velocity, gradients)
        found = {"loss": loss, "raw": raw, "clipped": raw * scale, "sound": jnp.isfinite(loss) & jnp.isfinite(raw)}
        if measure:
            found |= {"weight": norms(weights), "update": norms(velocity), "gradient": norms(gradients)}
            found |= {"signal": jax.tree.map(lambda d: jnp.sqrt(jnp.sum(d * d, axis=(-2, -1))), signal)}
        return (jax.tree.map(jnp.add, weights, velocity), velocity, state), found

    return step


def norms(tree: Tree) -> list[jax.Array]:
    """L2 norms of one run's kernels, one number a layer."""
    hidden = tree["hidden"] if isinstance(tree["hidden"], list) else [tree["hidden"]]
    kernels = [part["kernel"] for part in (tree["first"], *hidden, tree["head"])]
    return [jnp.sqrt(jnp.sum(kernel * kernel, axis=(-2, -1))) for kernel in kernels]


def zeros(case: Case, shape: tuple[int, ...]) -> Tree:
    """A pair of zeros for each hidden layer."""
    pair = (jnp.zeros(shape), jnp.zeros(shape))
    count = case["depth"] - 1
    stacked = jax.tree.map(lambda leaf: jnp.zeros((count, *shape)), pair)
    return {"first": pair, "hidden": [pair] * count if case["variant"] == "unrolled" else stacked}


def initial(case: Case) -> Tree:
    """Weights, velocities and state of all runs, the runs as the first axis of every leaf."""
    rng, runs, width = np.random.default_rng(0), case["runs"], case["width"]
    normalized = case["normalization"] != "none"

    def drawn(lead: tuple[int, ...], fan_in: int, units: int, *, extra: bool) -> Tree:
        made = {
            "kernel": rng.normal(size=(*lead, fan_in, units)) * np.sqrt(2 / fan_in),
            "bias": np.zeros((*lead, units)),
        }
        return made | ({"gamma": np.ones((*lead, units)), "beta": np.zeros((*lead, units))} if extra else {})

    def moving(lead: tuple[int, ...]) -> Tree:
        return {"mean": np.zeros((*lead, width)), "variance": np.ones((*lead, width))} if normalized else {}

    count, listed = case["depth"] - 1, case["variant"] == "unrolled"
    leads = [(runs,)] * count if listed else [(runs, count)]
    hidden = [drawn(lead, width, width, extra=normalized) for lead in leads]
    states = [moving(lead) for lead in leads]
    weights = {
        "first": drawn((runs,), FEATURES, width, extra=normalized),
        "hidden": hidden if listed else hidden[0],
        "head": drawn((runs,), width, CLASSES, extra=False),
    }
    state = {"first": moving((runs,)), "hidden": states if listed else states[0]}
    trees = (weights, jax.tree.map(np.zeros_like, weights), state)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trees)


def prepare(case: Case) -> Callable[[], Findings]:
    """Compile the step that measures norms and the one that does not; then time each."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(ROWS, FEATURES)), jnp.float32)
    y = jnp.asarray(rng.integers(0, CLASSES, ROWS))
    limits = jnp.where(jnp.arange(case["runs"]) % 2 == 0, jnp.inf, 1.0)
    rows = rng.integers(0, ROWS, (case["calls"], case["runs"], case["batch"])).astype(np.int32)

    def compiled(*, measure: bool) -> Callable[[Tree, np.ndarray], tuple[Tree, Tree]]:
        over_runs = jax.vmap(make_step(case, measure=measure))
        return jax.jit(lambda trees, indices: over_runs(trees, limits, (x[indices], y[indices])), donate_argnums=0)

    steps = {"measured": compiled(measure=True), "plain": compiled(measure=False)}
    held = {name: initial(case) for name in steps}
    first = {}

    def call(name: str, indices: np.ndarray) -> None:
        held[name], found = steps[name](held[name], indices)
        jax.device_get(found)

    for name in steps:
        started = time.perf_counter()
        call(name, rows[0])
        first[name] = time.perf_counter() - started
    return lambda: {"first": first} | {name: time_calls(lambda i, n=name: call(n, rows[i]), case) for name in steps}


if __name__ == "__main__":
    serve(prepare)
