"""Half precision is Keras's policy of that name, and a run's loss scale that of Keras's LossScaleOptimizer.

Each step is compared from the engine's weights before it, optimizers' moments apart: two orders of the same sums drift
apart from step to step. A change, and what is predicted, is the lone model's within 1 %, or within twice the rounding
of the format in this network, which is measured: how far the lone model is from the same layers in float32. Two orders
of sums are each rounded as much, and no processor's order is the right one; a bound of one number would be too wide
for dense networks or too narrow for convolutions in bfloat16, where a relu near 0 turns with the last digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.precision import policy
from bench.engine.train import Training
from bench.factors import FACTORS, Choice, choose
from bench.plan import Cohort
from tests.cohorts import EVERY_STEP, cohorts, of_run
from tests.engine.lone import Lone
from tests.engine.lone_conv import LoneConv
from tests.engine.lone_recurrent import UNITS
from tests.engine.lone_recurrent import Lone as LoneRecurrent
from tests.engine.lone_transformer import Lone as LoneTransformer
from tests.engine.test_engine_parity import ROUNDED_CHANGE, lone_of

STEPS = 8
NEAR, ROUNDINGS = 1e-2, 2.0
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
# Of weights whose gradient is but rounding, Adam with a small epsilon would make steps of that.
ADAM, ADAMW = (f'optimizer = [{{ level = "{name}", epsilon = 0.001 }}]' for name in ("adam", "adamw"))
FLOAT32 = choose(FACTORS["precision"], "float32")
NONE = '{ level = "mixed_float16", loss_scale = "none" }'
BATCH = 'normalization = ["batch_normalization"]\nclipping = ["none", { level = "global_norm", threshold = 0.1 }]'
CASES = [
    (DENSE, f'precision = [{DYNAMIC}]\noptimizer = ["momentum"]'),
    pytest.param(DENSE, f'precision = [{DYNAMIC}]\n{ADAM}\nnormalization = ["layer_normalization"]\n'
                        'skip = [{ level = "residual", layers = 1 }]', marks=[pytest.mark.traced, pytest.mark.full]),
    (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["simple"]\n{ADAM}'),
    *(
        pytest.param(*case, marks=pytest.mark.full)
        for case in (
            (DENSE, f'precision = [{DYNAMIC}]\nskip = ["residual_post_norm"]\n{ADAMW}\ndepth = [6]\n'
                    'schedule = ["none", "cosine_decay"]\nnormalization = ["batch_normalization"]'),
            (DENSE, f"precision = [{FIXED}]\n{BATCH}"),
            (DENSE, f'precision = [{NONE}]\noptimizer = ["momentum"]\n'
                    'regularization = ["none", { level = "l2", strength = 0.01 }]'),
            (DENSE, f'precision = [{DYNAMIC}]\nregularization = ["none", {{ level = "l2", strength = 0.01 }},'
                    ' { level = "weight_decay", strength = 0.1 }, { level = "max_norm", limit = 0.9 }]\n'
                    'optimizer = ["momentum"]'),
            (DENSE, f'precision = [{DYNAMIC}]\nnormalization = ["weight_normalization"]\nskip = ["residual_scaled"]'),
            (DENSE, f'precision = ["mixed_bfloat16"]\nnormalization = ["rms_normalization"]\n{BATCH.splitlines()[1]}'),
            (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["lstm"]\n{ADAM}'),
            (RECURRENT, f'precision = [{DYNAMIC}]\ncell = ["gru"]\ndirection = ["bidirectional"]'),
            (RECURRENT, f'precision = [{FIXED}]\ncell = ["lstm"]\n'
                        'regularization = [{ level = "l2", strength = 0.01 }]'),
            (RECURRENT, f'precision = [{NONE}]\ncell = ["gru"]\n{BATCH.splitlines()[1]}'),
            (RECURRENT, 'precision = ["mixed_float16"]\ncell = ["gru"]\nnormalization = ["layer_normalization"]'),
            (RECURRENT, 'precision = ["mixed_bfloat16"]\ncell = ["simple"]\nactivation = ["softplus"]'),
            (CONV, f'precision = [{DYNAMIC}]\nskip = ["residual"]\nnormalization = ["batch_normalization"]'),
            (CONV, f'precision = [{FIXED}]\nhead_pool = ["flatten"]\nnormalization = ["instance_normalization"]\n'
                   'skip = ["residual_v1"]\ndepth = [4]\n' + BATCH.splitlines()[1]),
            (CONV, f'precision = [{NONE}]\ndownsample = [{{ level = "max_pool", every = 1 }}]\n{ADAM}\n'
                   'regularization = ["none", { level = "l2", strength = 0.01 }, { level = "max_norm", limit = 0.9 }]'),
            (CONV, 'precision = ["mixed_bfloat16"]\npadding = ["circular"]'),
            (CONV, 'precision = ["mixed_bfloat16"]\nnormalization = ["group_normalization"]\nwidth = [8]\n'
                   'downsample = [{ level = "stride", every = 1 }]\noptimizer = ["momentum"]'),
            (TRANSFORMER, f'precision = [{DYNAMIC}]\nblock = ["pre_norm"]\nquery_key = ["sigma_reparam"]'),
            # Where a relu turns in the engine alone, or in the lone model alone, Adam keeps that in its moments.
            (TRANSFORMER, f'precision = [{FIXED}]\nblock = ["damped"]\ntied = ["yes"]\nz_loss = [0.0, 0.1]\n{ADAM}\n'
                          'activation = ["gelu"]'),
            (TRANSFORMER, f'precision = [{NONE}]\nblock = ["deepnorm"]\nquery_key = ["layer_normalized"]'),
            (TRANSFORMER, 'precision = ["mixed_float16"]\nposition = ["sinusoidal"]\nblock = ["post_norm"]'),
            (TRANSFORMER, 'precision = ["mixed_bfloat16"]\nblock = ["sandwich"]\ndataset = ["digits_rows"]'),
            (TRANSFORMER, f'precision = [{DYNAMIC}]\nblock = ["layer_scale"]\ncausal = ["yes"]'),
        )
    ),
]  # fmt: skip


class Scaled:
    """A lone Keras model with Keras's own scale around its optimizer; `order` are its variables in the engine's."""

    def __init__(self, lone: Any, precision: Any, z_loss: float) -> None:
        self.model, self.optimizer, self.fixed, self.z_loss = lone.model, lone.optimizer, 1.0, z_loss
        self.order = getattr(lone, "order", lone.model.trainable_variables)
        self.dynamic = precision.name == "mixed_float16" and precision.setting("loss_scale") == "dynamic"
        if self.dynamic:
            scale, growth = (precision.setting(name) for name in ("initial_scale", "growth_steps"))
            self.optimizer = keras.optimizers.LossScaleOptimizer(lone.optimizer, scale, growth)
        elif precision.name == "mixed_float16" and precision.setting("loss_scale") == "fixed":
            self.fixed = lone.optimizer.loss_scale_factor = precision.setting("initial_scale")
        self.optimizer.build(self.order)

    @property
    def scale(self) -> float:
        return float(self.optimizer.dynamic_scale if self.dynamic else self.fixed)

    def take(self, values: Sequence[np.ndarray]) -> None:
        """Have these weights."""
        for variable, value in zip(self.order, values, strict=True):
            variable.assign(value.reshape(variable.shape))

    def changes(self, before: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What steps made of these weights."""
        return [variable.numpy().reshape(b.shape) - b for variable, b in zip(self.order, before, strict=True)]

    def differentiate(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take the gradients of the loss times the scale."""
        with tf.GradientTape() as tape:
            found = self.model(x, training=True)
            logits = tf.cast(found[0] if isinstance(found, list) else found, tf.float32)
            self.loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            squares = tf.reduce_mean(tf.square(tf.reduce_logsumexp(logits, axis=-1)))
            scaled = (self.loss + self.z_loss * squares + tf.add_n(self.model.losses or [0.0])) * self.scale
        found = tape.gradient(scaled, [variable.value for variable in self.order])
        self.scaled = [tf.convert_to_tensor(each) for each in found]

    def step(self) -> dict[str, float]:
        """Change the weights by the gradients last taken."""
        scale = self.scale
        norm = tf.linalg.global_norm([gradient / scale for gradient in self.scaled])
        self.optimizer.apply(self.scaled, self.order)
        return {"loss": float(self.loss), "global_grad_norm": float(norm), "loss_scale": scale}

    def predict(self, values: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
        """What the model says with these weights."""
        self.take(values)
        found = self.model(x, training=False)
        return tf.cast(found[0] if isinstance(found, list) else found, tf.float32).numpy()


def scaled_lone(training: Training, index: int, precision: Choice | None = None) -> Scaled:
    """The lone model of a run, or its twin in another precision."""
    choices = training.cohort.runs[index].choices
    precision = precision or choices["precision"]
    made = {"recurrent": LoneRecurrent, "transformer": LoneTransformer}.get(choices["architecture"].name)
    plain = {"conv": LoneConv}.get(choices["architecture"].name, Lone)
    with policy(precision):
        lone: Any = made(training, index) if made else lone_of(plain, training, index)
    return Scaled(lone, precision, float(choices["z_loss"].value or 0))


@pytest.mark.parametrize(("fixed", "factors"), CASES, ids=lambda text: re.sub(r"[^a-z0-9_.]+", "-", text)[:60])
def test_a_cohort_in_half_precision_trains_as_lone_keras_models_do(fixed: str, factors: str) -> None:
    training = Training(cohort_of(fixed, factors))
    runs = range(len(training.cohort.runs))
    made = [(scaled_lone(training, index), scaled_lone(training, index, FLOAT32)) for index in runs]
    x, y = training.data.x.numpy(), training.data.y.numpy()
    held = [[LoneTransformer.values(training, index) for index in runs]]  # of each step, of each run
    reached = lambda _: held.append([LoneTransformer.values(training, index) for index in runs])  # noqa: E731
    tables = {name: table.to_pandas() for name, table in training.run(reached).items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    rows = list(batches(training.cohort.runs, len(y), 16, STEPS + 1))
    judged_x = training.data.judged_x[:40]
    judged = training.ensemble.predict(judged_x).numpy()
    for index, (lone, twin) in enumerate(made):
        own, found, apart, rounding = [each[index] for each in held], [], {}, [0.0]
        for step, at in enumerate(rows):
            for each in (lone, twin):
                each.take(own[step])
                each.differentiate(x[at[index]], y[at[index]])
            found.append(lone.step())
            wanted = lone.changes(own[step])
            if np.isfinite(found[-1]["global_grad_norm"]):
                twin.step()
                rounding.append(max(distances(wanted, twin.changes(own[step]), own[step])))
            if step < STEPS:
                apart[step] = changes_apart(own[step], own[step + 1], lone)
        near = max(NEAR, ROUNDINGS * max(rounding))
        for step, of_variables in apart.items():
            assert max(of_variables.values()) <= near, (step, of_variables)
        check_run(of_run(tables, training.cohort.runs[index].run_id), pd.DataFrame(found), lone, near)
        expected, exact = (each.predict(LoneTransformer.values(training, index), judged_x) for each in (lone, twin))
        near = max(NEAR * np.linalg.norm(expected), ROUNDINGS * np.linalg.norm(expected - exact))
        assert np.linalg.norm(judged[index].reshape(expected.shape) - expected) <= near


def distances(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], before: Sequence[np.ndarray]) -> list[float]:
    """How far each change of these weights is from the expected one.

    In lengths of its own and a tenth of that of all: a bias of keys has a gradient of rounding alone. What float32
    leaves of a weight is less than `NEAR`.
    """
    whole = np.sqrt(sum(np.square(each).sum() for each in expected))
    least = [ROUNDED_CHANGE / NEAR * np.linalg.norm(each) + 1e-30 for each in before]
    return [
        float(np.linalg.norm(a - b) / max(np.linalg.norm(b) + 0.1 * whole, c))
        for a, b, c in zip(found, expected, least, strict=True)
    ]


def changes_apart(before: Sequence[np.ndarray], after: Sequence[np.ndarray], lone: Scaled) -> dict[str, float]:
    """By variable, how far the engine's change of it is from its lone model's; of sgd that is the gradient's."""
    expected, found = lone.changes(before), [a - b for a, b in zip(after, before, strict=True)]
    assert any(each.any() for each in expected) == any(each.any() for each in found)
    return dict(zip((each.path for each in lone.order), distances(found, expected, before), strict=True))


def check_run(own: Mapping[str, pd.DataFrame], found: pd.DataFrame, lone: Scaled, near: float) -> None:
    """A run's losses, gradients, scales and skipped steps are those of its lone model."""
    curve, found = own["loss_curves"], found.iloc[:STEPS]
    went = np.isfinite(found["global_grad_norm"].to_numpy())
    np.testing.assert_allclose(curve["loss"], found["loss"], NEAR)
    np.testing.assert_allclose(curve["global_grad_norm"][went], found["global_grad_norm"][went], near)
    assert (np.isfinite(curve["global_grad_norm"]) == went).all()
    layers = own["gradient_norms"].set_index(["step", "layer_index"])
    # Of a branch whose scale starts at 0 the first step changes no kernel.
    assert all(layers.loc[step, "update_norm"].gt(0).any() == bool(went[step]) for step in range(STEPS))
    if not curve["loss_scale"].notna().any():
        assert curve["skipped"].isna().all() and found["loss_scale"].eq(1.0).all()
        return
    assert curve["loss_scale"].tolist() == found["loss_scale"].tolist()
    assert curve["skipped"].tolist() == np.cumsum(~went).tolist()
    if lone.dynamic and not went.all():
        assert 1 < (~went).sum() < STEPS
        events = own["divergence_events"]
        assert set(events["kind"]) == {"skipped_step"} and set(events["tensor"]) == {"gradient"}
        starts = np.flatnonzero(~went & np.append(True, went[:-1]))
        assert events["step"].tolist() == starts.tolist()
        assert events["value"].tolist() == found["loss_scale"].iloc[starts].tolist()


def cohort_of(fixed: str, factors: str) -> Cohort:
    lines = [line for line in fixed.splitlines() if line.partition(" =")[0] + " = [" not in factors]
    lines += [] if "depth" in fixed + factors else ["depth = 3"]
    (cohort,) = cohorts(factors, "\n".join(lines), record=EVERY_STEP)
    return cohort


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
