"""What holds of runs in a cohort: independence, pairing, divergence, reproducibility, what is recorded when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from bench.engine.batches import batches
from bench.engine.divergence import FACTS, ROWS, locate
from bench.schema import EventKind, Tensor
from tests.cohorts import EVALUATED, EVERY_STEP, cohorts, of_run, train

SMALL = 'depth = 4\nwidth = 16\nsteps = 15\nactivation = "tanh"\noptimizer = "momentum"'
ROOT = Path(__file__).parents[2]


def equal(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name in ("gradient_norms", "loss_curves", "activations", "evaluations"):
        pd.testing.assert_frame_equal(
            one[name].reset_index(drop=True), other[name].reset_index(drop=True), check_exact=True
        )


def test_a_run_is_the_same_to_the_bit_beside_a_calm_and_beside_a_diverging_neighbour() -> None:
    calm, wild = (
        cohorts(f"learning_rate = [0.05, {rate}]", SMALL.replace("tanh", "relu"), record=EVALUATED)[0]
        for rate in ("0.06", "1e9")
    )
    beside = train(wild)
    assert beside["runs"]["status"].tolist() == ["completed", "diverged"]
    run_id = calm.runs[0].run_id
    assert run_id == wild.runs[0].run_id
    equal(of_run(train(calm), run_id), of_run(beside, run_id))


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


def test_an_activation_that_overflows_is_found_at_its_step_and_layer() -> None:
    (cohort,) = cohorts(
        'initializer = ["he_normal", { level = "random_normal", stddev = 1e11 }]',
        SMALL.replace("tanh", "relu"),
    )
    tables = train(cohort)
    (event,) = tables["divergence_events"].itertuples()
    # Pixels are about 1, so layer l is about (1e11 * sqrt(16))^(l + 1): the fourth leaves float32's 3e38.
    assert (event.step, event.kind, event.tensor, event.layer_index) == (0, "infinity", "pre-activation", 3)
    assert np.isnan(event.value)  # nothing finite is left in that layer
    runs = tables["runs"].set_index("run_id")
    assert runs.loc[event.run_id, ["status", "steps_completed"]].tolist() == ["diverged", 0]
    assert set(runs["status"]) == {"completed", "diverged"}
    assert of_run(tables, event.run_id)["loss_curves"]["step"].tolist() == [0]


def test_weights_that_overflow_are_found_at_the_step_after_the_update() -> None:
    (cohort,) = cohorts("learning_rate = [1e38, 0.01]", SMALL.replace('"momentum"', '"sgd"').replace("tanh", "linear"))
    tables = train(cohort)
    first = tables["divergence_events"].iloc[0]
    assert (first["step"], first["kind"]) == (1, "infinity")
    assert first["tensor"] in ("weight", "pre-activation")
    ended = tables["runs"].set_index("run_id").loc[first["run_id"]]
    assert ended["steps_completed"] == 1
    steps = of_run(tables, first["run_id"])["gradient_norms"]["step"]
    assert steps.max() == 1


@pytest.mark.parametrize(
    ("rate", "form", "tensor", "layer"),
    [
        (3e38, 'activation = "linear"\nregularization = { level = "l2", strength = 1e3 }', "weight", 0),
        (1e20, "", "pre-activation", 1),  # the weights are finite; what they make of a batch is not
        # Training normalizes by the batch; only evaluations read the moving averages.
        (1e5, 'depth = 3\nsteps = 2\nnormalization = "batch_normalization"', "loss", None),
    ],
)
def test_the_last_update_is_looked_at_too(rate: float, form: str, tensor: str, layer: int | None) -> None:
    fixed = {"depth": "2", "width": "8", "steps": "1", "activation": '"relu"', "optimizer": '"sgd"'}
    fixed |= dict(line.split(" = ", 1) for line in form.splitlines())
    (cohort,) = cohorts(
        f"learning_rate = [{rate}, 0.01]",
        "\n".join(f"{key} = {value}" for key, value in fixed.items()),
        record=EVALUATED,
    )
    tables, steps = train(cohort), int(fixed["steps"])
    (event,) = tables["divergence_events"].query("kind != 'loss_limit'").to_dict("records")
    assert (event["step"], event["tensor"]) == (steps, tensor)
    assert event["layer_index"] == layer or (layer is None and np.isnan(event["layer_index"]))
    assert event["kind"] == "infinity" or tensor == "loss"
    assert tables["runs"]["status"].tolist() == ["diverged", "completed"]
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
    (
        [(S, 2, NAN)],
        "infinity",
        "pre-activation",
        2,
    ),  # a sum of finite products: inf - inf in one kernel, inf in another
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
    [
        (1, ""),
        (3, ""),
        (1, 'normalization = "layer_normalization"'),
        (3, 'normalization = { level = "layer_normalization", position = "after" }'),
        (3, 'skip = "residual"'),
    ],
)
def test_an_activation_that_is_infinite_is_named_at_every_depth(depth: int, form: str) -> None:
    (cohort,) = cohorts(f"depth = [{depth}]", f'activation = "{__name__}:log_of_relu"\nwidth = 8\nsteps = 3\n{form}')
    (event,) = train(cohort)["divergence_events"].itertuples()
    assert (event.step, event.kind, event.tensor, event.layer_index) == (0, "infinity", "activation", 0)
    assert event.value > 0


def test_a_derivative_that_is_nan_is_named_in_the_layer_nearest_the_head() -> None:
    (cohort,) = cohorts("depth = [3]", f'activation = "{__name__}:root_of_relu"\nwidth = 8\nsteps = 3')
    (event,) = train(cohort)["divergence_events"].itertuples()
    assert (event.step, event.kind, event.tensor, event.layer_index) == (0, "nan", "gradient", 2)


@pytest.mark.parametrize(("skip", "bad"), [("none", {0: 1, 2: 2, 4: 3}), ("residual", {2: 1})])
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
        values[block, run, 0, 0] = np.nan
        kernel.assign(values)
    events = {event["run_id"]: event for event in training.run()["divergence_events"].to_pylist()}
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
    text = """
[suite]
name = "again"
question = "?"
replicates = 1

[factors]
depth = [3, 9]
initializer = ["lsuv", "orthogonal"]

[fixed]
normalization = "batch_normalization"
skip = "residual"
steps = 25
width = 16
dataset = "mnist1d"

[[include]]
depth = 9
skip = "none"
normalization = ["none", "batch_normalization"]
"""
    (tmp_path / "again.toml").write_text(text)
    for name, workers in (("one", "1"), ("two", "2")):
        command = [sys.executable, "-m", "bench", "run", str(tmp_path / "again.toml"), "--no-report"]
        command += ["--out", str(tmp_path / name), "--workers", workers]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.parquet"))
    assert len(files) == 7 * 4
    for path in files:
        if path.parts[1] != "timings":
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path
