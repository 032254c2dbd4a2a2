"""A suite's runs, in order, and the cohorts in which they train."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from math import ceil, prod
from pathlib import Path

from bench.errors import DataError
from bench.factors import FACTORS, Choice, Costs, DatasetLevel, Place, choose, costs_of
from bench.suite import Cell, Suite

# The split of a structure's runs into cohorts is part of the plan: it depends on the suite alone, never on the
# machine, so that resumed results equal fresh ones.
COHORT_BYTES = 2**30  # estimated memory of a cohort at most
MAX_COHORT_RUNS = 128
WEIGHT_COPIES = 4  # weights, gradients and up to two optimizer slots
FLOAT_BYTES = 4
# A worker's peak beyond its arrays, and the arrays' beyond the estimate, as measured up to 1 GiB (docs/cluster.md).
WORKER_BYTES = 800 * 2**20
ARRAYS_FACTOR = 2
UNKNOWN_FEATURES = 784  # of a dataset that only the data can describe: taken as large as an MNIST image
UNKNOWN_CLASSES = 10

# Seconds of one worker with one thread, as measured at depths 4 to 32 and widths 8 to 256 on a machine with 2 cores:
# right within a factor of 1.5. A step is traced once whatever the depth, so that building is one number.
BUILD_SECONDS = 1.4
FLOPS_PER_SECOND = 3e10

# Bytes of a row in its compressed file, and of a cohort's files without rows, as measured.
ROW_BYTES = {
    "runs": 40,
    "gradient_norms": 52,
    "activations": 44,
    "loss_curves": 22,
    "evaluations": 18,
    "divergence_events": 30,
    "timings": 0,
}
COHORT_FILE_BYTES = 30_000

GRAPH_FACTORS = tuple(name for name, factor in FACTORS.items() if factor.place is Place.GRAPH)
_SHORT = {"depth": "d", "width": "w", "learning_rate": "lr", "batch_size": "b", "steps": "s"}
_ALWAYS = ("depth", "activation", "initializer")
_DEFAULTS = {name: choose(factor, factor.default).label for name, factor in FACTORS.items()}
_SLUG_LENGTH = 80


@dataclass(frozen=True)
class Run:
    """One cell at one replicate. `choices` holds every factor, varied or fixed or default."""

    run_id: str
    cell_key: str
    replicate: int
    seed: int  # the same for a replicate index in every cell: cells compare in pairs
    choices: Mapping[str, Choice]


@dataclass(frozen=True)
class Cohort:
    """Runs with one network structure: they train together in one graph.

    `schedules` maps a table to the steps at which it is recorded, ascending. `graph_runs` are the runs whose rules are
    in the graph, where substitutes hold the slots of some (bench.executors.tables); empty: `runs`.
    """

    key: str
    suite: str
    runs: tuple[Run, ...]
    schedules: Mapping[str, tuple[int, ...]]
    graph_runs: tuple[Run, ...] = ()

    @property
    def structure(self) -> Mapping[str, Choice]:
        """The choices that all its runs share: those of the factors that live in the graph."""
        return {name: self.runs[0].choices[name] for name in GRAPH_FACTORS}


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, in order, and their cohorts, longest first."""

    runs: tuple[Run, ...]
    cohorts: tuple[Cohort, ...]


def make_plan(suite: Suite) -> Plan:
    """A suite's runs, each replicate of a cell after the other, and the cohorts they train in.

    Raises:
        DataError: a local dataset cannot be read, so that nobody knows its runs' names.
    """
    seeds = [_seed(suite.seed, replicate) for replicate in range(suite.replicates)]
    runs = []
    for cell in suite.cells:
        _check_known(cell["dataset"], suite.path)
        key = f"{_slug(cell)}-{_digest(_meaning(cell, suite.seed))}"
        runs += [Run(f"{key}-r{index}", key, index, seed, cell) for index, seed in enumerate(seeds)]
    return Plan(tuple(runs), _cohorts(suite, runs))


def estimate_seconds(cohort: Cohort) -> float:
    """How long a worker takes for a cohort: building and tracing, then training and measuring."""
    structure = cohort.structure
    samples = len(cohort.runs) * _size(structure, "steps") * _size(structure, "batch_size")
    return BUILD_SECONDS + samples * _costs(structure).flops / FLOPS_PER_SECOND


def estimate_memory(cohort: Cohort) -> int:
    """How many bytes of memory a worker holds at most while it trains a cohort, TensorFlow included."""
    return WORKER_BYTES + ARRAYS_FACTOR * len(cohort.runs) * _run_bytes(cohort.structure)


def estimate_rows(cohort: Cohort) -> dict[str, int]:
    """How many rows each table gets if no run diverges."""
    depth = _costs(cohort.structure).layers
    per_step = {"gradient_norms": depth + 1, "activations": depth, "loss_curves": 1, "evaluations": 2}
    runs = len(cohort.runs)
    rows = {table: runs * len(cohort.schedules[table]) * count for table, count in per_step.items()}
    return {"runs": runs} | rows | {"divergence_events": 0, "timings": 1}


def estimate_bytes(cohort: Cohort) -> int:
    """How much disk a cohort's tables take."""
    return COHORT_FILE_BYTES + sum(ROW_BYTES[table] * rows for table, rows in estimate_rows(cohort).items())


def _cohorts(suite: Suite, runs: Iterable[Run]) -> tuple[Cohort, ...]:
    by_structure: dict[tuple[int, ...], list[Run]] = {}
    for run in runs:
        # One object stands for each level of a suite, so identity is equality, and quicker.
        by_structure.setdefault(tuple(id(run.choices[name]) for name in GRAPH_FACTORS), []).append(run)
    schedules: dict[int, dict[str, tuple[int, ...]]] = {}
    cohorts = []
    for group in by_structure.values():
        structure = group[0].choices
        steps = _size(structure, "steps")
        if steps not in schedules:
            schedules[steps] = suite.schedules(steps)
        for part in _parts(group, _cohort_size(structure)):
            digest = _digest([[run.run_id for run in part], schedules[steps]])
            cohorts.append(Cohort(f"{_slug(structure, GRAPH_FACTORS)}-{digest}", suite.name, part, schedules[steps]))
    return tuple(sorted(cohorts, key=estimate_seconds, reverse=True))


def _parts(runs: Sequence[Run], limit: int) -> list[tuple[Run, ...]]:
    """The runs in as few parts as the limit allows, of sizes that differ by one at most."""
    count = ceil(len(runs) / limit)
    bounds = [len(runs) * part // count for part in range(count + 1)]
    return [tuple(runs[start:end]) for start, end in pairwise(bounds)]


def _cohort_size(structure: Cell) -> int:
    return max(1, min(MAX_COHORT_RUNS, COHORT_BYTES // _run_bytes(structure)))


def _run_bytes(structure: Cell) -> int:
    """Bytes of a run's weights and of what the backward pass needs."""
    costs = _costs(structure)
    return FLOAT_BYTES * (WEIGHT_COPIES * costs.weights + _size(structure, "batch_size") * costs.activations)


def _costs(structure: Cell) -> Costs:
    """What the structure's architecture says that a run takes."""
    level = FACTORS["dataset"].level(structure["dataset"].name)
    features, classes = UNKNOWN_FEATURES, UNKNOWN_CLASSES
    if isinstance(level, DatasetLevel) and level.shape:
        features, classes = prod(level.shape), level.classes
    return costs_of(structure, features, classes)


def _size(choices: Cell, factor: str) -> int:
    return int(choices[factor].value or 0)


def _meaning(cell: Cell, seed: int) -> dict[str, object]:
    """What a cell's key hashes. Absent treatments are left out, so that a new factor renames no old run."""
    return {name: choice.meaning for name, choice in cell.items() if not choice.is_none} | {"seed": seed}


def _check_known(dataset: Choice, suite: Path) -> None:
    if dataset.name == "npz" and not dataset.digest:
        path = Path(str(dataset.setting("path")))
        raise DataError(f'{suite}: dataset "{path}": there is no such file (looked in {path.absolute().parent}).')


def _digest(meaning: object) -> str:
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()[:10]


def _slug(cell: Cell, factors: Iterable[str] = tuple(FACTORS)) -> str:
    """Short file-safe words for a cell: `d64-tanh-orthogonal_gain_1.5`.

    They name what readers ask for first, and whatever departs from its default. The other cells of the suite have no
    say in it, so that a suite which grows renames no run.
    """
    said = [name for name in factors if name in _ALWAYS or cell[name].label != _DEFAULTS[name]]
    words = [_SHORT.get(name, "") + _word(cell[name]) for name in said if not cell[name].is_none]
    slug = "-".join(words)
    if len(slug) > _SLUG_LENGTH:
        # By whole words, for half a number is another number; a first word that is too long keeps its beginning.
        end = slug.rfind("-", 0, _SLUG_LENGTH + 1)
        slug = slug[: end if end > 0 else _SLUG_LENGTH]
    return slug.rstrip("-_.")


def _word(choice: Choice) -> str:
    if choice.digest:
        return f"{choice.name}_{choice.digest[:8]}"
    return re.sub(r"[^A-Za-z0-9.]+", "_", choice.label).strip("_.")


def _seed(suite_seed: int, replicate: int) -> int:
    """31 bits: what every random generator takes."""
    return int(sha256(f"{suite_seed}/{replicate}".encode()).hexdigest(), 16) % 2**31
