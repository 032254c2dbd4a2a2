"""Where a drill happens: a suite, the tables of an undisturbed run, drivers to start and to compare."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from bench.commands.executor import Where
from bench.commands.run import Options, run_suite
from bench.errors import BenchError
from bench.executors.child import Answer, Status
from bench.executors.local import LocalExecutor
from bench.results import read_manifest, read_tables
from bench.suite import load_suite

DRY = """
[suite]
name = "drill"
question = "What is lost?"
replicates = 3

[factors]
depth = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
activation = ["relu", "tanh"]
clipping = ["none", "global_norm"]

[fixed]
width = 8
steps = 40
"""
SMALLER = "made smaller"  # what the manifest says of a cohort that was lost twice as for want of memory
POISON = "1e30"  # a rate
# What loses runs, and what stands in its place beside calm neighbours: rates, and a factor on attention.
CALMED = {POISON: "0.02", "10.0": "0.03", "600.0": "2.0"}
# Recurrent networks of every cell, some of which are lost on the way.
RECURRENT = f"""
[suite]
name = "drill"
question = "What is lost?"
replicates = 2

[factors]
cell = ["simple", "lstm", "gru"]
learning_rate = [0.01, {POISON}]
clipping = ["none", "global_norm"]

[fixed]
architecture = "recurrent"
dataset = {{ level = "recall", length = 40, rows = 500 }}
activation = "relu"
depth = 2
width = 8
batch_size = 16
steps = 30
"""
# Convolutions that are halved, at every position; most runs at the higher rates are lost.
CONV = f"""
[suite]
name = "drill"
question = "What is lost?"
replicates = 2

[factors]
depth = [3, 5]
precision = ["float32", {{ level = "mixed_float16", loss_scale = "none" }}]
learning_rate = [0.01, 10.0, {POISON}]
clipping = ["none", "global_norm"]

[fixed]
architecture = "conv"
dataset = "digits"
width = 4
skip = "residual"
normalization = "batch_normalization"
downsample = {{ level = "stride", every = 4 }}
batch_size = 16
steps = 30

[record]
positions = {{ log_spaced = 5 }}
"""
# Transformers, some of whose logits leave float16 at the start, and some of whose steps are skipped.
TRANSFORMER = f"""
[suite]
name = "drill"
question = "What is lost?"
replicates = 2

[factors]
block = ["pre_norm"]
precision = [
    "float32", {{ level = "mixed_float16", loss_scale = "none" }},
    {{ level = "mixed_float16", initial_scale = 4194304 }},
]
attention_gain = [1.0, 600.0]
learning_rate = [0.01, 10.0, {POISON}]

[fixed]
architecture = "transformer"
dataset = {{ level = "associative_recall", rows = 500 }}
depth = 2
width = 16
batch_size = 16
steps = 30

[record]
attention = {{ log_spaced = 5 }}
"""
# Networks of somebody's own, each run trained by itself; half of them are lost.
OWN = f"""
[suite]
name = "drill"
question = "What is lost?"
replicates = 1

[factors]
learning_rate = [0.05, {POISON}]
clipping = ["none", "global_norm"]

[fixed]
architecture = "benchmarks.drills.own_net:build"
dataset = "digits"
activation = "tanh"
depth = 2
width = 8
batch_size = 16
steps = 10
"""
FAMILIES = {"recurrent": RECURRENT, "conv": CONV, "transformer": TRANSFORMER, "own": OWN}
TRAINED = DRY.replace("[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]", "[2, 4, 6, 8]").replace("40", "20")
Process = subprocess.Popen[str]


@dataclass
class Scene:
    """A suite whose runs are disturbed; `trained` ones by TensorFlow, others by the dry engine made slow."""

    folder: Path
    trained: bool = False
    text: str = ""  # of another suite than the dry one
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    seconds: float = 0.0  # of the undisturbed run
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def suite(self) -> Path:
        """The suite's file."""
        return self.folder / "drill.toml"

    def prepare(self) -> Scene:
        """Run the suite undisturbed."""
        self.folder.mkdir(parents=True)
        self.suite.write_text(self.text or DRY, encoding="utf-8")
        began = time.monotonic()
        done = self.start(self.folder / "undisturbed")
        said = done.communicate()[1]
        if done.returncode:
            raise RuntimeError(said)
        self.seconds = time.monotonic() - began
        self.tables = read_tables(self.folder / "undisturbed")
        return self

    def start(self, out: Path, *options: str) -> Process:
        """A driver of two workers that writes to `out`."""
        module = ["bench"] if self.trained else ["benchmarks.drills.slow"]
        dry = [] if self.trained else ["--dry"]
        command = [sys.executable, "-m", *module, "run", str(self.suite), "--out", str(out), "--no-report"]
        heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell ignores it
        return subprocess.Popen(
            [*command, "--workers", "2", *dry, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heard,
        )

    def run_here(self, out: Path, only: str = "") -> None:
        """The same, but all in this process: quick, for the dry engine alone.

        Raises:
            BenchError: as `bench run` ends.
        """

        def call(_: LocalExecutor, target: str, argument: object, *__: object) -> Answer:
            module, _, name = target.partition(":")
            return Answer(Status.OK, getattr(importlib.import_module(module), name)(argument), seconds=1.0)

        with patch.object(LocalExecutor, "_call", call), contextlib.redirect_stderr(io.StringIO()):
            run_suite(load_suite(self.suite), Options(out, Where(workers=1), dry=True, only=only))

    def calm(self, folder: Path) -> Scene:
        """The same suite, but with nothing that loses runs."""
        text = self.text
        for poison, calm in CALMED.items():
            text = text.replace(poison, calm)
        return Scene(folder, trained=True, text=text).prepare()

    def wait(self) -> None:
        """Let a random part of the undisturbed run's time pass."""
        time.sleep(self.chance.uniform(0.0, self.seconds))

    def lost(self, out: Path) -> str:
        """What is missing or other than in the undisturbed run's tables, timings apart, after continuing."""
        said = self.start(out).communicate()[1]
        try:
            return self.differs(out)
        except BenchError as error:
            return f"{error} {said}"

    def differs(self, out: Path) -> str:
        """Which tables are other than the undisturbed run's, timings apart.

        Rows of runs whose cohort was made smaller, as where one is killed twice, may have other last digits.

        Raises:
            ResultsError: they cannot be read.
        """
        tables = read_tables(out)
        incidents = read_manifest(out).incidents
        rounded = {run for each in incidents if each["measure"] == SMALLER for run in each["runs"]}
        other = [name for name in tables if name != "timings" and not _equal(tables[name], self.tables[name], rounded)]
        return f"differs: {', '.join(other)}" if other else ""


def _equal(one: pd.DataFrame, other: pd.DataFrame, rounded: set[str]) -> bool:
    """Whether two tables are equal to the bit, those of some runs to 1e-6."""
    if not rounded or "run_id" not in one or len(one) != len(other):
        return one.equals(other)
    near = one["run_id"].isin(rounded).to_numpy()
    try:
        pd.testing.assert_frame_equal(one[near], other[near], rtol=1e-6, atol=1e-9)
    except AssertionError:
        return False
    return one[~near].equals(other[~near])


def workers(driver: Process) -> list[int]:
    """The process ids of a driver's workers."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == driver.pid and "bench.executors.worker" in row[2]]


def has_ended(process: int, seconds: float = 10.0) -> bool:
    """Whether a process is gone, or is within the given time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
