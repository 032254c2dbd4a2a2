"""Measure the engine against a plain Keras loop and a JAX `vmap`: `python -m benchmarks.speed [SUITE]`.

Every measurement has a process of its own, and they follow one another, but for layouts of two processes. The numbers
mean something only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import environment
from bench.plan import Cohort, make_plan
from bench.suite import load_suite
from benchmarks.end_to_end import run_command, train_in_layout
from benchmarks.loop_estimate import estimate_loop
from benchmarks.process import environment as surroundings
from benchmarks.process import measure
from benchmarks.summary import summarize

ENGINE_LAYOUTS = {"1 process x 1 thread": (1, 1), "1 process x 2 threads": (1, 2), "2 processes x 1 thread": (2, 1)}
VARIANTS = ("unrolled", "scan")
LAYOUT_SHARE = 6  # every sixth cohort is trained in both layouts


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    repeats: int
    rounds: int
    calls: int
    depths: tuple[int, ...]
    normalizations: tuple[str, ...] = ("none", "batch_normalization")

    def cases(self) -> list[dict[str, Any]]:
        """The cohorts whose steps are timed."""
        common = {"width": 64, "batch": 64, "runs": 18, "rounds": self.rounds, "calls": self.calls}
        return [
            {"depth": depth, "normalization": normalization} | common
            for depth in self.depths
            for normalization in self.normalizations
        ]


def main() -> None:
    """Measure, print, and write the numbers as JSON."""
    arguments = _parser().parse_args()
    quick = arguments.quick
    suite = arguments.suite or Path("suites/quick.toml" if quick else "suites/default.toml")
    effort = Effort(1, 3, 10, (16,)) if quick else Effort(arguments.repeats, 7, 20, (16, 48))
    found = measure_all(suite, effort)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(summarize(found))
    print(f"\n{arguments.out}")


def measure_all(suite: Path, effort: Effort) -> dict[str, Any]:
    """Everything, as plain data."""
    cohorts = make_plan(load_suite(suite)).cohorts
    found: dict[str, Any] = {
        "suite": str(suite),
        "runs": sum(len(cohort.runs) for cohort in cohorts),
        "cohorts": len(cohorts),
        "effort": asdict(effort),
        "machine": environment.machine(),
        "versions": environment.versions(),
    }
    _say("the machine")
    peak = measure("peak", {"size": 2048, "rounds": 5 * effort.rounds}, surroundings())
    found["peak_flops"] = median(peak[0]["flops"])
    found["steps"] = [_measure_steps(case) for case in effort.cases()]
    batch = {cohort.key: int(cohort.structure["batch_size"].value or 0) for cohort in cohorts}
    found["end_to_end"] = []
    for repeat in range(effort.repeats):
        _say(f"this engine, end to end ({repeat + 1} of {effort.repeats})")
        found["end_to_end"].append(asdict(run_command(suite, batch)))
    found["layouts"] = _measure_layouts(cohorts[::LAYOUT_SHARE], effort.repeats)
    found["loop"] = estimate_loop(suite, cohorts, effort.repeats, _say)
    return found


def _measure_steps(case: dict[str, Any]) -> dict[str, Any]:
    """One case's step times in every layout; None for JAX where it is not installed."""
    name = f"depth {case['depth']}, {case['normalization']}"
    engine, jax = {}, {}
    for layout, (copies, threads) in ENGINE_LAYOUTS.items():
        _say(f"a step of this engine: {name}, {layout}")
        engine[layout] = measure("cohort_step", case, surroundings(threads), copies)
    try:
        for variant in VARIANTS:
            for copies in (1, 2):
                _say(f"a step of JAX: {name}, {variant}, {copies} at once")
                found = measure("jax_vmap", case | {"variant": variant}, surroundings(), copies)
                jax[f"{variant}, {'1 process' if copies == 1 else '2 processes'}"] = found
    except RuntimeError as error:
        if "No module named 'jax'" not in str(error):
            raise
        _say("JAX is not installed: left out (the extra `speed` brings it)")
    return {"case": case, "engine": engine, "jax": jax or None}


def _measure_layouts(cohorts: tuple[Cohort, ...], repeats: int) -> dict[str, list[float]]:
    """Seconds for some cohorts with two cores shared out either way."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for layout, (workers, threads) in list(ENGINE_LAYOUTS.items())[1:]:
            _say(f"{len(cohorts)} cohorts in {layout}")
            found.setdefault(layout, []).append(train_in_layout(cohorts, workers, threads))
    return found


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("suite", type=Path, nargs="?", help="a suite file; default suites/default.toml")
    parser.add_argument("--repeats", type=int, default=3, help="processes per end-to-end measurement; default 3")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: to see that it works")
    parser.add_argument("--out", type=Path, default=Path("reports/speed.json"), help="default reports/speed.json")
    return parser


if __name__ == "__main__":
    main()
