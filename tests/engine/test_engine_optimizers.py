"""Optimizers that come as `module:name`: they update as they do in Keras, or are refused in a sentence."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from bench.engine.optimizers import decay_of, make_optimizer
from bench.errors import SuiteError
from bench.factors import FACTORS, choose

ELEMENTWISE = ("SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion", "Nadam")
UNHEARD = ("clipnorm = 0.1", "global_clipnorm = 0.1", "clipvalue = 0.1", "use_ema = true", "learning_rate = 0.1")


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_elementwise_optimizer_updates_as_it_does_in_keras_or_is_refused(name: str) -> None:
    try:
        optimizer = make_optimizer(choose(FACTORS["optimizer"], f"keras.optimizers:{name}"))
    except SuiteError as refusal:
        assert name == "Nadam", refusal  # its update needs more than `update_step`
        return
    own = type(optimizer)(learning_rate=0.05)
    start = np.linspace(-1, 1, 12, dtype="float32").reshape(1, 2, 6)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    optimizer.build([ours])
    rng = np.random.default_rng(0)
    rate = keras.ops.convert_to_tensor(np.full((1, 2, 1), 0.05, "float32"))
    for _ in range(6):
        gradient = keras.ops.convert_to_tensor(rng.normal(size=start.shape).astype("float32"))
        ours.assign(ours.value - ours.value * decay_of(optimizer) * 0.05)
        optimizer.update_step(gradient, ours, rate)
        optimizer.iterations.assign_add(1)
        own.apply([gradient], [theirs])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("setting", UNHEARD)
def test_a_setting_that_the_engine_would_not_heed_is_refused(setting: str) -> None:
    name, value = setting.split(" = ")
    written = {"level": "keras.optimizers:SGD", name: True if value == "true" else float(value)}
    with pytest.raises(SuiteError, match=name):
        make_optimizer(choose(FACTORS["optimizer"], written))
