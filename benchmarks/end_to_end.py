"""A whole suite by `bench run`, report included, and by a plain Keras loop, one run after the other."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.executors.local import default_workers
from bench.plan import make_plan
from bench.results import read_tables
from bench.suite import load_suite
from benchmarks.command import BENCH, spent

REPEATS = 2
COHORTS = """
[suite]
name = "{name}"
question = "How long do two cohorts take?"
replicates = 8

[factors]
{two} = {levels}
learning_rate = [0.001, 0.003, 0.01]

[fixed]
{network}
steps = 300
clipping = {{ level = "global_norm", threshold = 1.0 }}
"""
OPTIMIZERS = {"two": "optimizer", "levels": '["momentum", "adam"]'}  # a cohort each
CELLS = """architecture = "recurrent"
cell = "{name}"
dataset = {{ level = "recall", length = 50 }}
depth = 1
width = 32
batch_size = 32"""
CONVOLUTIONS = """architecture = "conv"
depth = 8
width = 8
activation = "relu"
initializer = "he_normal"
batch_size = 32"""
TRANSFORMERS = """architecture = "transformer"
dataset = { level = "reverse", length = 16, symbols = 16 }
depth = 4
width = 32
heads = 4
optimizer = "adam"
batch_size = 16"""
NETWORKS = {
    "conv": OPTIMIZERS | {"network": CONVOLUTIONS},
    "transformer": {"two": "block", "levels": '["pre_norm", "post_norm"]', "network": TRANSFORMERS},
}
PARTS = {
    "building": "build_seconds",
    "tracing": "trace_seconds",
    "training": "train_seconds",
    "evaluating": "measure_seconds",
}


def cohorts_suite(cell: str, onednn: str) -> list[dict[str, Any]]:
    """Rows of two cohorts of 24 networks, 300 steps: recurrent ones of 50 time steps, transformers of 4 blocks,
    or 8 convolutions of 8 filters.

    The loop writes no report either.
    """
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "cohorts.toml"
        suite.write_text(_suite_of(cell), encoding="utf-8")
        rows = whole_suite(suite, onednn, "--no-report")
    return [each | {"heat": "cohorts", "cell": cell} for each in rows if each["heat"] == "suite"]


def _suite_of(name: str) -> str:
    """The suite of two cohorts of an architecture, or of recurrent networks of a cell."""
    return COHORTS.format(name=name, **NETWORKS.get(name, OPTIMIZERS | {"network": CELLS.format(name=name)}))


def whole_suite(suite: Path, onednn: str, *options: str) -> list[dict[str, Any]]:
    """Rows of both, in turn; `options` are more of the command's.

    Runs that share a structure cost the same, so one of each is timed in the loop and counted as often as its cohort
    has runs. The heat `suite` has the whole and its parts in seconds (of the command's, summed over its workers), the
    heat `structures` what a structure's runs took; the command's rest, imports and report, is shared out evenly.
    """
    cohorts = {cohort.key: cohort for cohort in make_plan(load_suite(suite)).cohorts}
    workers = min(default_workers(), len(cohorts))
    rows = []
    for repeat in range(1, REPEATS + 1):
        with tempfile.TemporaryDirectory() as folder:
            command = spent(
                [*BENCH, "run", str(suite), "--out", f"{folder}/results", "--fresh", *options], onednn=onednn
            )
            times = read_tables(Path(folder) / "results")["timings"].set_index("cohort")[list(PARTS.values())]
            found = Path(folder) / "clocks.json"
            spent([sys.executable, "-m", "benchmarks.keras_loop", str(suite), str(found)], onednn=onednn)
            clocks = dict(zip(cohorts, json.loads(found.read_text(encoding="utf-8")), strict=True))
        rest = (command.wall * workers - times.to_numpy().sum()) / len(cohorts)
        loop = {key: len(cohort.runs) * clocks[key]["total"] for key, cohort in cohorts.items()}
        names = {"heat": "suite", "form": "", "onednn": onednn, "round": repeat, "kind": "seconds"}
        rows.append(names | {"contestant": "bench run", "value": command.wall})
        rows.append(names | {"contestant": "Keras loop", "value": sum(loop.values())})
        for part, column in PARTS.items():
            rows.append(names | {"contestant": "bench run", "kind": part, "value": float(times[column].sum())})
        for key, cohort in cohorts.items():
            network = {name: cohort.structure[name] for name in ("depth", "width", "normalization")}
            named = names | {name: choice.value or choice.name for name, choice in network.items()}
            named |= {"heat": "structures", "runs": len(cohort.runs)}
            took = float(times.loc[key].sum() + rest) / workers
            rows.append(named | {"contestant": "bench run", "value": took})
            rows.append(named | {"contestant": "Keras loop", "value": loop[key]})
    return rows
