"""The weights at step 0: Keras's initializers, seeded for each replicate and layer, stacked over runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import lru_cache

import keras
import numpy as np

from bench.engine.attention.start import embedding_choice, start_factor
from bench.engine.critical import bias_choice, kernel_choice
from bench.engine.dropout import Dropout
from bench.engine.ensemble import Ensemble
from bench.engine.network import Network
from bench.engine.objective import Objective
from bench.engine.recurrence.start import gate_biases, identity_kernel
from bench.engine.run_settings import RunSettings
from bench.engine.stacks import LayerStack, is_kernel, kind_of_role, roles, stack, stack_stage
from bench.engine.targets import target_of
from bench.factors import Choice
from bench.plan import Run

HEAD = -1  # the head's layer index in a seed: not a number that depends on the depth


def derive_seed(*parts: object) -> int:
    """A 31-bit seed from a run's seed, a purpose and an index; the same on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@lru_cache(maxsize=4096)
def draw_kernel(choice: Choice, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """The kernel that an initializer draws; equal seeds give the same underlying draw to every initializer."""
    if choice.name == "lsuv":  # starts orthogonal; its scale is set from data, see `lsuv`
        return np.asarray(keras.initializers.Orthogonal(seed=seed)(shape))
    settings = dict(choice.settings)
    if choice.name == "random_uniform":
        limit = float(settings.pop("limit"))
        settings |= {"minval": -limit, "maxval": limit}
    target = target_of("initializer", choice)
    if not isinstance(target, type):  # a plugin may be a function of the shape, as Keras allows
        return np.asarray(target(shape, dtype="float32", **settings))
    if "seed" in inspect.signature(target).parameters:
        settings["seed"] = seed
    return np.asarray(target(**settings)(shape))


def draw_bias(choice: Choice, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """The bias that a bias initializer draws."""
    if choice.name == "zeros":
        return np.zeros(shape, np.float32)
    return np.asarray(keras.initializers.RandomNormal(stddev=float(choice.setting("stddev")), seed=seed)(shape))


def initial_ensemble(
    network: Network, objective: Objective, runs: Sequence[Run], graph_runs: Sequence[Run] = ()
) -> Ensemble:
    """Every run's network at step 0, save for what `lsuv` sets from data; `graph_runs` as in `RunSettings`."""
    stages, offset = [], 0
    for stage in network.stages:
        layers = len(stage.block.layers)
        values = [
            _affine_values(network, layer.affine, runs, [offset + block * layers + j for block in range(stage.count)])
            for j, layer in enumerate(stage.block.layers)
        ]
        stages.append(stack_stage(stage, values, len(runs)))
        offset += layers * stage.count
    head = network.head.trainable_variables
    stacked_head = LayerStack(stack(head, _affine_values(network, network.head, runs, [HEAD])), [], [])
    steps = int(runs[0].choices["steps"].value or 0)
    settings = RunSettings(runs, graph_runs)
    rates = settings.number("dropout", 0.0)
    dropout = None if rates is None else Dropout(rates, [derive_seed(run.seed, "dropout", 0) for run in runs])
    return Ensemble(network, objective, stages, stacked_head, steps, settings, dropout)


def _affine_values(
    network: Network, model: keras.layers.Layer, runs: Sequence[Run], indices: Sequence[int]
) -> list[np.ndarray]:
    """Starts of an affine model's variables, each [blocks, runs, ...]."""
    length = 0 if model is network.head else network.length
    return [
        np.stack([np.stack([_start(variable, role, run, index, length) for run in runs]) for index in indices])
        for variable, role in zip(model.trainable_variables, roles(model.trainable_variables), strict=True)
    ]


def _start(variable: keras.Variable, role: str, run: Run, index: int, length: int) -> np.ndarray:
    """The start of one variable of one run, a draw a role; what is neither kernel nor bias keeps Keras's own.

    Args:
        length: time steps of the layer's samples, 0 where it has no cell.
    """
    shape = tuple(variable.shape)
    initializer, activation = run.choices["initializer"], run.choices["activation"]
    recurrent = run.choices["recurrent_initializer"]
    kind = kind_of_role(role)
    if kind == "recurrent_kernel" and not recurrent.is_none:
        if recurrent.name == "identity":
            return identity_kernel(recurrent, shape)
        return draw_kernel(recurrent, derive_seed(run.seed, role, index), shape)
    if (embedded := embedding_choice(role, run.choices)) is not None:
        return draw_kernel(embedded, derive_seed(run.seed, role, index), shape)
    if is_kernel(role) or role == "feature_embedding":
        choice = kernel_choice(initializer, activation, shape)
        drawn = draw_kernel(choice, derive_seed(run.seed, role, index), shape)
        factor = start_factor(role, run.choices)
        return drawn if factor == 1.0 else drawn * np.float32(factor)
    if kind.endswith("bias"):
        choice = bias_choice(initializer, activation, run.choices["bias_initializer"])
        drawn = draw_bias(choice, derive_seed(run.seed, role, index), shape)
        if not length:
            return drawn
        seed = derive_seed(run.seed, f"gate_{role}", index)
        return drawn + gate_biases(run.choices["cell"], run.choices["gate_bias"], seed, shape, length)
    return variable.numpy()
