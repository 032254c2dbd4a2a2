"""Scripts of runs train alone, where the project is not installed, as the runs were recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.script import Recorded, script_of
from tests.cohorts import cohorts
from tests.script.scripts import INSTALLED, imported, recorded, run_alone, run_here, write

RECORD = """[record]
gradient_norms = "never"
activations = "never"
evaluations = "never"
"""
MOST_LINES, LONGEST = 120, 100  # of a common run
DENSE = {"width": "8", "batch_size": "32", "learning_rate": "0.02", "steps": "20"}
RECURRENT = DENSE | {"architecture": '"recurrent"', "width": "6", "dataset": '"digits_rows"', "cell": '"simple"'}

# A case is a suite's [factors]; what they do not name is fixed as above. Few graphs hold all levels between them.
FEW = [
    'activation = ["tanh"]\ndepth = [2]\noptimizer = ["adam"]\ndropout = [0.2]\n'
    'clipping = [{ level = "global_norm", threshold = 0.1 }]',
    'cell = ["simple"]\ndepth = [2]\ndataset = [{ level = "recall", length = 5, rows = 200 }]',
]


def recorded_cases(cases: list[str]) -> list[Recorded]:
    """The runs of all cases, trained."""
    found: list[Recorded] = []
    for case in cases:
        given = {line.partition(" = ")[0] for line in case.splitlines()}
        base = RECURRENT if "cell" in given else DENSE
        fixed = "\n".join(f"{name} = {value}" for name, value in base.items() if name not in given)
        for cohort in cohorts(case, fixed, record=RECORD):
            found += recorded(cohort)
    return found


@pytest.mark.parametrize("where", [run_here, pytest.param(run_alone, marks=pytest.mark.full)])
def test_scripts_train_as_recorded(where: object, tmp_path: Path) -> None:
    runs = recorded_cases(FEW)
    scripts = [script_of(run) for run in runs]
    altered = replace(runs[0], losses=dict(runs[0].losses) | {3: runs[0].losses[3] * 1.001})
    paths = write(tmp_path, [*scripts, script_of(altered)])
    *found, noticed = where(paths).values()  # type: ignore[operator]
    for run, script, (code, said) in zip(runs, scripts, found, strict=True):
        assert code == 0, f"{run.run.run_id}\n{said}"
        assert imported(script) <= {*INSTALLED}
        lines = script.text.splitlines()
        assert len(lines) <= MOST_LINES and max(map(len, lines)) <= LONGEST
    assert noticed[0] == 1 and "1.0e-03" in noticed[1]
