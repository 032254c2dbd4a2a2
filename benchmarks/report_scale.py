"""How large a report can be: `python -m benchmarks.report_scale [--repeats N] [--largest RUNS]`.

Dry results of 1,250 to 10,000 runs of 32 layers, gradient norms and activations at 40 steps and evaluations at 20, with
noise on every number, then `bench report` on each as a process of its own. Each size doubles the one before it by one
more factor or by twice the levels of one, as suites grow; replicates stay five.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from bench.environment import machine
from benchmarks.command import BENCH, Spent, markdown, middle, spent
from benchmarks.noise import add_noise

SMALLEST = 1250
NORMALIZATIONS = ("none", "batch_normalization", "layer_normalization", "rms_normalization")
DOUBLED = (
    f"normalization = {list(NORMALIZATIONS)}",
    'clipping = ["none", "global_norm"]',
    'skip = ["none", "residual"]',
)
SUITE = """
[suite]
name = "scale"
question = "How large can a report be?"
replicates = 5

[factors]
activation = ["sigmoid", "tanh", "relu", "gelu", "elu"]
initializer = [
  "random_normal", {{ level = "random_normal", stddev = 0.3 }}, "glorot_uniform", "he_normal", "orthogonal",
]
learning_rate = [0.003, 0.01, 0.03, 0.1, 0.3]
{more}

[fixed]
depth = 32
steps = 400

[record]
gradient_norms = {{ log_spaced = 40 }}
activations = {{ log_spaced = 40 }}
evaluations = {{ log_spaced = 20 }}
"""
MOST_SECONDS, MOST_BYTES = 60, 10e6  # what the largest report may take


@dataclass(frozen=True)
class Sized:
    """One size: its runs, the rows of all its tables, what `bench report` took, and the page's bytes."""

    runs: int
    rows: int
    spent: Spent
    page: int


def suite_text(doublings: int) -> str:
    """The suite of 1,250 runs, doubled so many times, at most three."""
    more = list(DOUBLED[:doublings]) or [f"normalization = {list(NORMALIZATIONS[:2])}"]
    return SUITE.format(more="\n".join(more))


def measure_size(doublings: int, repeats: int) -> Sized:
    """Make the results of one size in a folder that is thrown away, and time their report."""
    with tempfile.TemporaryDirectory() as folder:
        suite, results = Path(folder) / "scale.toml", Path(folder) / "results"
        suite.write_text(suite_text(doublings), encoding="utf-8")
        spent([*BENCH, "run", str(suite), "--dry", "--no-report", "--out", str(results)])
        add_noise(results)
        times = middle([spent([*BENCH, "report", str(results)]) for _ in range(repeats)])
        return Sized(_rows(results, "runs"), _rows(results, "*"), times, (results / "index.html").stat().st_size)


def summary(sizes: list[Sized]) -> str:
    """The table, how time grew, and whether the largest size stays within its bounds."""
    header = ("runs", "rows of all tables", "time", "CPU", "CPU, times the row above", "memory", "page")
    rows = []
    for before, size in zip([None, *sizes[:-1]], sizes, strict=True):
        grown = f"{size.spent.cpu / before.spent.cpu:.2f}" if before else ""
        rows.append(
            (
                f"{size.runs:,}",
                f"{size.rows / 1e6:.2f} million",
                f"{size.spent.wall:.1f} s",
                f"{size.spent.cpu:.1f} s",
                grown,
                f"{size.spent.memory / 1e9:.2f} GB",
                f"{size.page / 1e6:.2f} MB",
            )
        )
    return "\n\n".join([markdown(header, rows), _growth(sizes), _within(sizes[-1])])


def _growth(sizes: list[Sized]) -> str:
    """Whether each further run costs the same: the CPU seconds of a thousand more runs, from size to size."""
    if len(sizes) < 2:
        return ""
    pairs = pairwise(sizes)
    further = [1000 * (b.spent.cpu - a.spent.cpu) / (b.runs - a.runs) for a, b in pairs]
    return f"CPU seconds for a thousand further runs: {', '.join(f'{each:.2f}' for each in further)} (equal: linear)."


def _within(size: Sized) -> str:
    ok = size.spent.wall < MOST_SECONDS and size.page < MOST_BYTES
    bounds = f"{MOST_SECONDS} s and {MOST_BYTES / 1e6:.0f} MB"
    return f"{size.runs:,} runs: {'within' if ok else 'NOT within'} {bounds}."


def _rows(results: Path, table: str) -> int:
    paths = (results / "tables").glob(f"{table}/*.parquet")
    return int(sum(pq.read_metadata(path).num_rows for path in paths))


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_scale", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="reports of each size; the median counts; default 3")
    parser.add_argument("--largest", type=int, default=SMALLEST * 2 ** len(DOUBLED), help="runs; default 10000")
    arguments = parser.parse_args()
    sizes = []
    for doublings in range(len(DOUBLED) + 1):
        runs = SMALLEST * 2**doublings
        if not sizes or runs <= arguments.largest:
            print(f"measuring the report of {runs:,} runs", file=sys.stderr, flush=True)
            sizes.append(measure_size(doublings, arguments.repeats))
    print(f"{machine()['processor']}, {machine()['cores']} cores\n\n{summary(sizes)}")


if __name__ == "__main__":
    main()
