"""The weights at step 0: Keras's initializers, seeded for each replicate and layer, stacked over runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import lru_cache

import keras
import numpy as np

from bench.engine.attention.start import embedding_choice, start_directions, start_factor
from bench.engine.blocks import Stage
from bench.engine.critical import bias_choice, kernel_choice
from bench.engine.dropout import Dropout
from bench.engine.ensemble import Ensemble
from bench.engine.layers import is_shared
from bench.engine.network import Network
from bench.engine.objective import Objective
from bench.engine.recurrence.start import gate_biases, identity_kernel
from bench.engine.run_settings import RunSettings
from bench.engine.stacks import LayerStack, is_kernel, kind_of_role, roles, stack, stack_stage
from bench.engine.targets import target_of
from bench.errors import DataError
from bench.factors import Choice, DataKind
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
    if choice.name == "delta_orthogonal":
        return _delta_orthogonal(float(choice.setting("gain")), seed, shape)
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


def _delta_orthogonal(gain: float, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros but for an orthogonal matrix at the centre of a kernel [positions..., in, out]; [in, out] is that matrix.

    An even kernel's centre is the position that `same` puts over the output's. Its rows are orthonormal for in <= out.
    Source: Xiao et al. 2018 (arXiv:1806.05393), algorithm 1.
    """
    kernel = np.zeros(shape, np.float32)
    centre = tuple((size - 1) // 2 for size in shape[:-2])
    kernel[centre] = np.asarray(keras.initializers.Orthogonal(gain, seed)(shape[-2:]))
    return kernel


def draw_bias(choice: Choice, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """The bias that a bias initializer draws."""
    if choice.name == "zeros":
        return np.zeros(shape, np.float32)
    return np.asarray(keras.initializers.RandomNormal(stddev=float(choice.setting("stddev")), seed=seed)(shape))


def initial_ensemble(
    network: Network, objective: Objective, runs: Sequence[Run], graph_runs: Sequence[Run] = ()
) -> Ensemble:
    """Every run's network at step 0, save for what `lsuv` sets from data; `graph_runs` as in `RunSettings`.

    Raises:
        DataError: a run has a z_loss, and the targets are values.
    """
    if objective.kind is DataKind.VALUES and any(run.choices["z_loss"].value for run in runs):
        raise DataError("z_loss: the targets are values, which have no logits. Leave it at 0.")
    stages, offset = [], 0
    for stage in network.stages:
        layers = len(stage.block.layers)
        values = [
            _affine_values(network, layer.affine, runs, [offset + block * layers + j for block in range(stage.count)])
            for j, layer in enumerate(stage.block.layers)
        ]
        if runs[0].choices["skip"].name == "fixup":
            values = _fixed_up(network, stage, values)
        stages.append(stack_stage(stage, values, len(runs)))
        start_directions(stages[-1])
        offset += layers * stage.count
    head = network.head.trainable_variables
    of_head = _affine_values(network, network.head, runs, [HEAD])
    if runs[0].choices["skip"].name == "fixup":
        of_head = _times(0.0, network.head, of_head)
    own = [at for at, variable in enumerate(head) if not is_shared(variable)]
    shared = tuple(stages[0][0].weights["token_embedding"] for _ in head[len(own) :])
    stacked_head = LayerStack(stack([head[at] for at in own], [of_head[at] for at in own]), [], [], shared)
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


def _fixed_up(network: Network, stage: Stage, values: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """A stage's starts with its blocks' kernels as Fixup has them: times B^(-1 / (2m - 2)), the last layer's 0.

    B is the number of blocks of the network and m that of layers in a block.
    Source: Zhang, Dauphin & Ma 2019 (arXiv:1901.09321), section 3, rules 1 and 2.
    """
    if not stage.block.skips:
        return values
    blocks, layers = sum(each.count for each in network.stages if each.block.skips), stage.block.layers
    factors = [blocks ** (-1.0 / (2 * len(layers) - 2)) for _ in layers[1:]] + [0.0]
    return [
        _times(factor, layer.affine, of_layer) for factor, layer, of_layer in zip(factors, layers, values, strict=True)
    ]


def _times(factor: float, model: keras.layers.Layer, values: list[np.ndarray]) -> list[np.ndarray]:
    """A model's starts with its kernels multiplied."""
    named = zip(roles(model.trainable_variables), values, strict=True)
    return [value * np.float32(factor) if is_kernel(role) else value for role, value in named]


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
