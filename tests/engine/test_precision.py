"""Half precision is Keras's policy of that name, and a run's loss scale that of Keras's LossScaleOptimizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.precision import policy
from bench.engine.train import Training
from tests.cohorts import EVERY_STEP, cohorts, of_run
from tests.engine.lone import Lone
from tests.engine.lone_conv import LoneConv
from tests.engine.lone_recurrent import UNITS
from tests.engine.lone_recurrent import Lone as LoneRecurrent
from tests.engine.lone_transformer import Lone as LoneTransformer
from tests.engine.test_engine_parity import lone_of

STEPS = 8
DENSE = f"width = 8\nbatch_size = 16\nsteps = {STEPS}\nlearning_rate = 0.005"
RECURRENT = (
    f'architecture = "recurrent"\ndataset = "digits_rows"\ndepth = 1\nwidth = {UNITS}\nbatch_size = 16\n'
    f"learning_rate = 0.005\nsteps = {STEPS}"
)
CONV = f'architecture = "conv"\ndepth = 3\nwidth = 4\nbatch_size = 16\nlearning_rate = 0.005\nsteps = {STEPS}'
TRANSFORMER = (
    'architecture = "transformer"\ndataset = { level = "text", length = 5, rows = 200 }\ndepth = 2\nwidth = 8\n'
    f"heads = 2\nfeed_forward = 2\nbatch_size = 16\nlearning_rate = 0.005\nsteps = {STEPS}"
)
# Scales that overflow for some steps, grow, and overflow again.
DYNAMIC = '{ level = "mixed_float16", initial_scale = 4194304, growth_steps = 2 }'
FIXED = '{ level = "mixed_float16", loss_scale = "fixed", initial_scale = 1024 }'
NONE = '{ level = "mixed_float16", loss_scale = "none" }'
BATCH = 'normalization = ["batch_normalization"]\nclipping = ["none", { level = "global_norm", threshold = 0.1 }]'
CASES = [
    pytest.param(DENSE, f'precision = [{DYNAMIC}]\noptimizer = ["adam"]\nnormalization = ["layer_normalization"]\n'
                        'skip = [{ level = "residual", layers = 1 }]', marks=pytest.mark.traced),
    (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["simple"]\noptimizer = ["adam"]'),
    *(
        pytest.param(*case, marks=pytest.mark.full)
        for case in (
            (DENSE, f'precision = [{DYNAMIC}]\nskip = ["residual_post_norm"]\noptimizer = ["adamw"]\ndepth = [6]\n'
                    'schedule = ["none", "cosine_decay"]\nnormalization = ["batch_normalization"]'),
            (DENSE, f"precision = [{FIXED}]\n{BATCH}"),
            (DENSE, f'precision = [{NONE}]\noptimizer = ["momentum"]\n'
                    'regularization = ["none", { level = "l2", strength = 0.01 }]'),
            (DENSE, f'precision = [{DYNAMIC}]\nregularization = ["none", {{ level = "l2", strength = 0.01 }},'
                    ' { level = "weight_decay", strength = 0.1 }, { level = "max_norm", limit = 0.9 }]\n'
                    'optimizer = ["momentum"]'),
            (DENSE, f'precision = [{DYNAMIC}]\nnormalization = ["weight_normalization"]\nskip = ["residual_scaled"]'),
            (DENSE, f'precision = ["mixed_bfloat16"]\nnormalization = ["rms_normalization"]\n{BATCH.splitlines()[1]}'),
            (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["lstm"]\noptimizer = ["adam"]'),
            (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["gru"]\ndirection = ["bidirectional"]'),
            (RECURRENT, 'precision = ["mixed_float16"]\ncell = ["gru"]\nnormalization = ["layer_normalization"]'),
            (RECURRENT, 'precision = ["mixed_bfloat16"]\ncell = ["simple"]\nactivation = ["softplus"]'),
            (CONV, f'precision = [{DYNAMIC}]\nskip = ["residual"]\nnormalization = ["batch_normalization"]'),
            (CONV, 'precision = ["mixed_bfloat16"]\npadding = ["circular"]'),
            (TRANSFORMER, f'precision = [{DYNAMIC}]\nblock = ["pre_norm"]\nquery_key = ["sigma_reparam"]'),
            (TRANSFORMER, 'precision = ["mixed_float16"]\nposition = ["sinusoidal"]\nblock = ["post_norm"]'),
            (TRANSFORMER, 'precision = ["mixed_bfloat16"]\nblock = ["sandwich"]\ndataset = ["digits_rows"]'),
            (TRANSFORMER, f'precision = [{DYNAMIC}]\nblock = ["layer_scale"]\ncausal = ["yes"]'),
        )
    ),
]  # fmt: skip


class Scaled:
    """A lone Keras model with Keras's own scale around its optimizer."""

    def __init__(self, model: Any, optimizer: Any, precision: Any) -> None:
        self.model, self.optimizer, self.fixed = model, optimizer, 1.0
        self.tolerance = 5e-2 if precision.name == "mixed_bfloat16" else 1e-2  # its numbers are 2^-8 apart
        self.dynamic = precision.name == "mixed_float16" and precision.setting("loss_scale") == "dynamic"
        if self.dynamic:
            scale, growth = (precision.setting(name) for name in ("initial_scale", "growth_steps"))
            self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale, growth)
        elif precision.name == "mixed_float16" and precision.setting("loss_scale") == "fixed":
            self.fixed = optimizer.loss_scale_factor = precision.setting("initial_scale")
        self.optimizer.build(model.trainable_variables)

    @property
    def scale(self) -> float:
        return float(self.optimizer.dynamic_scale if self.dynamic else self.fixed)

    def step(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        variables, scale = self.model.trainable_variables, self.scale
        before = [variable.numpy() for variable in variables]
        with tf.GradientTape() as tape:
            found = self.model(x, training=True)
            logits = tf.cast(found[0] if isinstance(found, list) else found, tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            scaled = (loss + tf.add_n(self.model.losses or [0.0])) * scale
        found = tape.gradient(scaled, [variable.value for variable in variables])
        gradients = [tf.convert_to_tensor(each) for each in found]
        norm = tf.linalg.global_norm([gradient / scale for gradient in gradients])
        self.optimizer.apply(gradients, variables)
        same = all(np.array_equal(one, other.numpy()) for one, other in zip(before, variables, strict=True))
        return {"loss": float(loss), "global_grad_norm": float(norm), "loss_scale": scale, "skipped": float(same)}


def scaled_lone(training: Training, index: int) -> Scaled:
    choices = training.cohort.runs[index].choices
    made = {"recurrent": LoneRecurrent, "transformer": LoneTransformer}.get(choices["architecture"].name)
    plain = {"conv": LoneConv}.get(choices["architecture"].name, Lone)
    with policy(choices["precision"]):
        lone: Any = made(training, index) if made else lone_of(plain, training, index)
    return Scaled(lone.model, lone.optimizer, choices["precision"])


@pytest.mark.parametrize(("fixed", "factors"), CASES, ids=lambda text: re.sub(r"[^a-z0-9_.]+", "-", text)[:60])
def test_a_cohort_in_half_precision_trains_as_lone_keras_models_do(fixed: str, factors: str) -> None:
    fixed = "".join(line + "\n" for line in fixed.splitlines() if line.partition(" =")[0] + " = [" not in factors)
    fixed += "" if "depth" in fixed + factors else "depth = 3"
    (cohort,) = cohorts(factors, fixed, record=EVERY_STEP)
    training = Training(cohort)
    lones = [scaled_lone(training, index) for index in range(len(cohort.runs))]
    x, y = training.data.x.numpy(), training.data.y.numpy()
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    rows = list(batches(cohort.runs, len(y), 16, STEPS + 1))
    judged = training.ensemble.predict(training.data.judged_x[:40]).numpy()
    for index, lone in enumerate(lones):
        own = of_run(tables, cohort.runs[index].run_id)
        check_run(own, pd.DataFrame([lone.step(x[at[index]], y[at[index]]) for at in rows]), lone)
        expected = lone.model(training.data.judged_x[:40], training=False)
        expected = expected[0] if isinstance(expected, list) else expected
        expected = np.reshape(tf.cast(expected, tf.float32), judged[index].shape)
        np.testing.assert_allclose(judged[index], expected, lone.tolerance, 2 * lone.tolerance)


def check_run(own: Mapping[str, pd.DataFrame], found: pd.DataFrame, lone: Scaled) -> None:
    """A run's losses, gradients, scales and skipped steps are those of its lone model."""
    curve, found = own["loss_curves"], found.iloc[:STEPS]
    went = np.isfinite(found["global_grad_norm"].to_numpy())
    np.testing.assert_allclose(curve["loss"], found["loss"], lone.tolerance)
    np.testing.assert_allclose(curve["global_grad_norm"][went], found["global_grad_norm"][went], lone.tolerance)
    assert (np.isfinite(curve["global_grad_norm"]) == went).all()
    layers = own["gradient_norms"].set_index(["step", "layer_index"])
    assert all(layers.loc[step, "update_norm"].gt(0).all() == bool(went[step]) for step in range(STEPS))
    if not curve["loss_scale"].notna().any():
        assert curve["skipped"].isna().all() and found["loss_scale"].eq(1.0).all()
        return
    assert curve["loss_scale"].tolist() == found["loss_scale"].tolist()
    assert curve["skipped"].tolist() == np.cumsum(~went).tolist()
    if lone.dynamic and not went.all():
        assert (found["skipped"] == ~went).all() and 1 < (~went).sum() < STEPS
        events = own["divergence_events"]
        assert set(events["kind"]) == {"skipped_step"} and set(events["tensor"]) == {"gradient"}
        starts = np.flatnonzero(~went & np.append(True, went[:-1]))
        assert events["step"].tolist() == starts.tolist()
        assert events["value"].tolist() == found["loss_scale"].iloc[starts].tolist()


@pytest.mark.full
@pytest.mark.parametrize(("precision", "kind"), [(NONE, "infinity"), ('"mixed_float16"', "skipped_step")])
def test_logits_beyond_float16_are_told_once_where_they_are(precision: str, kind: str) -> None:
    fixed = f"{TRANSFORMER}\nprecision = {precision}"
    (cohort,) = cohorts("attention_gain = [1.0, 900.0]", fixed, replicates=2, record=EVERY_STEP)
    tables = {name: table.to_pandas() for name, table in Training(cohort).run().items()}
    bad = set(tables["runs"].query("attention_gain > 1")["run_id"])
    events = tables["divergence_events"]
    first = events[events["run_id"].isin(bad) & (events["kind"] == kind)]
    assert set(first["run_id"]) == bad and first["run_id"].is_unique
    assert set(zip(first["step"], first["layer_index"], first["tensor"], strict=True)) == {(0, 0.0, "logits")}
    sound = tables["runs"].query("attention_gain == 1")
    assert set(sound["status"]) == {"completed"}
    assert set(events[~events["run_id"].isin(bad)]["kind"]) <= {"skipped_step"}
    lost, last = tables["runs"].query("attention_gain > 1"), events[events["kind"] == "infinity"]
    assert set(lost["status"]) == {"diverged"} and set(last["run_id"]) == bad
    assert set(lost["steps_completed"]) == set(last["step"]) == {0 if kind == "infinity" else STEPS}
    assert set(zip(last["layer_index"], last["tensor"], strict=True)) == {(0, "logits")}


def test_a_forward_pass_beyond_float16_is_lost_after_its_last_skipped_step_though_unevaluated() -> None:
    fixed = 'depth = 1\nwidth = 4\nbatch_size = 16\nsteps = 1\nprecision = "mixed_float16"'
    scales = ", ".join(f'{{ level = "variance_scaling", scale = {scale} }}' for scale in (1.0, 1e11))
    (cohort,) = cohorts(f"initializer = [{scales}]", fixed)
    tables = {name: table.to_pandas() for name, table in Training(cohort).run().items()}
    status = tables["runs"].groupby(tables["runs"]["initializer"] == "variance_scaling")["status"].first()
    assert status.to_dict() == {False: "diverged", True: "completed"}
    events = tables["divergence_events"]
    told = events[["kind", "step", "layer_index", "tensor"]].astype({"layer_index": int}).astype(str)
    assert told.to_numpy().tolist() == [
        ["skipped_step", "0", "0", "pre-activation"], ["infinity", "1", "0", "pre-activation"]
    ]  # fmt: skip
