"""What the plain Keras loop would take for a whole suite, from one timed run of each structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.plan import Cohort
from benchmarks.process import environment, measure

SPREAD_RUNS = 3  # runs of one structure that are timed to see that they cost the same
PARTS = ("build", "first_step", "steps", "evaluations", "writing")
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
        "parts_seconds": {
            part: median(_part(one, part, cohorts) for one in found) for part in (*PARTS, "first_evaluation")
        },
        "import_seconds": [one["import_seconds"] for one in found],
    }


def _time(suite: Path, runs: Sequence[Pair], options: dict[str, bool]) -> dict[str, Any]:
    """Time some runs in one process."""
    case = {"suite": str(suite), "runs": list(runs), "options": options}
    found = measure("keras_loop", case, environment())[0]
    clocks = found["clocks"]
    return {
        "clocks": clocks,
        "seconds": [clock["total"] for clock in clocks],
        "first": [clock["build"] + clock["first_step"] + clock["first_evaluation"] for clock in clocks],
        "import_seconds": found["import_seconds"],
    }


def _part(found: dict[str, Any], part: str, cohorts: Sequence[Cohort]) -> float:
    """Seconds of all runs that went into one part."""
    clocks = zip(cohorts, found["clocks"], strict=True)
    return float(sum(len(cohort.runs) * clock[part] for cohort, clock in clocks))


def _total(found: dict[str, Any], cohorts: Sequence[Cohort], *, traced_once: bool = False) -> float:
    """Import and every run; with `traced_once` building and first calls only once for each structure."""
    total = found["import_seconds"]
    for cohort, seconds, first in zip(cohorts, found["seconds"], found["first"], strict=True):
        again = len(cohort.runs) - 1
        total += seconds + again * (seconds - first if traced_once else seconds)
    return float(total)
