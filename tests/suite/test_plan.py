"""Runs, their keys and seeds, and the cohorts in which they train."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from bench import plan as planning
from bench.errors import DataError
from bench.factors import FACTORS, Factor, Level, Place
from bench.plan import COHORT_BYTES, MAX_COHORT_RUNS, Estimate, Plan, Rates, estimate_seconds, make_plan, makespan
from bench.schema import TABLES
from bench.suite import load_suite
from bench.suite.load import SHIPPED

PlanOf = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path) -> PlanOf:
    def write_and_plan(body: str, replicates: int = 1, seed: int = 0) -> Plan:
        head = f'[suite]\nname = "probe"\nquestion = "?"\nreplicates = {replicates}\nseed = {seed}\n'
        path = tmp_path / "probe.toml"
        path.write_text(head + body, encoding="utf-8")
        return make_plan(load_suite(path))

    return write_and_plan


def _keys(plan: Plan) -> list[str]:
    return list(dict.fromkeys(run.cell_key for run in plan.runs))


# A key names results on disk. If one of these changes, every result of every user is orphaned.
@pytest.mark.parametrize(
    ("body", "seed", "key"),
    [
        ("[factors]\ndepth = [4]\n", 0, "d4-relu-glorot_uniform-58e99e371e"),
        ("[factors]\ndepth = [4]\n", 7, "d4-relu-glorot_uniform-3575484cf3"),
        ('[factors]\nactivation = ["sigmoid"]\nnormalization = ["none"]\n', 0, "d4-sigmoid-glorot_uniform-cd1f2e6b1f"),
        ('[factors]\ninitializer = [{ level = "orthogonal", gain = 1.5 }]\n', 0,
         "d4-relu-orthogonal_gain_1.5-489b97e045"),
        ('[factors]\nclipping = ["global_norm"]\nlearning_rate = [1]\n', 0,
         "d4-relu-glorot_uniform-global_norm-lr1-82f4558791"),
        ('[factors]\noptimizer = ["rmsprop"]\n', 0, "d4-relu-glorot_uniform-rmsprop-bea0caa993"),
        ('[factors]\noptimizer = [{ level = "adam", epsilon = 1e-7 }]\n', 0, "d4-relu-glorot_uniform-adam-894cc8e11c"),
        ('[factors]\noptimizer = ["adamw"]\n', 0, "d4-relu-glorot_uniform-adamw-1ae8b7c088"),
        ('[factors]\ncell = ["gru"]\n[fixed]\narchitecture = "recurrent"\ndataset = "recall"\n', 0,
         "recall-recurrent-d4-tanh-glorot_uniform-gru-orthogonal-unit_forget-92b179c4fa"),
        ('[factors]\noptimizer = [{ level = "adam", epsilon = 1e-8 }]\n', 0,
         "d4-relu-glorot_uniform-adam_epsilon_1e_08-cea8549123"),
        ('[factors]\nactivation = ["mine.shapes:snake"]\n[fixed]\ndataset = "mine:blobs"\n', 0,
         "mine_blobs-d4-mine.shapes_snake-glorot_uniform-43622cb61d"),
    ],
)  # fmt: skip
def test_literal_keys(plan: PlanOf, body: str, seed: int, key: str) -> None:
    assert _keys(plan(body, seed=seed)) == [key]


def test_the_default_suite_s_runs_keep_their_names() -> None:
    runs = [run.run_id for run in make_plan(load_suite(SHIPPED / "default.toml")).runs]
    assert sha256("\n".join(runs).encode()).hexdigest()[:16] == "37ffcb4564efc1b9"


def test_a_local_dataset_is_known_by_its_content_wherever_it_lies(plan: PlanOf, tmp_path: Path) -> None:
    def keys(content: bytes, name: str) -> list[str]:
        (tmp_path / name).write_bytes(content)
        return _keys(plan(f'[factors]\ndepth = [4]\n[fixed]\ndataset = "{tmp_path / name}"\n'))

    assert keys(b"one", "a.npz") == keys(b"one", "b.npz") == ["npz_7692c3ad-d4-relu-glorot_uniform-632cefff95"]
    assert keys(b"two", "a.npz") != keys(b"one", "a.npz")
    (tmp_path / "a.csv").write_bytes(b"x,y\n1,2\n")
    table = f'{{ level = "csv", path = "{tmp_path / "a.csv"}", target = "TARGET" }}'
    x, y = (_keys(plan(f"[factors]\ndataset = [{table.replace('TARGET', name)}]\n")) for name in "xy")
    assert x != y and x[0].startswith("csv_81bf9fa8-d4-relu-glorot_uniform-")


def test_a_local_dataset_that_cannot_be_read_has_no_runs(plan: PlanOf, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"there is no such file .looked in {tmp_path}"):
        plan(f'[factors]\ndepth = [4]\n[fixed]\ndataset = "{tmp_path / "absent.npz"}"\n')
    with pytest.raises(DataError, match=f"absent.csv.*there is no such file .looked in {tmp_path}"):
        plan(f'[factors]\ndataset = [{{ level = "csv", path = "{tmp_path}/absent.csv", target = "y" }}]\n')


def test_a_run_without_preprocessing_says_so(plan: PlanOf) -> None:
    (none,) = _keys(plan('[factors]\npreprocessing = ["none"]\n'))
    assert none.startswith("no_preprocessing-d4-relu-glorot_uniform-")


def test_a_suite_that_grows_renames_no_run(plan: PlanOf) -> None:
    before = _keys(plan("[factors]\ndepth = [4]\n[fixed]\nlearning_rate = 0.1\n"))
    after = _keys(plan("[factors]\ndepth = [4, 8]\nlearning_rate = [0.1, 0.2]\n"))
    assert set(before) < set(after)


GRID = '[factors]\ndepth = [2, 8]\nactivation = ["relu", "tanh"]\nclipping = ["none", "value"]\n'


def test_runs_come_in_the_order_of_cells_with_replicates_together(plan: PlanOf) -> None:
    runs = plan(GRID, replicates=3).runs
    assert len(runs) == 8 * 3
    assert [run.replicate for run in runs] == [0, 1, 2] * 8
    assert all(run.run_id == f"{run.cell_key}-r{run.replicate}" for run in runs)
    assert [run.cell_key.rpartition("-")[0] for run in runs[::3]] == [
        f"{start}-glorot_uniform{clipping}"
        for start in ("d2-relu", "d2-tanh", "d8-relu", "d8-tanh")
        for clipping in ("", "-value")
    ]
    assert len({run.run_id for run in runs}) == len(runs)


def test_a_seed_depends_on_suite_seed_and_replicate_alone(plan: PlanOf) -> None:
    seeds = {(run.replicate, run.seed) for run in plan(GRID, replicates=3).runs}
    assert len(seeds) == 3
    assert {run.seed for run in plan(GRID, replicates=2).runs} < {seed for _, seed in seeds}
    other = {run.seed for run in plan(GRID, replicates=3, seed=1).runs}
    assert not other & {seed for _, seed in seeds}
    assert all(0 <= seed < 2**31 for seed in other)


def _hashes(plan: Plan) -> set[str]:
    return {key.rpartition("-")[2] for key in _keys(plan)}


SAME = {
    "another order": '[factors]\nclipping = ["value", "none"]\nactivation = ["tanh", "relu"]\ndepth = [8, 2]\n',
    "defaults written out": GRID + "[fixed]\nlearning_rate = 0.010\nwidth = 64\n",
    "long form": GRID + '[fixed]\ninitializer = { level = "glorot_uniform" }\n',
    "settings written out": GRID.replace('"value"', '{ level = "value", threshold = 0.5 }'),
    "another record": GRID + '[record]\nactivations = "never"\n',
}
OTHER = (
    "[fixed]\nlearning_rate = 0.02\n",
    '[fixed]\nskip = "residual"\n',
    '[fixed]\ninitializer = { level = "orthogonal", gain = 1.5 }\n',
)


def test_a_key_is_what_the_levels_mean_not_how_they_are_written(plan: PlanOf) -> None:
    hashes = _hashes(plan(GRID))
    for how, same in SAME.items():
        assert _hashes(plan(same)) == hashes, how
    for fixed in OTHER:
        assert not hashes & _hashes(plan(GRID + fixed)), fixed
    for body in ("learning_rate = [%s]\n", 'initializer = [{ level = "orthogonal", gain = %s }]\n'):
        assert _keys(plan("[factors]\n" + body % "2")) == _keys(plan("[factors]\n" + body % "2.0"))


def test_a_new_factor_that_is_absent_renames_no_run(plan: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [run.run_id for run in plan(GRID).runs]
    levels = (Level("none", "Nothing.", "Baseline"), Level("half", "Half.", "Nobody 2000"))
    noise = Factor("noise", "What is added to the inputs.", Place.RUN, default="none", levels=levels)
    monkeypatch.setitem(FACTORS, "noise", noise)
    assert [run.run_id for run in plan(GRID).runs] == before
    assert [run.run_id for run in plan(GRID + '[fixed]\nnoise = "half"\n').runs] != before


def test_keys_are_short_and_safe_as_file_names(plan: PlanOf) -> None:
    long = "mine." + "very_" * 40 + "long:Name"
    body = f'[factors]\nactivation = ["{long}", "relu"]\ninitializer = [{{ level = "{long}", odd = "a/b\\\\c d" }}]\n'
    made = plan(body)
    for name in [run.run_id for run in made.runs] + [cohort.key for cohort in made.cohorts]:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name)
        assert len(name) <= 120
    assert len({run.run_id for run in made.runs}) == 2


def test_a_cohort_holds_the_runs_of_one_structure(plan: PlanOf) -> None:
    made = plan(GRID, replicates=3)
    assert len(made.cohorts) == 4
    for cohort in made.cohorts:
        assert len(cohort.runs) == 2 * 3
        assert set(cohort.structure) == {name for name, factor in FACTORS.items() if factor.place is Place.GRAPH}
        for run in cohort.runs:
            assert {name: run.choices[name] for name in cohort.structure} == cohort.structure
    together = [run.run_id for cohort in made.cohorts for run in cohort.runs]
    assert sorted(together) == sorted(run.run_id for run in made.runs)


def test_cohorts_come_longest_first(plan: PlanOf) -> None:
    cohorts = plan('[factors]\ndepth = [2, 32, 8]\nactivation = ["relu", "tanh"]\n').cohorts
    seconds = [estimate_seconds(cohort) for cohort in cohorts]
    assert seconds == sorted(seconds, reverse=True)
    assert [cohort.structure["depth"].value for cohort in cohorts] == [32, 32, 8, 8, 2, 2]


ONE = "[factors]\nlearning_rate = [0.1]\n"
RATES = f"[factors]\nlearning_rate = {[round(0.001 * step, 3) for step in range(1, 151)]}\n"


@pytest.mark.parametrize(
    ("fixed", "sizes"),
    [
        ("width = 16", [100, 100, 100]),  # 300 runs, at most 128 together
        ("width = 4096\ndepth = 20", [1] * 300),  # one run alone is over the limit
    ],
)
def test_a_large_cohort_splits_into_as_few_equal_parts_as_fit(plan: PlanOf, fixed: str, sizes: list[int]) -> None:
    made = plan(RATES + f"[fixed]\n{fixed}\n", replicates=2)
    assert [len(cohort.runs) for cohort in made.cohorts] == sizes
    assert len({cohort.key for cohort in made.cohorts}) == len(sizes)


def test_memory_splits_before_the_cap_does(plan: PlanOf) -> None:
    made = plan(RATES + "[fixed]\nwidth = 512\ndepth = 16\n", replicates=2)
    sizes = [len(cohort.runs) for cohort in made.cohorts]
    numbers = 512 * (64 + 15 * 512 + 10)
    floats = 4 * numbers + 8 * 64 * 512 * 16
    most = COHORT_BYTES // (4 * floats)
    assert 1 < most < MAX_COHORT_RUNS
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-300 // most)


@pytest.mark.parametrize(
    ("batch", "record", "numbers"),
    [
        (16, "", 2**14 * 32 * (2 * 4 + 1)),  # a look at activations takes so many samples times steps of any length
        (16, 'activations = "never"\n', 16 * 200 * 32 * (3 * 4 + 1)),
        (256, "", 256 * 200 * 32 * (3 * 4 + 1)),
    ],
)
def test_recurrent_memory_is_that_of_a_step_or_of_a_look(plan: PlanOf, batch: int, record: str, numbers: int) -> None:
    fixed = f'architecture = "recurrent"\ncell = "lstm"\nwidth = 32\ndepth = 1\nbatch_size = {batch}\n'
    body = f'{ONE}[fixed]\n{fixed}dataset = {{ level = "recall", length = 200 }}\n[record]\n{record}'
    one = plan(body, replicates=32).cohorts[0]
    weights = 4 * 32 * (10 + 32) + 32 * 8
    data = 3 * 4 * (10_000 + 1024) * 200 * 10
    held = 2 * len(one.runs) * 4 * (4 * weights + numbers)
    assert planning.estimate_memory(one) == 800 * 2**20 + held + data


@pytest.mark.parametrize(
    ("fixed", "weights", "copies", "of_sample"),
    [
        ("depth = 3", 32 * (64 + 2 * 32 + 10), 4, 4 * 3 * 32 * 3),
        ('depth = 3\nprecision = "mixed_float16"', 32 * (64 + 2 * 32 + 10), 5, 2 * 3 * 32 * 3),
        ('depth = 3\narchitecture = "conv"', 9 * 32 * (1 + 2 * 32) + 320, 4, 4 * 3 * 64 * 32 * 3),
    ],
)
def test_memory_is_of_the_units_that_were_measured_to_be_held(
    plan: PlanOf, fixed: str, weights: int, copies: int, of_sample: int
) -> None:
    (one,) = plan(f"{ONE}[fixed]\n{fixed}\nwidth = 32\nbatch_size = 512\n", replicates=8).cohorts
    held = 2 * 8 * (4 * copies * weights + 512 * of_sample)
    data = 3 * 4 * 1438 * 64
    assert planning.estimate_memory(one) == 800 * 2**20 + held + data


def test_evaluations_of_long_sequences_are_counted(plan: PlanOf) -> None:
    fixed = 'architecture = "recurrent"\ncell = "gru"\nwidth = 16\ndepth = 1\nbatch_size = 2\n'
    body = f'{ONE}[fixed]\n{fixed}dataset = {{ level = "recall", length = 1000 }}\n[record]\nactivations = "never"\n'
    short, many = (plan(body, replicates=runs).cohorts[0] for runs in (1, 100))
    held = [planning.estimate_memory(each) - planning.estimate_memory(short) for each in (short, many)]
    assert held[1] == 4 * 3 * 1000 * 3 * 16 * (100 * 32 - 2**24 // (1000 * 3 * 16))  # no fewer than 32 samples of each


def test_a_cohort_key_changes_with_its_runs_and_with_what_is_recorded(plan: PlanOf) -> None:
    keys = [cohort.key for cohort in plan(GRID).cohorts]
    assert [cohort.key for cohort in plan(GRID).cohorts] == keys
    assert not set(keys) & {cohort.key for cohort in plan(GRID, replicates=2).cohorts}
    assert not set(keys) & {cohort.key for cohort in plan(GRID + '[record]\nactivations = "never"\n').cohorts}


def test_schedules_follow_the_steps_of_the_cohort(plan: PlanOf) -> None:
    cohorts = plan("[factors]\nsteps = [10, 40]\n").cohorts
    assert [cohort.schedules["loss_curves"][-1] for cohort in cohorts] == [39, 9]
    assert [cohort.schedules["evaluations"][-1] for cohort in cohorts] == [40, 10]


def test_estimated_rows_and_bytes(plan: PlanOf) -> None:
    body = "[factors]\ndepth = [3]\n[fixed]\nsteps = 10\n[record]\n"
    body += 'gradient_norms = { at = [0, 5] }\nactivations = "every_step"\nevaluations = { at = ["last"] }\n'
    (cohort,) = plan(body, replicates=2).cohorts
    rows = planning.estimate_rows(cohort)
    assert rows == {
        "runs": 2, "gradient_norms": 2 * 2 * 4, "activations": 2 * 11 * 3, "time_gradients": 0,
            "attention": 0, "positions": 0,
        "parameter_groups": 0, "loss_curves": 2 * 10,
        "evaluations": 2 * 1 * 2, "divergence_events": 0, "timings": 1,
    }  # fmt: skip
    assert set(rows) == set(TABLES)
    (larger,) = plan(body, replicates=20).cohorts
    assert planning.estimate_bytes(larger) > planning.estimate_bytes(cohort) > 0


def test_estimated_seconds_grow_with_the_work(plan: PlanOf) -> None:
    def seconds(fixed: str, replicates: int = 1) -> float:
        (cohort,) = plan(f"[factors]\ndepth = [8]\n[fixed]\n{fixed}\n", replicates=replicates).cohorts
        return estimate_seconds(cohort)

    least = seconds("width = 256")
    assert all(more > least for more in (seconds("width = 512"), seconds("width = 256", 4)))
    assert all(more > least for more in (seconds("width = 256\nsteps = 400"), seconds("width = 256\nbatch_size = 128")))


@pytest.mark.full
def test_a_hundred_thousand_runs_are_planned_in_seconds(plan: PlanOf) -> None:
    widths, rates = list(range(8, 108)), [0.001 * step for step in range(1, 101)]
    body = (
        f"[factors]\nwidth = {widths}\nlearning_rate = {rates}\nactivation = ['relu', 'tanh', 'elu', 'selu', 'mish']\n"
    )
    body += "[[exclude]]\nwidth = 9\n[[include]]\nwidth = 9\n"
    start = time.process_time()
    made = plan(body, replicates=2)
    assert len(made.runs) == 100_000
    assert time.process_time() - start < 30  # of the processor; it takes 2 or 3, a quadratic step minutes


def test_a_long_name_is_shortened_by_whole_words(plan: PlanOf) -> None:
    body = """
[factors]
steps = [8, 800]
[fixed]
initializer = { level = "random_normal", stddev = 0.1 }
bias_initializer = { level = "normal", stddev = 1.0 }
learning_rate = 3.0
width = 30
batch_size = 10
"""
    short = "d4-w30-relu-random_normal_stddev_0.1-normal_stddev_1-lr3-b10-s8"
    assert [key.rpartition("-")[0] for key in _keys(plan(body))] == [short, short + "00"]
    longer = body.replace("random_normal", "truncated_normal").replace("3.0", "0.3")
    longer = longer.replace("[fixed]", '[fixed]\ndataset = "mnist1d"\nclipping = { level = "norm", threshold = 0.5 }')
    cut = "mnist1d-d4-w30-relu-truncated_normal_stddev_0.1-normal_stddev_1"
    assert [key.rpartition("-")[0] for key in _keys(plan(longer))] == [cut, cut]


def test_no_worker_waits_at_the_end_of_the_default_suite() -> None:
    costs = [estimate_seconds(cohort) for cohort in make_plan(load_suite(SHIPPED / "default.toml")).cohorts]
    assert makespan(costs, [0.0] * 2) < 1.05 * sum(costs) / 2
    assert makespan([3.0, 1.0, 1.0, 1.0], [0.0, 0.5]) == 3.5
    assert makespan([3.0], [1.0, 0.0]) == 3.0


# Of one machine, shared with other work: its rates, and the processor's seconds that some cohorts took on it.
CLASSIC = Path(__file__).with_name("grid.toml")
RECORDED = Rates(4.0, 1.362, 1.637e-3, 7.46e10, 9.53e8)
TOOK = {
    "d16-gelu-layer_normalization": 24.0, "d32-tanh-momentum": 19.6, "d16-sigmoid-momentum": 11.9,
    "d4-sigmoid-batch_normalization": 7.5, "d4-relu-momentum": 4.4,
}  # fmt: skip


def test_estimated_seconds_are_right_within_one_and_a_half(plan: PlanOf) -> None:
    planned = make_plan(load_suite(CLASSIC)).cohorts
    found = {start: estimate_seconds(c, RECORDED) for start in TOOK for c in planned if c.key.startswith(start)}
    assert sum(TOOK.values()) / 1.5 < sum(found.values()) < 1.5 * sum(TOOK.values())
    for start, took in TOOK.items():
        assert took / 1.5 < found[start] < 1.5 * took, start
    # Two runs of one and two layers are dispatching alone: the plan once said 6 s of what took 59.
    long = plan("[factors]\ndepth = [1, 2]\n[fixed]\nsteps = 2000\n", replicates=2).cohorts
    rates = Rates(4.0, 1.306, 2.894e-3, 6.39e10, 7.8e8)
    assert 12.8 / 1.5 < sum(estimate_seconds(cohort, rates) for cohort in long) < 1.5 * 12.8


# The processor's seconds of recurrent cohorts, from the first call, plain step, measured step, evaluation and look at
# activations of each, timed one by one on another day: (cell, time steps, width, runs, batch) to 300 steps of a suite.
IN_TIME = Rates(5.0, 0.92, 1.256e-3, 8.07e10, 1.06e9)
TOOK_IN_TIME = {
    ("simple", 50, 32, 24, 32): 9.5, ("lstm", 20, 16, 6, 32): 4.1, ("lstm", 50, 32, 24, 32): 27.6,
    ("gru", 200, 32, 12, 32): 37.1, ("gru", 50, 64, 24, 64): 75.4, ("lstm", 50, 64, 24, 64): 87.7,
}  # fmt: skip


@pytest.mark.parametrize("sizes", TOOK_IN_TIME)
def test_estimated_seconds_of_recurrent_cohorts_are_too(plan: PlanOf, sizes: tuple[str, int, int, int, int]) -> None:
    cell, length, width, runs, batch = sizes
    (cohort,) = plan(
        f'[factors]\ncell = ["{cell}"]\n[fixed]\narchitecture = "recurrent"\nwidth = {width}\ndepth = 1\nsteps = 300\n'
        f'batch_size = {batch}\noptimizer = "momentum"\ndataset = {{ level = "recall", length = {length} }}\n',
        replicates=runs,
    ).cohorts
    found = estimate_seconds(cohort, IN_TIME)
    assert TOOK_IN_TIME[sizes] / 1.5 < found < 1.5 * TOOK_IN_TIME[sizes]


# The processor's seconds of an evaluation and of a look at activations, 1,000 time steps: (task, cell, width, runs).
# An evaluation takes its samples in 6, 48, 3 and 18 parts; copy_memory answers at each step. Plans said 0.2 to 0.9
# of it before parts and answers counted.
LONG = Rates(6.66, 0.855, 1.167e-3, 8.92e10, 1.307e9)
TOOK_LONG = {
    ("recall", "simple", 16, 4): (0.44, 0.042), ("recall", "lstm", 32, 8): (4.6, 0.173),
    ("copy_memory", "gru", 8, 1): (0.57, 0.062), ("copy_memory", "simple", 32, 6): (2.9, 0.089),
}  # fmt: skip


@pytest.mark.parametrize("sizes", TOOK_LONG)
def test_estimated_seconds_of_measuring_long_sequences_are_right_within_two(
    plan: PlanOf, sizes: tuple[str, str, int, int]
) -> None:
    task, cell, width, runs = sizes
    length = "delay = 980" if task == "copy_memory" else "length = 1000"
    (cohort,) = plan(
        f'[factors]\ncell = ["{cell}"]\n[fixed]\narchitecture = "recurrent"\nwidth = {width}\ndepth = 1\n'
        f'dataset = {{ level = "{task}", {length} }}\n',
        replicates=runs,
    ).cohorts
    evaluation, look = TOOK_LONG[sizes]
    recorded = Estimate.of(cohort, LONG).recorded
    assert evaluation / 1.5 < recorded["evaluations"] < 1.5 * evaluation
    assert look / 2 < recorded["activations"] < 2 * look
