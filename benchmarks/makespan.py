"""How long a suite takes on more workers, from what its cohorts took: `python -m benchmarks.makespan RESULTS`.

Cohorts go longest first to whichever worker is free, as the driver sends them. Prints a row for each number of workers:
the makespan, how many times faster than one worker that is, and the same where every cohort is split, which trains the
same runs but builds and traces each part's graph anew.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench.results import read_tables

WORKERS = (1, 2, 4, 8, 16, 32, 64)
PARTS = (1, 2, 4)
START_SECONDS = 5.0  # a worker's first import of TensorFlow


def main() -> None:
    """Print the table of one results folder."""
    timings = read_tables(Path(sys.argv[1]))["timings"]
    alone = makespan(costs(timings, 1), 1)
    for parts in PARTS:
        longest = max(costs(timings, parts))
        print(
            f"\ncohorts in {parts} part(s): the longest takes {longest:.1f} s, all {sum(costs(timings, parts)):.0f} s"
        )
        print("| workers | seconds | times one worker |\n|---|---|---|")
        for workers in WORKERS:
            seconds = makespan(costs(timings, parts), workers)
            print(f"| {workers} | {seconds:.0f} | {alone / seconds:.1f} |")


def costs(timings: pd.DataFrame, parts: int) -> list[float]:
    """Seconds of every part where each cohort is split into so many, or into its runs if they are fewer."""
    fixed = timings["build_seconds"] + timings["trace_seconds"]
    shared = timings["train_seconds"] + timings["measure_seconds"]
    counts = timings["runs"].clip(upper=parts)
    pieces = (fixed + shared / counts).repeat(counts)
    return [float(seconds) for seconds in pieces]


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last worker ends, each starting at 0 with the import of TensorFlow; longest first (Graham 1969)."""
    free = [START_SECONDS] * workers
    for cost in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


if __name__ == "__main__":
    main()
