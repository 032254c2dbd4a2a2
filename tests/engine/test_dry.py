"""Known answers of the dry engine: what its formula promises is what its tables hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.engine.dry import BATCH_DECADES, CHANCE_ACCURACY, CHANCE_LOSS, FLOOR, GAIN, LAYER_NOISE, fate, train_cohort
from bench.engine.dry_inside import BORDER, SHARPENED
from bench.engine.dry_time import GATED_SHARE, TIME_SHARE
from bench.plan import estimate_rows, make_plan
from bench.schema import ASKED, LOSS_LIMIT_FACTOR, TABLES
from tests.cohorts import EVALUATED, cohorts, of_run
from tests.dry_results import EXPLODING, SMALL, dry_results

EXACT = 6 * LAYER_NOISE  # decades: no noise is that far out
HOT = 'initializer = [{ level = "orthogonal", gain = 10.0 }]'  # a decade a layer


def dry(factors: str, fixed: str, replicates: int = 1) -> dict[str, pd.DataFrame]:
    """All tables of the one cohort of a suite, every step recorded."""
    (cohort,) = cohorts(factors, fixed, replicates, EVALUATED)
    return {name: table.to_pandas() for name, table in train_cohort(cohort).items()}


def growth_of(factors: str, fixed: str = "") -> float:
    (cohort,) = cohorts(factors, f"depth = 9\n{fixed}")
    return fate(cohort.runs[0].choices).growth


@pytest.mark.parametrize(
    ("factors", "fixed", "decades"),
    [
        ('initializer = ["glorot_uniform"]', 'activation = "sigmoid"', -0.63),
        ('initializer = ["he_normal"]', 'activation = "relu"', -0.15 + 0.5 * math.log10(2.0)),
        ('initializer = [{ level = "orthogonal", gain = 10.0 }]', 'activation = "linear"', 1.0),
        ('initializer = [{ level = "variance_scaling", scale = 100.0 }]', 'activation = "linear"', 1.0),
        ('initializer = [{ level = "random_normal", stddev = 0.1 }]', 'activation = "linear"\nwidth = 100', 0.0),
        ('initializer = [{ level = "random_uniform", limit = 1.0 }]', 'activation = "linear"\nwidth = 300', 1.0),
        ('initializer = ["critical"]', 'activation = "sigmoid"', 0.0),
        ('normalization = ["batch_normalization"]', 'activation = "sigmoid"', BATCH_DECADES),
        ('normalization = ["layer_normalization"]', 'activation = "sigmoid"', -0.315),
        ('skip = ["residual"]', 'activation = "sigmoid"', -0.63 / 4),
        ('skip = ["residual_scaled"]', 'activation = "sigmoid"', 0.0),
    ],
)  # fmt: skip
def test_growth_per_layer(factors: str, fixed: str, decades: float) -> None:
    assert growth_of(factors, fixed) == pytest.approx(decades, abs=1e-12)


def test_the_signal_has_the_growth_of_the_formula_in_every_layer() -> None:
    tables = dry('initializer = ["glorot_uniform"]', 'activation = "sigmoid"\ndepth = 9\nsteps = 5')
    rows = tables["gradient_norms"].query("step == 0")
    assert rows["layer_name"].tolist() == [*(f"hidden_{layer}" for layer in range(9)), "head"]
    decades = np.log10(rows["preactivation_grad_norm"].to_numpy())
    expected = [*(-0.63 * (8 - layer) for layer in range(9)), 0.0]
    np.testing.assert_allclose(decades, expected, atol=EXACT)
    slope = np.polyfit(np.arange(9), decades[:9], 1)[0]
    assert slope == pytest.approx(0.63, abs=EXACT)
    assert rows["activation_grad_norm"].isna().tolist() == [False] * 9 + [True]
    # Numbers of a kernel's gradient are of one magnitude, and no input is large.
    rows = tables["gradient_norms"]
    root = np.sqrt(rows["weight_count"])
    np.testing.assert_allclose(rows["weight_grad_mean_abs"] * root, rows["weight_grad_norm"], rtol=EXACT)
    assert set(rows["weight_grad_zero_fraction"]) == {0.0}
    assert set(tables["activations"]["nonpositive_fraction"]) == {0.5}
    assert set(tables["activations"]["large_fraction"]) == {0.0}


@pytest.mark.parametrize(
    ("skip", "expected"),
    [("none", [0.125, 0.25, 0.5, 1.0, 1.0]), ("residual", [0.5, 3**-0.5, 2**-0.5, 1.0, 1.0])],
)
def test_gradients_of_one_class_part_with_depth(skip: str, expected: list[float]) -> None:
    rows = dry(f'skip = ["{skip}"]', "depth = 4\nsteps = 2")["gradient_norms"].query("step == 1")
    np.testing.assert_allclose(rows["preactivation_grad_pair_correlation"], expected)


def test_a_run_that_learns_falls_to_the_floor_and_keeps_half_its_growth() -> None:
    tables = dry('initializer = ["he_normal"]', 'activation = "relu"\ndepth = 4\nsteps = 50')
    loss = tables["loss_curves"].set_index("step")["loss"]
    assert loss[0] == pytest.approx(CHANCE_LOSS, rel=0.15)
    assert loss[49] == pytest.approx(FLOOR + (CHANCE_LOSS - FLOOR) * math.exp(-4.9), rel=0.15)
    final = tables["evaluations"].query("step == 50 and split == 'train'")["accuracy"].item()
    assert final == pytest.approx(CHANCE_ACCURACY + GAIN * (1 - math.exp(-5)))
    norms = np.log10(tables["gradient_norms"].query("layer_index == 0").set_index("step")["preactivation_grad_norm"])
    noise = norms[0] - 3 * (-0.15 + 0.5 * math.log10(2.0))
    assert norms[25] - noise == pytest.approx(0.75 * (norms[0] - noise), abs=1e-9)


def test_a_run_whose_signal_vanishes_stays_at_chance_and_collapses_at_twice_the_severe_threshold() -> None:
    tables = dry('initializer = ["glorot_uniform"]', 'activation = "sigmoid"\ndepth = 9\nsteps = 20')
    assert tables["loss_curves"]["loss"].to_numpy() == pytest.approx(CHANCE_LOSS, rel=0.15)
    assert set(tables["evaluations"]["accuracy"]) == {CHANCE_ACCURACY}
    assert tables["runs"]["status"].tolist() == ["completed"]
    assert set(tables["activations"]["pair_correlation"]) == {0.5}
    deep = dry('initializer = ["glorot_uniform"]', 'activation = "sigmoid"\ndepth = 12\nsteps = 3')
    assert deep["activations"]["pair_correlation"].iloc[11] == pytest.approx(1 - 1e-4)


def test_a_hot_run_is_cut_at_its_step_and_says_so() -> None:
    # Depth 11 at a decade a layer: heat 10, so it ends at step 60 / 10 = 6; its loss doubles: 16 times at step 4.
    tables = dry(HOT, 'activation = "linear"\ndepth = 11\nsteps = 40')
    run = tables["runs"].iloc[0]
    assert (run["status"], run["steps_completed"]) == ("diverged", 6)
    assert tables["loss_curves"]["step"].tolist() == list(range(6))
    np.testing.assert_allclose(tables["loss_curves"]["loss"], CHANCE_LOSS * 2.0 ** np.arange(6))
    assert tables["gradient_norms"]["step"].max() == 5
    events = tables["divergence_events"]
    found = events[["step", "kind", "tensor"]].to_numpy().tolist()
    assert found == [[4, "loss_limit", "loss"], [6, "infinity", "gradient"]]
    limit, end = events.iloc[0], events.iloc[1]
    assert limit["value"] > limit["limit"] == pytest.approx(LOSS_LIMIT_FACTOR * CHANCE_LOSS)
    assert limit["value"] / 2 < limit["limit"]
    assert end["layer_index"] == 0


@pytest.mark.parametrize(
    ("depth", "steps", "status", "completed", "kinds"),
    [(31, 40, "diverged", 2, ["infinity"]), (11, 6, "completed", 6, [])],
)
def test_a_hot_run_may_end_before_its_loss_crosses_the_limit_or_be_too_short_to_diverge(
    depth: int, steps: int, status: str, completed: int, kinds: list[str]
) -> None:
    tables = dry(HOT, f'activation = "linear"\ndepth = {depth}\nsteps = {steps}')
    assert tables["runs"][["status", "steps_completed"]].to_numpy().tolist() == [[status, completed]]
    assert tables["divergence_events"]["kind"].tolist() == kinds


def test_clipping_saves_a_hot_run_and_caps_its_norm() -> None:
    clipping = 'clipping = ["none", { level = "global_norm", threshold = 0.5 }]'
    tables = dry(clipping, f'{HOT.replace("[", "").replace("]", "")}\nactivation = "linear"\ndepth = 5\nsteps = 30')
    assert sorted(tables["runs"]["status"]) == ["completed", "diverged"]
    saved = tables["runs"].query("status == 'completed'")["run_id"].item()
    curve = of_run(tables, saved)["loss_curves"]
    assert curve["clipped"].all()
    assert set(curve["clipped_grad_norm"]) == {0.5}
    free = tables["loss_curves"][tables["loss_curves"]["run_id"] != saved]
    assert (free["clipped_grad_norm"] == free["global_grad_norm"]).all()
    assert not free["clipped"].any()


def test_a_high_learning_rate_is_heat() -> None:
    runs = dry("learning_rate = [0.01, 100.0]", 'activation = "tanh"\ndepth = 2\nsteps = 30')["runs"]
    found = runs[["learning_rate", "status", "steps_completed"]].to_numpy().tolist()
    assert found == [[0.01, "completed", 30], [100.0, "diverged", 16]]  # 60 / (4 - 0.027) = 15.1


def test_a_run_does_not_depend_on_its_neighbours_and_replicates_differ() -> None:
    fixed = 'activation = "relu"\ndepth = 3\nsteps = 10'
    alone = dry('initializer = ["he_normal"]', fixed, replicates=2)
    company = dry('initializer = ["zeros", "he_normal"]', fixed, replicates=2)
    ids = alone["runs"]["run_id"].tolist()
    for name in ("gradient_norms", "activations", "loss_curves", "evaluations"):
        for run_id in ids:
            one, other = (of_run(tables, run_id)[name].reset_index(drop=True) for tables in (alone, company))
            pd.testing.assert_frame_equal(one, other, check_exact=True)
    first, second = (of_run(alone, run_id)["loss_curves"]["loss"].to_numpy() for run_id in ids)
    assert (first != second).all()


@pytest.mark.parametrize(("cell", "per_step"), [("simple", TIME_SHARE), ("lstm", GATED_SHARE)])
def test_the_state_gradient_has_the_growth_of_the_formula_by_lag(cell: str, per_step: float) -> None:
    fixed = f'architecture = "recurrent"\ndataset = {{ level = "recall", length = 50 }}\ndepth = 2\ncell = "{cell}"'
    record = EVALUATED + "time_gradients = { at = [0, 7] }\nparameter_groups = { at = [0] }\n"
    (cohort,) = cohorts('initializer = ["he_normal"]', f"{fixed}\nsteps = 10", 2, record)
    made = train_cohort(cohort)
    assert made["time_gradients"].schema.equals(TABLES["time_gradients"].arrow, check_metadata=True)
    assert made["time_gradients"].num_rows == estimate_rows(cohort)["time_gradients"] == 2 * 2 * 2 * 13
    assert made["parameter_groups"].num_rows == estimate_rows(cohort)["parameter_groups"] > 0
    rows = made["time_gradients"].to_pandas()
    top = rows[(rows["step"] == 0) & (rows["layer_index"] == 1)]
    decades = np.log10(top["state_grad_norm"].to_numpy())
    np.testing.assert_allclose(decades, fate(cohort.runs[0].choices).growth * per_step * top["lag"], atol=EXACT)
    assert rows["gate_mean"].isna().all() == (cell == "simple") and rows["time"].max() == 49


def test_heads_and_positions_have_the_rows_and_numbers_of_the_formula() -> None:
    record = EVALUATED + "attention = { at = [0, 9] }\nparameter_groups = { at = [0] }\n"
    fixed = (
        'architecture = "transformer"\ndataset = { level = "reverse", length = 8 }\nwidth = 8\nheads = 2\nsteps = 10'
    )
    (cohort,) = cohorts("depth = [3]", fixed, 2, record)
    made = train_cohort(cohort)
    for table in ("attention", "gradient_norms", "activations", "parameter_groups"):
        assert made[table].num_rows == estimate_rows(cohort)[table] > 0
    heads = made["attention"].to_pandas()
    assert sorted(set(heads["layer_index"])) == [0, 2, 4] and set(heads["head"]) == {0, 1}
    np.testing.assert_allclose(heads.loc[heads["step"] == 0, "entropy"], math.log(8))
    np.testing.assert_allclose(heads.loc[heads["step"] == 9, "entropy_share"], 1.0 - SHARPENED * 0.9)
    assert made["gradient_norms"].to_pandas()["layer_name"].tolist()[:3] == [
        "block_0_attention", "block_0_feed_forward", "block_1_attention",
    ]  # fmt: skip
    record = EVALUATED + "positions = { at = [0] }\n"
    (cohort,) = cohorts("depth = [3]", 'architecture = "conv"\nwidth = 4\nsteps = 10', 1, record)
    made = train_cohort(cohort)
    assert made["positions"].num_rows == estimate_rows(cohort)["positions"] == 3 * 64
    rows = made["positions"].to_pandas().set_index(["layer_index", "row", "column"])["mean_square"]
    assert rows[2, 0, 0] / rows[2, 3, 3] == pytest.approx(BORDER**4)
    assert rows[0, 0, 0] == rows[0, 3, 3]


def test_tables_have_exactly_the_schemas() -> None:
    for factors in ("learning_rate = [0.01, 100.0]", "learning_rate = [0.01]"):
        (cohort,) = cohorts(factors, 'activation = "tanh"\ndepth = 2\nsteps = 30')
        made = train_cohort(cohort)
        assert list(made) == [name for name in TABLES if name not in ASKED]
        for name, table in made.items():
            assert table.schema.equals(TABLES[name].arrow, check_metadata=True), name
            table.validate(full=True)


def test_only_the_recorded_steps_are_there() -> None:
    record = '[record]\ngradient_norms = { at = [0, "last"] }\nloss_curves = { every = 4 }\n'
    record += 'activations = "never"\nevaluations = { at = ["last"] }\n'
    (cohort,) = cohorts('initializer = ["he_normal"]', "depth = 2\nsteps = 10", record=record)
    made = {name: table.to_pandas() for name, table in train_cohort(cohort).items()}
    assert sorted(set(made["gradient_norms"]["step"])) == [0, 9]
    assert made["loss_curves"]["step"].tolist() == [0, 4, 8, 9]
    assert made["activations"].empty
    assert made["evaluations"]["step"].tolist() == [10, 10]


def test_parameters_are_counted_by_hand() -> None:
    tables = dry('initializer = ["he_normal"]', "depth = 3\nwidth = 8\nsteps = 2")
    assert tables["runs"]["parameter_count"].tolist() == [64 * 8 + 2 * 8 * 8 + 8 * 10 + 3 * 8 + 10]
    assert tables["gradient_norms"]["weight_count"].tolist()[:4] == [512, 64, 64, 80]


@pytest.mark.parametrize("text", [SMALL, EXPLODING], ids=["small", "exploding"])
def test_every_planned_run_has_one_row_and_its_fate(text: str) -> None:
    results = dry_results(text)
    planned = {run.run_id: run for run in make_plan(results.suite).runs}
    runs = results.tables["runs"].set_index("run_id")
    assert sorted(planned) == sorted(runs.index)
    for run_id, run in planned.items():
        end = fate(run.choices).diverges_at
        assert (runs.loc[run_id, "status"] == "diverged") == (end is not None)
        assert runs.loc[run_id, "steps_completed"] == (60 if end is None else end)


def test_ten_thousand_runs_each_have_their_rows() -> None:
    rates = ", ".join(f"{0.001 * (1 + k):.3f}" for k in range(100))
    record = '[record]\ngradient_norms = { at = [0] }\nloss_curves = { at = [0, "last"] }\n'
    record += 'activations = { at = [0] }\nevaluations = { at = ["last"] }\n'
    planned = cohorts(f"learning_rate = [{rates}]", "depth = 3\nsteps = 10", replicates=100, record=record)
    parts = [train_cohort(cohort) for cohort in planned]
    rows = {name: sum(part[name].num_rows for part in parts) for name in TABLES if name not in ASKED}
    rows_of_a_run = {"runs": 1, "gradient_norms": 4, "activations": 3, "loss_curves": 2, "evaluations": 2}
    rest = {"divergence_events": 0, "timings": len(planned)}
    assert rows == {name: 10_000 * count for name, count in rows_of_a_run.items()} | rest
    assert len({run_id for part in parts for run_id in part["runs"]["run_id"].to_pylist()}) == 10_000
