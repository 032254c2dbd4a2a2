"""Convolutional cohorts are held to lone Keras models made of Keras's own layers."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from bench.engine.probes import STATISTICS
from bench.engine.train import Training
from bench.factors import FACTORS, costs_of, planned_positions
from tests.cohorts import EVALUATED, cohorts
from tests.engine.lone_conv import LoneConv
from tests.engine.lone_update import EVERY_CLIPPING, EVERY_REGULARIZATION, EVERY_SCHEDULE
from tests.engine.test_engine_parity import compare, lone_of

STEPS = 2
FIXED = {
    "architecture": '"conv"', "depth": 3, "width": 4, "learning_rate": 0.02, "optimizer": '"momentum"',
    "batch_size": 16, "steps": STEPS,
}  # fmt: skip
PLAIN = [f'optimizer = ["{each}"]\n' for each in ("sgd", "momentum", "nesterov")]
SCALED = [
    f'optimizer = [{{ level = "{each}", epsilon = 0.001 }}]\nlearning_rate = [0.005]\n'
    for each in ("rmsprop", "adam", "adamw")
]
CASES = [
    pytest.param(
        'padding = ["circular"]\nskip = ["residual"]\ndepth = [4]\ndownsample = [{ level = "stride", every = 2 }]\n'
        'normalization = ["batch_normalization"]\n'
        'regularization = ["none", { level = "max_norm", limit = 0.9 }]',
        marks=pytest.mark.traced,
    ),
    *(
        pytest.param(each, marks=pytest.mark.full)
        for each in (
            'padding = ["circular"]\nskip = ["residual"]\ndepth = [6]\ndownsample = [{ level = "stride", every = 4 }]\n'
            'normalization = ["batch_normalization"]\n'
            'regularization = ["none", { level = "max_norm", limit = 0.9 }]',
            'dataset = ["mnist1d"]\nkernel_size = [5]\ndownsample = [{ level = "max_pool", every = 1 }]\n'
            'head_pool = ["flatten"]\nactivation = ["tanh"]\ninitializer = ["lsuv", "he_normal"]\n'
            'clipping = ["none", { level = "adaptive", threshold = 0.02 }]',
            'kernel_size = [1]\nskip = [{ level = "residual", layers = 1 }]\n'
            'downsample = [{ level = "average_pool", every = 1 }]\noptimizer = ["adam"]',
            'kernel_size = [4]\npadding = ["circular"]\nnormalization = ["layer_normalization"]\n'
            'downsample = [{ level = "stride", every = 1 }]\nactivation = ["elu"]',
            'kernel_size = [2]\npadding = ["same"]\nnormalization = ["rms_normalization"]\ndataset = ["digits_rows"]',
            'kernel_size = [7]\nnormalization = [{ level = "group_normalization", groups = 2 }]\nactivation = ["selu"]',
            'skip = ["residual_post_norm"]\nnormalization = ["batch_normalization"]\ndepth = [5]\n'
            'downsample = [{ level = "max_pool", every = 2 }]',
            'skip = ["residual_v1"]\ndepth = [6]\nnormalization = ["layer_spatial_normalization"]\n'
            'downsample = [{ level = "average_pool", every = 4 }]\npadding = ["circular"]',
            # Of fixup the first steps move the head alone.
            'skip = ["fixup"]\ndepth = [6]\noptimizer = ["adam"]\ninitializer = ["he_normal", "delta_orthogonal"]\n'
            'downsample = [{ level = "stride", every = 4 }]\nlearning_rate = [0.01]\nsteps = [4]',
            'normalization = ["instance_normalization"]\nactivation = ["silu"]\ndataset = ["digits_rows"]\n'
            'width = [8]\ninitializer = [{ level = "delta_orthogonal", gain = 1.5 }]',
            'normalization = [{ level = "instance_normalization", position = "after" }]\nskip = ["residual_v1"]\n'
            'head_pool = ["flatten"]',
            'normalization = [{ level = "layer_spatial_normalization", position = "after" }]\n'
            'dataset = ["digits_rows"]',
            'normalization = ["unit_normalization"]\nskip = ["residual_scaled"]\ndepth = [5]',
            *(
                f'depth = [2]\nactivation = ["{each.name}"]\n{[*PLAIN, *SCALED][place % 6]}'
                for place, each in enumerate(FACTORS["activation"].levels)
            ),
            f"clipping = {EVERY_CLIPPING}\nbatch_size = [8]",
            f'regularization = {EVERY_REGULARIZATION}\n{SCALED[2]}padding = ["circular"]',
            f'schedule = {EVERY_SCHEDULE}\nwarmup = [{{ level = "linear", steps = 1 }}]\nsteps = [4]',
            'skip = ["residual_damped"]\ndepth = [5]\ninitializer = ["critical", "orthogonal"]\nactivation = ["tanh"]',
        )
    ),
]


def cohort_of(factors: str):
    given = {line.partition("=")[0].strip() for line in factors.splitlines()}
    fixed = "\n".join(f"{name} = {value}" for name, value in FIXED.items() if name not in given)
    (cohort,) = cohorts(factors, fixed, record=EVALUATED)
    return cohort


@pytest.mark.parametrize("factors", CASES, ids=lambda factors: re.sub(r"[^a-z0-9_.]+", "-", factors)[:70])
def test_a_convolutional_cohort_trains_as_lone_keras_models_do(factors: str) -> None:
    compare(cohort_of(factors), LoneConv)


def test_blocks_alike_are_one_stage_and_a_dead_filter_is_dead_at_every_position() -> None:
    cohort = cohort_of('depth = [8]\nskip = ["residual"]\ndownsample = [{ level = "stride", every = 4 }]')
    training = Training(cohort)
    stages = training.ensemble.network.stages
    assert [(stage.count, len(stage.block.layers)) for stage in stages] == [(1, 1), (2, 2), (1, 2), (1, 1)]
    again = Training(cohort).ensemble.network.stages
    assert all(stage.block is other.block for stage, other in zip(stages, again, strict=True))
    costs = costs_of(cohort.structure, (8, 8, 1), 10)
    assert costs.weights == sum(
        int(np.prod(kernel.shape[2:])) * kernel.shape[0] for kernel in training.ensemble.kernels
    )
    _compare_positions(training)
    bias = training.ensemble.stacks[0].weights["bias"]
    bias.assign(np.where(np.arange(4) < 1, -1e3, bias.numpy()))
    found = dict(zip(STATISTICS, training.probe(training.data.probe_x).numpy()[0, :, 0], strict=True))
    assert found["dead_fraction"] == 0.25 and 0.25 < found["nonpositive_fraction"] < 1.0


def _compare_positions(training: Training) -> None:
    """The columns of `positions` against a tape's gradients for the sums of a lone model."""
    x, y = training.data.x[:16], training.data.y[:16]
    yes = tf.constant(value=True)
    found = training.ensemble.gradients(x[None], y[None], yes, {"positions": yes})
    with tf.GradientTape() as tape:
        logits, *ends = lone_of(LoneConv, training, 0).model(x, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    sums = ends[: len(ends) // 2]
    told = [of_layer for stage in found.stages for of_layer in stage.positions.numpy()[..., 0]]
    for own, s, gradient in zip(told, sums, tape.gradient(loss, sums), strict=True):
        np.testing.assert_allclose(own[:, 0], np.square(s).mean(axis=(0, -1)).ravel(), 1e-4)
        norms = np.sqrt(16 * np.square(gradient).sum(axis=(0, -1)))
        np.testing.assert_allclose(own[:, 1], norms.ravel(), 1e-4, 1e-7)
    rows = training.inside["positions"].rows
    assert len(rows) == sum(len(own) for own in told) and rows == tuple(planned_positions(training.cohort.structure))
