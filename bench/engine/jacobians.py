"""Singular values of Jacobians between layers, at a few samples, where a suite asks for them.

A layer's Jacobian is dh_l/dh_{l-1} = diag(phi'(z_l)) W_l^T, h the output of the activation and h_{-1} the input; the
product from the first hidden layer on is dh_l/dh_0. Only networks without normalization and skip connections have
layers whose Jacobians are that.
Sources: Glorot & Bengio 2010 (a layer's mean singular value), Pennington, Schoenholz & Ganguli 2017 (the spread of
the product's squared singular values).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import Ensemble
from bench.engine.precision import widened
from bench.factors import Choice

JACOBIAN_COLUMNS = ("layer_jacobian_singular_value_mean", "jacobian_mean_square", "jacobian_square_dispersion")
JACOBIAN_SAMPLES = 4  # a decomposition each, of every layer and run


def has_jacobians(structure: Mapping[str, Choice]) -> bool:
    """Whether each layer of the structure is phi(W h + b) and nothing else."""
    dense = structure["architecture"].name == "mlp"
    return dense and structure["normalization"].is_none and structure["skip"].is_none


def jacobian_columns(ensemble: Ensemble, x: tf.Tensor) -> dict[str, np.ndarray]:
    """`JACOBIAN_COLUMNS`, each [R, layers] in float64, means over the first samples of x [B, features].

    Singular values are taken in double precision. NaN where a Jacobian is not finite, and where the product is 0.
    """
    rows = [_of_layer(*layer) for layer in _with_products(ensemble, x[:JACOBIAN_SAMPLES])]
    return {name: np.stack([row[k] for row in rows], axis=1) for k, name in enumerate(JACOBIAN_COLUMNS)}


def _with_products(ensemble: Ensemble, x: tf.Tensor) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """For each layer, by run: its Jacobian, and the product from the first hidden layer on, [samples, units, ...]."""
    products: list[np.ndarray] = []
    for kernel, slope in _layers(ensemble, x):
        own = [s[:, :, None] * w.T[None] for s, w in zip(slope, kernel, strict=True)]
        if products:
            products = [each @ product for each, product in zip(own, products, strict=True)]
        else:
            products = [np.broadcast_to(np.eye(each.shape[1]), (len(x), *[each.shape[1]] * 2)) for each in own]
        yield own, products


def _layers(ensemble: Ensemble, x: tf.Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each layer's kernel [R, in, units] and slopes phi'(z) at the samples, [R, samples, units], in float64."""
    h, dtype = ensemble.repeated(x), ensemble.settings.dtype
    for stage, stacks in zip(ensemble.network.stages, ensemble.stages, strict=True):
        for block in range(stage.count):
            for layer, stack in zip(stage.block.layers, stacks, strict=True):
                assert layer.activation is not None
                kernel, bias = (widened(tf.cast(v.value[block], dtype)) for v in stack.affine)
                z = h @ kernel + bias[:, None]
                with tf.GradientTape() as tape:
                    tape.watch(z)
                    h = widened(layer.activation(z))
                slope = tape.gradient(h, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)
                yield kernel.numpy().astype(np.float64), slope.numpy().astype(np.float64)


def _of_layer(own: list[np.ndarray], products: list[np.ndarray]) -> np.ndarray:
    """The columns of one layer, [columns, R]."""
    return np.array([[_mean_singular_value(o), *_squares(p)] for o, p in zip(own, products, strict=True)]).T


def _mean_singular_value(jacobian: np.ndarray) -> float:
    if not np.isfinite(jacobian).all():
        return float("nan")  # LAPACK would raise
    return float(np.linalg.svd(jacobian, compute_uv=False).mean())


def _squares(jacobian: np.ndarray) -> tuple[float, float]:
    """Mean of the squared singular values, and their variance over their mean squared; means over samples.

    The sum of s^2 is that of the matrix's squared numbers, the sum of s^4 that of its Gram matrix's.
    """
    units = jacobian.shape[1]
    with np.errstate(all="ignore"):
        scale = np.abs(jacobian).max(axis=(1, 2), keepdims=True)  # fourth powers would leave even double precision
        scaled = jacobian / scale
        second = np.square(scaled).sum(axis=(1, 2))
        fourth = np.square(scaled @ scaled.transpose(0, 2, 1)).sum(axis=(1, 2))
        mean = second / units * np.square(scale[:, 0, 0])
        return float(mean.mean()), float((units * fourth / second**2 - 1.0).mean())
