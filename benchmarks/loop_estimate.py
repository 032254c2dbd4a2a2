"""What the plain Keras loop would take for a whole suite, from one timed run of each structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.plan import Cohort
from benchmarks.process import environment, measure

SPREAD_RUNS = 4  # runs of one structure that are timed to see that they cost the same
WAYS = {
    "with neither XLA nor Model.evaluate": {"jit": False, "evaluate": False},
    "with XLA": {"jit": True, "evaluate": False},
    "with Model.evaluate": {"jit": False, "evaluate": True},
}

Pair = tuple[int, int]  # a cohort's position in the plan, a run's position in the cohort


def estimate_loop(suite: Path, cohorts: Sequence[Cohort], repeats: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds for all runs, one after the other in one process.

    Runs that share a structure cost the same (`spread` shows how much so), so one run of each is timed and counted as
    often as its cohort has runs. Three structures, end to end, show which way to write the loop is the quickest.
    """
    last = len(cohorts) - 1
    few = [(position, 0) for position in dict.fromkeys((0, last // 2, last))]
    ways = {}
    for name, options in WAYS.items():
        say(f"the Keras loop, {name}")
        ways[name] = sum(_time(suite, few, options)["seconds"])
    best = min(ways, key=ways.__getitem__)
    options = WAYS[best]
    say("the Keras loop on several runs of one structure")
    count = len(cohorts[last // 2].runs)
    several = [(last // 2, index * count // SPREAD_RUNS) for index in range(min(SPREAD_RUNS, count))]
    spread = _time(suite, several, options)["seconds"]
    found = []
    for repeat in range(repeats):
        say(f"the Keras loop on one run of each structure ({repeat + 1} of {repeats})")
        one_each = [(position, position % len(cohort.runs)) for position, cohort in enumerate(cohorts)]
        found.append(_time(suite, one_each, options))
    return {
        "way": best,
        "structures": [cohorts[position].key for position, _ in few],
        "ways_seconds": ways,
        "spread_seconds": spread,
        "by_structure": {
            cohort.key: {
                "runs": len(cohort.runs),
                "seconds": median(one["seconds"][position] for one in found),
                "first": median(one["first"][position] for one in found),
            }
            for position, cohort in enumerate(cohorts)
        },
        "seconds": [_total(one, cohorts) for one in found],
        "seconds_traced_once": [_total(one, cohorts, traced_once=True) for one in found],
        "import_seconds": [one["import_seconds"] for one in found],
    }


def _time(suite: Path, runs: Sequence[Pair], options: dict[str, bool]) -> dict[str, Any]:
    """Time some runs in one process. The last one is run once before, for what only a first run pays."""
    case = {"suite": str(suite), "runs": [runs[-1], *runs], "options": options}
    found = measure("keras_loop", case, environment())[0]
    return found | {"seconds": found["seconds"][1:], "first": found["first"][1:]}


def _total(found: dict[str, Any], cohorts: Sequence[Cohort], *, traced_once: bool = False) -> float:
    """Import, every run, and the files; with `traced_once` building and first calls only once for each structure."""
    runs = sum(len(cohort.runs) for cohort in cohorts)
    total = found["import_seconds"] + found["write_seconds"] * runs / (len(cohorts) + 1)
    for cohort, seconds, first in zip(cohorts, found["seconds"], found["first"], strict=True):
        again = len(cohort.runs) - 1
        total += seconds + again * (seconds - first if traced_once else seconds)
    return float(total)
