"""Layer-sequential unit variance: orthogonal kernels scaled, layer by layer, until z has variance 1 on a batch.

Source: Mishkin & Matas 2016 (arXiv:1511.06422), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import Ensemble
from bench.engine.layer_passes import forward_layer
from bench.engine.lifting import vectorize
from bench.engine.stacks import LayerStack
from bench.factors import Choice
from bench.plan import Run


def apply_lsuv(ensemble: Ensemble, runs: Sequence[Run], x: tf.Tensor) -> None:
    """Scale the kernels of the runs whose initializer is `lsuv`, on the probe samples x [B, ...]."""
    choices = [run.choices["initializer"] for run in runs]
    chosen = np.array([choice.name == "lsuv" for choice in choices])
    if not chosen.any():
        return
    tolerance = np.array([_setting(c, "tolerance") for c in choices])
    iterations = np.array([_setting(c, "max_iterations") for c in choices])
    s = h = ensemble.repeated(x)
    for stage, stacks in zip(ensemble.network.stages, ensemble.stages, strict=True):
        forwards = [tf.function(forward_layer(layer, True), autograph=False) for layer in stage.block.layers]
        for block in range(stage.count):
            entered = s
            for layer, stack, forward in zip(stage.block.layers, stacks, forwards, strict=True):
                stream = [entered] if layer.takes_stream else []
                s, h = _settle(stack, block, _bind(forward, h, stream), (chosen, tolerance, iterations))
    head = ensemble.network.head

    @tf.function(autograph=False)
    def of_head(weights: Any, _response: Any, _state: Any, h: Any, _stream: Any) -> Any:
        return vectorize(lambda weights, h: head.stateless_call(list(weights), [], h)[0], weights, h), h, h, []

    _settle(ensemble.head, 0, _bind(of_head, h, []), (chosen, tolerance, iterations))


def _setting(choice: Choice, name: str) -> float:
    return float(choice.setting(name)) if choice.name == "lsuv" else 0.0


def _bind(forward: Callable[..., Any], h: tf.Tensor, stream: list[tf.Tensor]) -> Callable[..., Any]:
    return lambda affine, response, state: forward(affine, response, state, h, stream)


def _settle(stack: LayerStack, block: int, forward: Callable[..., Any], rule: tuple[np.ndarray, ...]) -> Any:
    """Divide the chosen runs' kernels by the standard deviation of z until its variance is 1 within tolerance."""
    chosen, tolerance, iterations = rule
    length = stack.weights.get("length")  # weight normalization: g, not v
    scaled = stack.kernels if length is None else [length]
    done = 0
    while True:
        weights = [
            [tf.convert_to_tensor(v.value[block]) for v in group]
            for group in (stack.affine, stack.response, stack.state)
        ]
        z, s, h, _ = forward(*weights)
        variance = np.var(np.asarray(z, np.float64), axis=tuple(range(1, len(z.shape))))
        wrong = chosen & (np.abs(variance - 1.0) > tolerance) & (variance > 0) & np.isfinite(variance)
        open_runs = wrong & (done < iterations)
        if not open_runs.any():
            return s, h
        scale = np.where(open_runs, np.sqrt(np.where(open_runs, variance, 1.0)), 1.0)
        for variable in scaled:
            values = variable.numpy()
            values[block] /= scale.reshape(-1, *[1] * (values.ndim - 2)).astype(np.float32)
            variable.assign(values)
        done += 1
