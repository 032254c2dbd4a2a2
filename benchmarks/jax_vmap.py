"""(b) A hand-written JAX `vmap` of the same network, as a careful user would write it.

Two variants: `unrolled` has a list of layers, `scan` stacks the equal hidden layers and runs `lax.scan` over them; of a
recurrent layer (`jax_recurrent`) both are a `lax.scan` over time; of convolutions see `jax_convolution`, of blocks of
a transformer `jax_transformer`. The gradients of pre-activations and activations come of zeros that are added to them.
Momentum, and a limit on the global gradient norm for each run, as in the engine's cohort.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import jax_convolution, jax_recurrent, jax_transformer
from benchmarks.case import CLIPPING_LIMIT, FEATURES, FIRST_STEPS, LEARNING_RATE, MOMENTUM, Case
from benchmarks.process import Prepared, counted, serve

MOVING, EPSILON = 0.99, 1e-3
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


def make_step(case: Case, variant: str, *, measure: bool) -> Callable[..., Any]:
    """One training step of one run: new weights, velocities and state, and what was measured."""
    network, axes, shifts_of = forward, (-2, -1), zeros  # over samples and units
    if case.convolves:
        network, axes, shifts_of = jax_convolution.forward(case, variant), (-4, -3, -2, -1), jax_convolution.zeros
    elif case.attends:  # samples, tokens and units
        network, axes, shifts_of = jax_transformer.forward(case, variant), (-3, -2, -1), jax_transformer.zeros
    elif case.cell:  # and over time
        network, axes, shifts_of = jax_recurrent.forward(case, variant), (-3, -2, -1), jax_recurrent.zeros

    def step(trees: Tree, batch: tuple[jax.Array, jax.Array]) -> tuple[Tree, Tree]:
        weights, velocity, state = trees
        shifts = shifts_of(case, variant)
        if measure:
            grad = jax.value_and_grad(network, argnums=(0, 2), has_aux=True)
            (loss, state), (gradients, signal) = grad(weights, state, shifts, batch)
        else:
            (loss, state), gradients = jax.value_and_grad(network, has_aux=True)(weights, state, shifts, batch)
        raw = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
        scale = jnp.where(raw > CLIPPING_LIMIT, CLIPPING_LIMIT / raw, 1.0)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - LEARNING_RATE * scale * g, velocity, gradients)
        found = {"loss": loss, "raw": raw, "clipped": raw * scale, "sound": jnp.isfinite(loss) & jnp.isfinite(raw)}
        if measure:
            found |= {"weight": norms(weights), "update": norms(velocity), "gradient": norms(gradients)}
            found |= {"signal": jax.tree.map(lambda d: jnp.sqrt(jnp.sum(d * d, axis=axes)), signal)}
        return (jax.tree.map(jnp.add, weights, velocity), velocity, state), found

    return step


def norms(tree: Tree) -> list[jax.Array]:
    """L2 norms of one run's kernels, one number a layer."""
    kernels = [leaf for path, leaf in jax.tree.leaves_with_path(tree) if path[-1].key.endswith("kernel")]
    axes = [range(-4, 0) if kernel.ndim == 4 else (-2, -1) for kernel in kernels]  # convolutions are never stacked
    return [jnp.sqrt(jnp.sum(kernel * kernel, axis=tuple(over))) for kernel, over in zip(kernels, axes, strict=True)]


def zeros(case: Case, variant: str) -> Tree:
    """A pair of zeros for each hidden layer."""
    shape, count = (case.batch, case.width), case.depth - 1
    pair = (jnp.zeros(shape), jnp.zeros(shape))
    stacked = jax.tree.map(lambda leaf: jnp.zeros((count, *shape)), pair)
    return {"first": pair, "hidden": [pair] * count if variant == "unrolled" else stacked}


def initial(case: Case, variant: str) -> Tree:
    """Weights, velocities and state of all runs, the runs as the first axis of every leaf."""
    first, *inner, head = case.kernels()

    def layer_of(kernel: np.ndarray, *, normalized: bool) -> Tree:
        shape = (*kernel.shape[:-2], kernel.shape[-1])
        extra = {"gamma": np.ones(shape), "beta": np.zeros(shape)} if normalized else {}
        return {"kernel": kernel, "bias": np.zeros(shape)} | extra

    def moving(part: Tree) -> Tree:
        return {"mean": np.zeros_like(part["beta"]), "variance": np.ones_like(part["beta"])} if "beta" in part else {}

    normalized = case.normalization != "none"
    kernels = inner if variant == "unrolled" else [np.stack(inner, axis=1)]
    hidden = [layer_of(kernel, normalized=normalized) for kernel in kernels]
    states = [moving(part) for part in hidden]
    listed = variant == "unrolled"
    weights = {
        "first": layer_of(first, normalized=normalized),
        "hidden": hidden if listed else hidden[0],
        "head": layer_of(head, normalized=False),
    }
    state = {"first": moving(weights["first"]), "hidden": states if listed else states[0]}
    trees = (weights, jax.tree.map(np.zeros_like, weights), state)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trees)


def prepare(case: Case, settings: dict[str, Any]) -> Prepared:
    """A compiled step that measures norms and one that does not, each with weights of its own."""
    variant, rows = settings["variant"], case.rows()
    family = jax_convolution if case.convolves else jax_transformer if case.attends else jax_recurrent
    initial_of = family.initial if case.cell else initial
    x = case.data.x_train if case.cell else case.data.x_train.reshape(-1, FEATURES)
    x, y = jnp.asarray(x), jnp.asarray(case.data.y_train)
    started = time.perf_counter()

    def kind(*, measure: bool) -> Callable[[], float]:
        of_run = make_step(case, variant, measure=measure)
        over_runs = jax_convolution.over_runs(variant, of_run) if case.convolves else jax.vmap(of_run)
        compiled = jax.jit(lambda trees, indices: over_runs(trees, (x[indices], y[indices])), donate_argnums=0)
        held = initial_of(case, variant)

        def step() -> float:
            nonlocal held
            held, found = compiled(held, next(rows))
            return float(jax.device_get(found)["loss"][0])

        return step

    steps = {name: kind(measure=name == "measured") for name in ("measured", "plain")}
    losses = [steps["measured"]()]
    first = time.perf_counter() - started
    losses += [steps["measured"]() for _ in range(FIRST_STEPS - 1)]
    return Prepared({name: counted(step, 1) for name, step in steps.items()}, first, float(np.mean(losses)))


if __name__ == "__main__":
    serve(prepare)
