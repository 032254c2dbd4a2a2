"""The Keras models of suites/upgrade.toml: each its layers' defaults, no weight left out of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bench.engine.own_model import build_model
from bench.suite import load_suite

SUITE = load_suite(Path(__file__).parents[2] / "suites" / "upgrade.toml")
SHAPES = {"digits": (8, 8, 1), "digits_rows": (8, 8)}
CELLS = {cell["architecture"].label: cell for cell in SUITE.cells if ":" in cell["architecture"].label}
LAYERS = {"convolutional": {"BatchNormalization", "Conv2D"}, "recurrent": {"LSTM", "GRU"},
          "attending": {"MultiHeadAttention", "LayerNormalization", "Embedding"}}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_model_has_its_layers_and_each_weight_changes_its_outputs(name: str) -> None:
    cell = CELLS[f"bench.engine.keras_models:{name}"]
    model = build_model(cell, SHAPES[cell["dataset"].name], 10)
    layers = {type(layer).__name__: layer for layer in model.layers}
    assert LAYERS[name] <= set(layers)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, *SHAPES[cell["dataset"].name])).astype(np.float32)
    for variable in model.trainable_variables:  # not where they start: gains of 1 and biases of 0 hide paths
        variable.assign_add(0.1 * draw.normal(size=variable.shape))
    with tf.GradientTape() as tape:
        found = model(x)
        number = tf.reduce_sum(found * draw.normal(size=found.shape).astype(np.float32))
    gradients = tape.gradient(number, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if not variable.path.endswith("key/bias"):  # it shifts all logits of a query alike
            assert np.abs(tf.convert_to_tensor(gradient)).max() > 1e-5, variable.path
