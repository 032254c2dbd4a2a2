"""Tables made of plain numbers, for claims whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import Measurements
from bench.analysis.claims import units
from bench.plan import make_plan
from bench.schema import TABLES
from bench.suite import Suite, parse_suite
from bench.suite.claims import Part
from tests.cohorts import claim_text

HEAD = """
[suite]
name = "planted"
question = "Is what is planted found?"
replicates = {replicates}

[factors]
{factors}

[fixed]
{fixed}
"""
PAIR = 'initializer = ["glorot_uniform", "he_normal"]'
SIDES = 'of = { initializer = "he_normal" }\nagainst = { initializer = "glorot_uniform" }\n'


def suite_of(factors: str, *rules: str, replicates: int = 5, fixed: str = "steps = 60") -> Suite:
    """A suite with a claim, named c0, c1, ..., of each rule."""
    claims = "".join(claim_text(f"c{place}", rule) for place, rule in enumerate(rules))
    head = HEAD.format(replicates=replicates, factors=factors, fixed=fixed)
    return parse_suite(head + claims, Path("planted.toml"))


def runs_of(suite: Suite, status: Callable[[Mapping[str, Any]], str] = lambda run: "completed") -> pd.DataFrame:
    """The `runs` table of a suite; `status` is asked with each row."""
    rows = []
    for run in make_plan(suite).runs:
        row = {name: getattr(run, name) for name in ("run_id", "cell_key", "replicate", "seed")}
        row |= {name: choice.column for name, choice in run.choices.items()}
        row |= {"suite": suite.name, "cohort": "all", "parameter_count": 1, "error": None}
        row["status"] = status(row)
        row["steps_completed"] = row["steps"] if row["status"] == "completed" else 3
        rows.append(row)
    return pd.DataFrame(rows)


def tables_of(runs: pd.DataFrame, **filled: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All tables: these runs, what is given, and the others without rows."""
    tables = {name: spec.arrow.empty_table().to_pandas() for name, spec in TABLES.items()}
    return tables | {"runs": runs} | filled


def run_numbers(tables: Mapping[str, pd.DataFrame], part: Part) -> pd.DataFrame:
    """The number of each run of these tables."""
    return units.run_numbers(Measurements(tables), part)


def units_of(tables: Mapping[str, pd.DataFrame], part: Part) -> units.Units:
    """What these tables make of a part."""
    return units.units_of(Measurements(tables), part)


def evaluations(runs: pd.DataFrame, accuracy: pd.Series | float, loss: pd.Series | float = 0.1) -> pd.DataFrame:
    """Accuracy and loss of both splits at the last step, and an untrained network's at step 0."""
    parts = []
    for split in ("train", "validation"):
        start = pd.DataFrame({"run_id": runs["run_id"], "step": 0, "split": split, "loss": 2.3, "accuracy": 0.1})
        end = {"run_id": runs["run_id"], "step": runs["steps"], "split": split, "loss": loss, "accuracy": accuracy}
        parts += [start, pd.DataFrame(end)]
    return pd.concat(parts, ignore_index=True)


def norms(runs: pd.DataFrame, norm: Callable[[Mapping[str, Any], int], float], step: int = 0) -> pd.DataFrame:
    """`gradient_norms` at a step: `norm` of each run and layer, the head included, in every column of norms."""
    rows = []
    for run in runs.to_dict("records"):
        for layer in range(int(run["depth"]) + 1):
            value = norm(run, layer)
            named = "head" if layer == run["depth"] else f"hidden_{layer}"
            rows.append(
                {"run_id": run["run_id"], "step": step, "layer_index": layer, "layer_name": named, "weight_count": 1}
                | dict.fromkeys(("preactivation_grad_norm", "weight_grad_norm", "weight_norm", "update_norm"), value)
            )
    return pd.DataFrame(rows)
