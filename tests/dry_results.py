"""A suite's results made by formula, in memory: what the tests of analysis and report read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bench.engine.dry import train_cohort
from bench.plan import make_plan
from bench.results import Manifest
from bench.schema import TABLES
from bench.suite import Suite, load_suite
from tests.cohorts import suite_text

SMALL = suite_text(
    "small", "Which small networks keep their signal?", 3, {"steps": 60},
    depth=[2, 12, 40], activation=["sigmoid", "relu", "tanh"], initializer=["glorot_uniform", "he_normal"],
    normalization=["none", "batch_normalization"],
)  # fmt: skip

# Orthogonal with gain 1.5: 0.176 decades per layer, so depth 30 explodes (5.1 decades) and diverges unless clipped.
EXPLODING = suite_text(
    "exploding", "Does clipping rescue networks that explode?", 3, {"activation": "linear", "steps": 60},
    depth=[4, 30], initializer=["orthogonal", {"level": "orthogonal", "gain": 1.5}], clipping=["none", "global_norm"],
)  # fmt: skip

# One recurrent layer: what happens from layer to layer says nothing of it.
RECURRENT = suite_text(
    "recurrent", "Which cell recalls the first of 40 steps?", 3,
    {"architecture": "recurrent", "dataset": {"level": "recall", "length": 40}, "depth": 1, "steps": 60},
    cell=["lstm", "gru"], gate_bias=["unit_forget", "chrono"], learning_rate=[0.01, 10.0],
    clipping=["none", "global_norm"],
)  # fmt: skip

# Images of 8 x 8: what depth does without a skip connection, and what zeros take at their borders.
CONV = suite_text(
    "conv", "How deep do convolutions train without a skip connection?", 3,
    {"architecture": "conv", "width": 8, "activation": "relu", "initializer": "glorot_normal", "steps": 60},
    depth=[4, 30], skip=["none", "residual"], padding=["same", "circular"], learning_rate=[0.01, 0.1],
) + "[record]\npositions = { at = [0] }\n"  # fmt: skip

# Sequences to be reversed: no_norm with a large start explodes, whatever the warm-up.
TRANSFORMER = suite_text(
    "transformer", "Which block trains deep without a warm-up?", 3,
    {
        "architecture": "transformer", "dataset": {"level": "reverse", "length": 8, "symbols": 8}, "width": 8,
        "heads": 2, "activation": "linear", "initializer": {"level": "orthogonal", "gain": 1.7}, "steps": 60,
    },
    depth=[2, 16], block=["pre_norm", "no_norm"], warmup=["none", {"level": "linear", "steps": 10}],
    learning_rate=[0.01, 0.1],
) + "[record]\nattention = { log_spaced = 6 }\nparameter_groups = { at = [0] }\n"  # fmt: skip

# Three architectures on one page: what is said of each must be true of it.
MIXED = """
[suite]
name = "mixed"
question = "Which network learns from rows of digits?"
replicates = 3
[factors]
depth = [2, 12]
learning_rate = [0.01, 0.1]
[fixed]
dataset = "digits_rows"
width = 8
activation = "relu"
steps = 60
[[include]]
architecture = "conv"
skip = ["none", "residual"]
[[include]]
architecture = "transformer"
heads = 2
[record]
attention = { at = [0, 10, "last"] }
positions = { at = [0] }
"""


@dataclass(frozen=True)
class DryResults:
    """What a results folder would hold."""

    suite: Suite
    tables: dict[str, pd.DataFrame]
    manifest: Manifest


def dry_results(text: str) -> DryResults:
    """The tables and manifest of a suite given as TOML; made once, but what a test sets in them is its own."""
    made = _made(text)
    return replace(made, tables={name: frame.copy(deep=False) for name, frame in made.tables.items()})


@cache
def _made(text: str) -> DryResults:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "suite.toml"
        path.write_text(text, "utf-8")
        suite = load_suite(path)
    plan = make_plan(suite)
    parts = [train_cohort(cohort) for cohort in plan.cohorts]
    empty = {name: spec.arrow.empty_table() for name, spec in TABLES.items()}
    tables = {name: pa.concat_tables([(empty | part)[name] for part in parts]).to_pandas() for name in TABLES}
    manifest = replace(
        Manifest.of(suite, plan, command="bench run small.toml --dry"),
        sha256="0" * 64,
        versions={"python": "3.13.0", "keras": "3.15.1"},
        machine={"system": "Linux", "processors": 2},
        started="2026-01-01T00:00:00+00:00",
        ended="2026-01-01T00:01:00+00:00",
    )
    return DryResults(suite, tables, manifest)
