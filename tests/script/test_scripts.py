"""Scripts of runs train alone, where the project is not installed, as the runs were recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.engine.rounding import steady_steps
from bench.plan import Cohort
from bench.script import Recorded, script_of
from bench.script.recorded import CHECKED, FURTHER
from tests.cohorts import cohorts
from tests.script.cases import DENSE, RECURRENT
from tests.script.scripts import INSTALLED, RECORD, imported, recorded, run_alone, run_here, write

MOST_LINES, LONGEST = 120, 100  # of a common run

ONE = (
    'activation = ["tanh"]\ndepth = [2]\noptimizer = ["adam"]\ndropout = [0.2]\n'
    'clipping = [{ level = "global_norm", threshold = 0.1 }]'
)
COMMON = [
    'activation = ["relu"]\ndepth = [16]\nclipping = ["global_norm"]',
    'architecture = ["conv"]\ndepth = [12]',
    'cell = ["lstm"]\ndepth = [3]\ndirection = ["bidirectional"]',
    'architecture = ["transformer"]\ndepth = [4]\nwidth = [32]\ndataset = ["reverse"]\nclipping = ["global_norm"]',
]
MORE = [
    'cell = ["simple"]\ndepth = [2]\ndataset = [{ level = "recall", length = 5, rows = 200 }]',
    'cell = ["lstm"]\ndepth = [1]\ndataset = [{ level = "sort", length = 4, rows = 200 }]',
]


def recorded_cases(cases: list[str]) -> list[Recorded]:
    """The runs of all cases, trained."""
    return [run for case in cases for cohort in cohorts_of(case) for run in recorded(cohort)]


def cohorts_of(case: str) -> tuple[Cohort, ...]:
    given = {line.partition(" = ")[0] for line in case.splitlines()}
    base = RECURRENT if "cell" in given else DENSE
    return cohorts(
        case, "\n".join(f"{name} = {value}" for name, value in base.items() if name not in given), record=RECORD
    )


@pytest.mark.parametrize(
    ("where", "cases"), [(run_here, [ONE]), pytest.param(run_alone, [ONE, *MORE], marks=pytest.mark.full)]
)
def test_scripts_train_as_recorded(where: Callable[..., Any], cases: list[str], tmp_path: Path) -> None:
    runs = recorded_cases(cases)
    scripts = [script_of(run) for run in runs]
    altered = replace(runs[0], losses=dict(runs[0].losses) | {3: runs[0].losses[3] * 1.001})
    paths = write(tmp_path, [*scripts, script_of(altered)])
    *found, noticed = where(paths).values()
    for run, script, (code, said) in zip(runs, scripts, found, strict=True):
        assert code == 0, f"{run.run.run_id}\n{said}"
        assert imported(script) <= {*INSTALLED}
        lines = script.text.splitlines()
        assert len(lines) <= MOST_LINES and max(map(len, lines)) <= LONGEST
    assert noticed[0] == 1 and "1.0e-03" in noticed[1]


@pytest.mark.parametrize("case", COMMON)
def test_a_common_run_takes_few_lines(case: str) -> None:
    losses = dict.fromkeys((*range(CHECKED), *range(100, 100 + FURTHER)), 2.3412345)
    (cohort,) = cohorts_of(case)
    lines = script_of(Recorded(cohort.runs[0], "t", losses, dict.fromkeys(INSTALLED, "3.15.1"))).text.splitlines()
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= LONGEST, len(lines)


@pytest.mark.full
def test_rounding_decides_soon_where_gradients_explode() -> None:
    fixed = {**DENSE, "depth": "12", "initializer": '"he_normal"', "width": "32", "optimizer": '"momentum"'}
    rules = "\n".join(f"{name} = {value}" for name, value in fixed.items())
    runs = [
        cohort.runs[0] for cohort in cohorts('normalization = ["none", "batch_normalization"]', rules, record=RECORD)
    ]
    steady = {run.choices["normalization"].name: steady_steps(run, 20) for run in runs}
    assert 3 < steady["batch_normalization"] < steady["none"] == 20
