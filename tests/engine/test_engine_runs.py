"""What holds of runs in a cohort: independence, pairing, divergence, reproducibility, what is recorded when."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.divergence import FACTS, ROWS, locate
from bench.engine.rates import measure
from bench.engine.train import Training, train_cohort
from bench.plan import Cohort
from bench.schema import EventKind, Tensor
from tests.cohorts import EVALUATED, EVERY_STEP, PROBED, cohorts, of_run, suite_text, train
from tests.inline import files

SMALL = 'depth = 4\nwidth = 16\nsteps = 15\nactivation = "tanh"\noptimizer = "momentum"'
RELU = SMALL.replace("tanh", "relu")
ROOT = Path(__file__).parents[2]


def equal(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name in ("gradient_norms", "loss_curves", "activations", "evaluations"):
        pd.testing.assert_frame_equal(
            one[name].reset_index(drop=True), other[name].reset_index(drop=True), check_exact=True
        )


def beside(rate: float, strength: float, stddev: float) -> tuple[Cohort, dict[str, pd.DataFrame]]:
    """A run with three neighbours in a cohort: too fast, too strongly regularized, too large at the start, or calm."""
    include = "".join(
        f"[[include]]\nlearning_rate = 0.05\n{level}\n"
        for level in (
            f'regularization = {{ level = "l2", strength = {strength} }}',
            f'initializer = {{ level = "random_normal", stddev = {stddev} }}',
        )
    )
    (cohort,) = cohorts(f"learning_rate = [0.05, {rate}]", RELU, record=EVALUATED + include)
    return cohort, train(cohort)


@pytest.fixture(scope="module")
def wild() -> tuple[Cohort, dict[str, pd.DataFrame]]:
    return beside(1e38, 3e38, 1e11)


@pytest.mark.traced
def test_a_run_is_the_same_to_the_bit_beside_calm_and_beside_diverging_neighbours(
    wild: tuple[Cohort, dict[str, pd.DataFrame]],
) -> None:
    calm, tables = beside(0.06, 1e-3, 0.1)
    run_id = calm.runs[0].run_id
    assert run_id == wild[0].runs[0].run_id
    assert tables["runs"]["status"].tolist() == ["completed"] * 4
    assert wild[1]["runs"]["status"].tolist() == ["completed"] + ["diverged"] * 3
    equal(of_run(tables, run_id), of_run(wild[1], run_id))


@pytest.mark.parametrize(
    ("run", "step", "tensors", "layer"),
    [
        (1, 1, ("weight", "pre-activation"), None),  # the update overflows
        # Weights and data gradients are finite: the gradient left the finite numbers by its penalty.
        (2, 0, ("gradient",), None),
        # Pixels are about 1, so layer l is about (1e11 * sqrt(16))^(l + 1): the fourth leaves float32's 3e38.
        (3, 0, ("pre-activation",), 3),
    ],
)
def test_what_overflows_is_found_at_its_step_and_ends_its_run_alone(
    wild: tuple[Cohort, dict[str, pd.DataFrame]], run: int, step: int, tensors: tuple[str, ...], layer: int | None
) -> None:
    run_id = wild[0].runs[run].run_id
    tables = of_run(wild[1], run_id)
    (event,) = tables["divergence_events"].query("kind != 'loss_limit'").itertuples()
    assert (event.step, event.kind) == (step, "infinity")
    assert event.tensor in tensors
    if layer is not None:
        assert event.layer_index == layer
        assert np.isnan(event.value)  # nothing finite is left in that layer
    assert tables["runs"][["status", "steps_completed"]].to_numpy().tolist() == [["diverged", step]]
    assert tables["loss_curves"]["step"].tolist() == [*range(step + 1)]
    assert tables["gradient_norms"]["step"].max() == step


@pytest.fixture(scope="module")
def company() -> dict[str, pd.DataFrame]:
    """Runs that are clipped by three rules, free runs, and one that is too fast, in one cohort."""
    (cohort,) = cohorts(
        """clipping = ["global_norm", "none", "adaptive", { level = "global_norm", threshold = 0.5 }]
        initializer = ["glorot_uniform", "he_normal"]""",
        SMALL,
        record=EVERY_STEP + "[[include]]\nlearning_rate = [30.0]\nclipping = 'none'\ninitializer = 'glorot_uniform'",
    )
    return train(cohort)


def test_a_run_alone_is_the_run_in_company(company: dict[str, pd.DataFrame]) -> None:
    (alone,) = cohorts('clipping = ["global_norm"]', SMALL)
    run_id = alone.runs[0].run_id
    tables, others = of_run(train(alone), run_id), of_run(company, run_id)
    for name in ("gradient_norms", "loss_curves"):
        frame = tables[name].select_dtypes(float)
        assert len(frame) > 0
        np.testing.assert_allclose(frame, others[name].select_dtypes(float), rtol=1e-5)


def test_a_replicate_sees_the_same_batches_in_every_cell_and_others_see_others() -> None:
    (cohort,) = cohorts('initializer = ["he_normal", "zeros"]', SMALL, replicates=2)
    first = next(batches(cohort.runs, 1437, 64, 1))
    replicates = np.array([run.replicate for run in cohort.runs])
    for replicate in (0, 1):
        same = first[replicates == replicate]
        assert (same == same[0]).all()
    assert (first[replicates == 0][0] != first[replicates == 1][0]).any()


def test_an_epoch_is_a_permutation() -> None:
    (cohort,) = cohorts("learning_rate = [0.1]", SMALL)
    epoch = np.concatenate([rows[0] for rows in batches(cohort.runs, 100, 10, 10)])
    assert sorted(epoch) == list(range(100))


def kernels(initializer: str, depth: int = 3, replicates: int = 1) -> list[np.ndarray]:
    from bench.engine.train import Training

    (cohort,) = cohorts(f'initializer = ["{initializer}"]', SMALL.replace("depth = 4", f"depth = {depth}"), replicates)
    return [stack.kernel.numpy() for stack in Training(cohort).ensemble.stacks]


def test_initializers_of_one_kind_share_the_underlying_draw_and_depths_share_their_layers() -> None:
    glorot, he, deeper = kernels("glorot_uniform"), kernels("he_uniform"), kernels("glorot_uniform", depth=6)
    for one, other in zip(glorot, he, strict=True):
        ratio = other / one
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-3)
    np.testing.assert_array_equal(glorot[1], deeper[1][:2])
    np.testing.assert_array_equal(glorot[2], deeper[2])


def test_layers_and_replicates_draw_for_themselves() -> None:
    hidden = kernels("he_normal", replicates=2)[1]  # [blocks, runs, in, out]
    assert not np.allclose(hidden[0, 0], hidden[1, 0])
    assert not np.allclose(hidden[0, 0], hidden[0, 1])


@pytest.mark.parametrize(
    ("fixed", "include", "found"),
    [
        (
            'depth = 2\nsteps = 1\nactivation = "linear"',
            '[[include]]\nlearning_rate = 3e38\nregularization = { level = "l2", strength = 1e3 }',
            # Of the first the weights are finite; what they make of a batch is not.
            {1e20: ("infinity", "pre-activation", 1), 3e38: ("infinity", "weight", 0)},
        ),
        # Training normalizes by the batch; only evaluations read the moving averages.
        (
            'depth = 3\nsteps = 2\nactivation = "relu"\nnormalization = "batch_normalization"',
            "",
            {1e5: (None, "loss", None)},
        ),
    ],
)
def test_the_last_update_is_looked_at_too(
    fixed: str, include: str, found: dict[float, tuple[str | None, str, int | None]]
) -> None:
    (cohort,) = cohorts(
        f"learning_rate = [0.01, {min(found)}]", f'width = 8\noptimizer = "sgd"\n{fixed}', record=EVALUATED + include
    )
    tables, steps = train(cohort), int(cohort.structure["steps"].value or 0)
    events = tables["divergence_events"].query("kind != 'loss_limit'").to_dict("records")
    assert len(events) == len(found)
    for event, (kind, tensor, layer) in zip(events, found.values(), strict=True):
        assert (event["step"], event["tensor"]) == (steps, tensor)
        assert event["layer_index"] == layer or (layer is None and np.isnan(event["layer_index"]))
        assert kind in (None, event["kind"])
    assert tables["runs"]["status"].tolist() == ["completed"] + ["diverged"] * len(found)
    assert tables["timings"]["steps"].tolist() == [steps]
    assert tables["gradient_norms"]["step"].max() == steps - 1


def test_a_loss_over_its_limit_is_an_event_and_the_run_goes_on(company: dict[str, pd.DataFrame]) -> None:
    tables = company
    (event,) = tables["divergence_events"].itertuples()
    assert (event.kind, event.tensor) == ("loss_limit", "loss")
    assert event.value > event.limit >= 10 * np.log(10)
    assert set(tables["runs"]["status"]) == {"completed"}
    curve = of_run(tables, event.run_id)["loss_curves"].set_index("step")["loss"]
    assert curve[event.step] == pytest.approx(event.value)
    assert (curve[: event.step - 1] <= event.limit).all()


WEIGHT, S, U, PHI, H, SLOPE, GRADIENT = range(ROWS)
NAN, INFINITY = range(2)


def planted(*places: tuple[int, int, int]) -> np.ndarray:
    """What `diagnose` finds in 2 runs of 4 layers when the second holds bad numbers in these rows, layers and kinds."""
    facts = np.zeros((ROWS, 4, FACTS, 2), np.float32)
    for row, layer, kind in places:
        facts[row, layer, kind, 1] = 1
        facts[row, layer, 2, 1] = 7.0
    return facts


LOCATED = [
    ([(WEIGHT, 2, NAN)], "nan", "weight", 2),
    ([(WEIGHT, 2, NAN), (WEIGHT, 2, INFINITY)], "infinity", "weight", 2),
    ([(S, 2, INFINITY)], "infinity", "pre-activation", 2),
    # A sum of finite products: inf - inf in one kernel, inf in another.
    ([(S, 2, NAN)], "infinity", "pre-activation", 2),
    ([(S, 1, NAN), (S, 3, NAN), (H, 0, INFINITY)], "infinity", "activation", 0),
    ([(S, 1, NAN), (S, 3, NAN), (WEIGHT, 3, NAN)], "nan", "weight", 3),
    ([(U, 1, NAN), (PHI, 1, INFINITY), (H, 1, NAN)], "nan", "activation", 1),
    ([(PHI, 1, INFINITY), (H, 1, NAN), (S, 2, NAN)], "infinity", "activation", 1),
    ([(H, 3, NAN), (GRADIENT, 3, NAN)], "nan", "activation", 3),
    ([(GRADIENT, 1, INFINITY), (GRADIENT, 2, NAN)], "infinity", "gradient", 2),
    ([(GRADIENT, 1, INFINITY), (SLOPE, 1, NAN)], "nan", "gradient", 1),
    ([(GRADIENT, 1, INFINITY), (SLOPE, 1, NAN), (SLOPE, 1, INFINITY)], "infinity", "gradient", 1),
]


@pytest.mark.parametrize(("places", "kind", "tensor", "layer"), LOCATED)
def test_locate_names_the_first_bad_tensor_in_order_of_computation_and_its_kind(
    places: list[tuple[int, int, int]], kind: str, tensor: str, layer: int
) -> None:
    event = locate(planted(*places), 1, 5, (1.0, 1.0))
    assert (event.kind, event.tensor, event.layer_index, event.value, event.step) == (kind, tensor, layer, 7.0, 5)


def test_locate_knows_the_logits_of_attention() -> None:
    facts = np.insert(planted((PHI, 2, NAN)), U, 0.0, axis=0)  # a row more, behind what queries, keys and values say
    facts[U, 2, [NAN, 2], 1] = 1.0, 7.0
    event = locate(facts, 1, 5, (1.0, 1.0))
    assert (event.kind, event.tensor, event.layer_index) == ("infinity", "logits", 2)


def test_locate_takes_a_bad_loss_before_bad_gradients() -> None:
    event = locate(planted((GRADIENT, 1, NAN)), 1, 0, (np.inf, 2.5))
    assert (event.tensor, event.layer_index, event.kind, event.value) == (Tensor.LOSS, None, EventKind.INFINITY, 2.5)


def root_of_relu(x: Any) -> Any:
    """Its derivative at 0 and below is infinity times 0."""
    return keras.ops.sqrt(keras.ops.relu(x))


def log_of_relu(x: Any) -> Any:
    """Minus infinity at 0 and below."""
    return keras.ops.log(keras.ops.relu(x))


@pytest.mark.parametrize(
    ("depth", "form"),
    [(3, 'skip = "residual"'),
     *(pytest.param(depth, form, marks=pytest.mark.full)  # of depth 1 see tests/cases
       for depth, form in ((1, ""), (3, ""), (1, 'normalization = "layer_normalization"'),
                           (3, 'normalization = { level = "layer_normalization", position = "after" }')))],
)  # fmt: skip
def test_an_activation_that_is_infinite_is_named_at_every_depth(depth: int, form: str) -> None:
    (cohort,) = cohorts(f"depth = [{depth}]", f'activation = "{__name__}:log_of_relu"\nwidth = 8\nsteps = 3\n{form}')
    (event,) = train(cohort)["divergence_events"].itertuples()
    assert (event.step, event.kind, event.tensor, event.layer_index) == (0, "infinity", "activation", 0)
    assert event.value > 0


def test_a_derivative_that_is_nan_is_named_in_the_layer_nearest_the_head() -> None:
    (cohort,) = cohorts("depth = [3]", f'activation = "{__name__}:root_of_relu"\nwidth = 8\nsteps = 3')
    (event,) = train(cohort)["divergence_events"].itertuples()
    assert (event.step, event.kind, event.tensor, event.layer_index) == (0, "nan", "gradient", 2)


@pytest.mark.parametrize(
    ("skip", "bad"), [("none", {0: 1, 2: 2, 4: 3}), pytest.param("residual", {2: 1}, marks=pytest.mark.full)]
)
def test_a_nan_planted_in_a_kernel_is_found_there(skip: str, bad: dict[int, int]) -> None:
    """Planted in these layers, each in a run of its own; the first run stays sound."""
    from bench.engine.train import Training

    rates = [0.01, 0.02, 0.03, 0.04][: len(bad) + 1]
    (cohort,) = cohorts(f'skip = ["{skip}"]\nlearning_rate = {rates}', SMALL)
    training = Training(cohort)
    kernel_of = [
        (stack.kernel, block)
        for stage, stacks in zip(training.ensemble.network.stages, training.ensemble.stages, strict=True)
        for block in range(stage.count)
        for stack in stacks
    ]
    for layer, run in bad.items():
        kernel, block = [*kernel_of, (training.ensemble.head.kernel, 0)][layer]
        values = kernel.numpy()
        values[block, run, 0, 0] = -np.nan
        kernel.assign(values)
    tables = training.run()
    norms = tables["gradient_norms"]["weight_norm"].to_numpy()
    assert np.isnan(norms).any()
    assert set(norms[np.isnan(norms)].view(np.int64)) == {np.array(np.nan).view(np.int64).item()}  # of one sign
    events = {event["run_id"]: event for event in tables["divergence_events"].to_pylist()}
    assert len(events) == len(bad)
    for layer, run in bad.items():
        event = events[cohort.runs[run].run_id]
        assert (event["tensor"], event["layer_index"], event["kind"]) == ("weight", layer, "nan")


def test_exactly_the_steps_that_were_asked_for_are_recorded() -> None:
    record = """
[record]
gradient_norms = { at = [0, 3, "last"] }
loss_curves = { every = 5 }
activations = "never"
evaluations = { at = ["last"] }
"""
    (cohort,) = cohorts("depth = [3]", 'width = 8\nsteps = 12\nactivation = "tanh"', record=record)
    tables = train(cohort)
    assert sorted(set(tables["gradient_norms"]["step"])) == [0, 3, 11]
    assert tables["loss_curves"]["step"].tolist() == [0, 5, 10, 11]
    assert tables["activations"].empty
    assert tables["evaluations"][["step", "split"]].to_numpy().tolist() == [[12, "train"], [12, "validation"]]
    assert tables["gradient_norms"]["layer_name"].tolist()[:4] == ["hidden_0", "hidden_1", "hidden_2", "head"]


def test_clipping_is_told_before_and_after(company: dict[str, pd.DataFrame]) -> None:
    rules = company["runs"].set_index("run_id")["clipping"]
    curves = company["loss_curves"].assign(rule=lambda rows: rows["run_id"].map(rules))
    clipped, free = (curves[curves["rule"] == rule] for rule in ("global_norm(threshold=0.5)", "none"))
    assert len(clipped) == 2 * 15
    assert len(free) == 3 * 15
    assert (clipped["clipped_grad_norm"] <= 0.5 * (1 + 1e-6)).all()
    assert (clipped["clipped"] == (clipped["global_grad_norm"] > 0.5)).all()
    assert clipped["clipped"].any()
    assert not free["clipped"].any()
    assert (free["clipped_grad_norm"] == free["global_grad_norm"]).all()


@pytest.mark.full  # three workers load TensorFlow
def test_tables_are_the_same_to_the_bit_when_the_suite_runs_again(tmp_path: Path) -> None:
    fixed = {"normalization": "batch_normalization", "skip": "residual", "steps": 25, "width": 16, "dataset": "mnist1d"}
    text = suite_text("again", "?", 1, fixed, depth=[3, 9], initializer=["lsuv", "orthogonal"])
    text += '[[include]]\ndepth = 9\nskip = "none"\nnormalization = ["none", "batch_normalization"]\n'
    (tmp_path / "again.toml").write_text(text)
    for name, workers in (("one", "1"), ("two", "2")):
        command = [sys.executable, "-m", "bench", "run", str(tmp_path / "again.toml"), "--no-report"]
        command += ["--out", str(tmp_path / name), "--workers", workers]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert len(files(tmp_path / "one")) == 6 * 4
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.traced
def test_layers_one_after_the_other_and_in_a_loop_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (cohort,) = cohorts(
        'initializer = ["glorot_uniform", "he_normal"]\n',
        'depth = 5\nwidth = 8\nsteps = 3\nskip = "residual"\nnormalization = "batch_normalization"\nclipping = "norm"',
        record=PROBED,
    )
    unrolled = train(cohort)
    monkeypatch.setattr("bench.engine.unrolling.FEW_LAYERS", 0)
    looped = train(cohort)
    for name in ("gradient_norms", "activations", "loss_curves"):
        assert len(unrolled[name])
        # Not to the bit: TensorFlow's optimizer of graphs may add in another order. As beside a lone Keras model.
        pd.testing.assert_frame_equal(unrolled[name], looped[name], rtol=1e-4, atol=1e-7)


@pytest.mark.traced
@pytest.mark.parametrize(
    "fixed",
    [
        "depth = 3\nwidth = 8",
        pytest.param(
            'architecture = "conv"\ndepth = 3\nwidth = 4\nskip = "residual"\nnormalization = "batch_normalization"',
            marks=pytest.mark.full,
        ),
    ],
)
def test_a_step_that_is_looked_at_again_for_a_lost_neighbour_is_the_same_to_the_bit(fixed: str) -> None:
    """TensorFlow would multiply a learning rate and a clipping's scale first where they are in no branch."""
    factors = 'learning_rate = [0.01, 10.0]\nclipping = ["none", { level = "global_norm", threshold = 0.1 }]'
    (cohort,) = cohorts(factors, f"{fixed}\nbatch_size = 16\nsteps = 2")
    usual, again = Training(cohort), Training(cohort)
    for rows in batches(cohort.runs, len(usual.data.y), 16, 2):
        given = tf.constant(rows), tf.constant(usual.recorder.alive), tf.constant(value=True)
        found, looked = usual.step(*given), again.careful_step(*given)
        for name in found.keys() - {"trouble"}:
            np.testing.assert_array_equal(found[name], looked[name], name)
        for one, other in zip(usual.ensemble.variables, again.ensemble.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)
        assert found["changed"].numpy().any()


def test_a_cohort_tells_its_steps_and_a_machine_its_rates() -> None:
    (cohort,) = cohorts("learning_rate = [0.05]", SMALL.replace("depth = 4", "depth = 2"))
    steps: list[int] = []
    rows = train_cohort(cohort, steps.append)["loss_curves"]
    assert steps == list(range(1, 16))
    assert rows.equals(train_cohort(cohort)["loss_curves"])
    assert all(0 < rate < np.inf for rate in asdict(measure(cohort)).values())
