"""Suite files from a few levels, their cohorts, and what training them recorded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.plan import Cohort, make_plan
from bench.suite import load_suite

EVERY_STEP = """
[record]
gradient_norms = "every_step"
loss_curves = "every_step"
activations = "never"
evaluations = "never"
"""
PROBED = EVERY_STEP.replace('activations = "never"', "activations = { at = [0] }")
EVALUATED = PROBED.replace('"never"', '{ at = [0, "last"] }')


def suite_text(name: str, question: str, replicates: int, fixed: Mapping[str, object], **factors: list[Any]) -> str:
    """A suite file; a level with settings is a mapping."""
    suite = {"name": name, "question": question, "replicates": replicates}
    tables = {"suite": suite, "factors": factors, "fixed": fixed}
    return "".join(
        f"\n[{table}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in rows.items())
        for table, rows in tables.items()
    )


CLAIM = """
[[claims]]
id = "{name}"
statement = "{statement}"
source = "A paper."
paper = "{paper}"
differs = "Everything."
[claims.rule]
{rule}
"""


def claim_text(name: str, rule: str, statement: str = "It is so.", paper: str = "Its numbers.") -> str:
    """A claim at the end of a suite file."""
    return CLAIM.format(name=name, rule=rule, statement=statement, paper=paper)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


def cohorts(factors: str, fixed: str = "", replicates: int = 1, record: str = EVERY_STEP) -> tuple[Cohort, ...]:
    """The cohorts of a suite with these [factors] and [fixed] tables."""
    head = f'[suite]\nname = "t"\nquestion = "?"\nreplicates = {replicates}\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.toml"
        path.write_text(f"{head}[factors]\n{factors}\n[fixed]\n{fixed}\n{record}", encoding="utf-8")
        return make_plan(load_suite(path)).cohorts


def train(cohort: Cohort) -> dict[str, pd.DataFrame]:
    """All tables of a cohort as frames."""
    from bench.engine.train import train_cohort

    return {name: table.to_pandas() for name, table in train_cohort(cohort).items()}


def look(
    factors: str, fixed: str = "", replicates: int = 1, record: str = PROBED
) -> tuple[Any, dict[str, pd.DataFrame]]:
    """A suite's only cohort before its first step, and the tables of what is measured there without one."""
    from bench.engine.train import Training

    (cohort,) = cohorts(factors, fixed, replicates, record)
    training = Training(cohort)
    training._look(0)
    return training, {name: table.to_pandas() for name, table in training.recorder.tables().items()}


def of_run(tables: dict[str, pd.DataFrame], run_id: str) -> dict[str, Any]:
    """The rows of one run in each table that has runs."""
    return {name: frame[frame["run_id"] == run_id] for name, frame in tables.items() if "run_id" in frame}
