"""How long a suite takes on more workers, from what its cohorts took: `python -m benchmarks.makespan RESULTS`.

Of a suite file instead, from what the plan expects of them on the machine that orders it.

Cohorts go longest first to whichever worker is free, as the driver sends them. Prints a row for each number of workers:
the makespan, how many times faster than one worker that is, how much longer than if no worker waited for another and no
cohort were longer than the rest, and the same where every cohort is split, which trains the
same runs but builds and traces each part's graph anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench import plan
from bench.results import read_tables
from bench.suite import load_suite

WORKERS = (1, 2, 4, 8, 16, 32, 64)
PARTS = (1, 2, 4)
START_SECONDS = 5.0  # a worker's first import of TensorFlow


def main() -> None:
    """Print the table of one results folder or suite."""
    given = Path(sys.argv[1])
    timings = planned(given) if given.suffix == ".toml" else read_tables(given)["timings"]
    alone = makespan(costs(timings, 1), 1)
    for parts in PARTS:
        longest, total = max(costs(timings, parts)), sum(costs(timings, parts))
        print(f"\ncohorts in {parts} part(s): the longest takes {longest:.1f} s, all {total:.0f} s")
        print("| workers | seconds | times one worker | over the bound |\n|---|---|---|---|")
        for workers in WORKERS:
            seconds = makespan(costs(timings, parts), workers)
            bound = START_SECONDS + max(total / workers, longest)
            print(f"| {workers} | {seconds:.0f} | {alone / seconds:.1f} | {seconds / bound - 1:.1%} |")


def costs(timings: pd.DataFrame, parts: int) -> list[float]:
    """Seconds of every part where each cohort is split into so many, or into its runs if they are fewer."""
    fixed = timings["build_seconds"] + timings["trace_seconds"]
    shared = timings["train_seconds"] + timings["measure_seconds"]
    counts = timings["runs"].clip(upper=parts)
    pieces = (fixed + shared / counts).repeat(counts)
    return [float(seconds) for seconds in pieces]


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last worker ends, each starting at 0 with the import of TensorFlow; longest first (Graham 1969)."""
    return plan.makespan(sorted(seconds, reverse=True), [START_SECONDS] * workers)


def planned(suite: Path) -> pd.DataFrame:
    """What the plan expects of each cohort, as the table of timings would hold it."""
    estimates = [plan.Estimate.of(cohort, plan.REFERENCE) for cohort in plan.make_plan(load_suite(suite)).cohorts]
    return pd.DataFrame(
        {
            "runs": [len(each.cohort.runs) for each in estimates],
            "build_seconds": 0.0,
            "trace_seconds": [each.start for each in estimates],
            "train_seconds": [each.seconds() - each.start for each in estimates],
            "measure_seconds": 0.0,
        }
    )


if __name__ == "__main__":
    main()
