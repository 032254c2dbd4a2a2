"""A suite's runs, in order, and the cohorts in which they train."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from math import ceil
from pathlib import Path

from bench.errors import DataError
from bench.factors import ABSENT, FACTORS, LOCAL, Choice, choose, inner_tables
from bench.plan.costs import estimate_seconds, run_bytes, size
from bench.plan.model import GRAPH_FACTORS, Cohort, Plan, Run
from bench.suite import Cell, Suite

# The split of a structure's runs into cohorts is part of the plan: it depends on the suite alone, never on the
# machine, so that resumed results equal fresh ones.
COHORT_BYTES = 2**30  # estimated memory of a cohort at most
MAX_COHORT_RUNS = 128

_SHORT = {
    "target_preprocessing": "y_",
    "depth": "d",
    "width": "w",
    "heads": "h",
    "feed_forward": "ff",
    "learning_rate": "lr",
    "batch_size": "b",
    "steps": "s",
}
_ALWAYS = ("depth", "activation", "initializer")
_DEFAULTS = {name: choose(factor, factor.default).label for name, factor in FACTORS.items()}
_UNSAID = {name: _DEFAULTS[name] for name, factor in FACTORS.items() if factor.later}
_SLUG_LENGTH = 80


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


def _cohorts(suite: Suite, runs: Iterable[Run]) -> tuple[Cohort, ...]:
    by_structure: dict[tuple[int, ...], list[Run]] = {}
    for run in runs:
        # One object stands for each level of a suite, so identity is equality, and quicker.
        by_structure.setdefault(tuple(id(run.choices[name]) for name in GRAPH_FACTORS), []).append(run)
    schedules: dict[tuple[int, frozenset[str]], dict[str, tuple[int, ...]]] = {}
    cohorts = []
    for group in by_structure.values():
        structure = group[0].choices
        at = size(structure, "steps"), inner_tables(structure)
        if at not in schedules:
            schedules[at] = suite.schedules(*at)
        for part in _parts(group, _cohort_size(structure, looks=bool(schedules[at].get("activations")))):
            digest = _digest([[run.run_id for run in part], schedules[at]])
            cohorts.append(Cohort(f"{_slug(structure, GRAPH_FACTORS)}-{digest}", suite.name, part, schedules[at]))
    return tuple(sorted(cohorts, key=estimate_seconds, reverse=True))


def _parts(runs: Sequence[Run], limit: int) -> list[tuple[Run, ...]]:
    """The runs in as few parts as the limit allows, of sizes that differ by one at most."""
    count = ceil(len(runs) / limit)
    bounds = [len(runs) * part // count for part in range(count + 1)]
    return [tuple(runs[start:end]) for start, end in pairwise(bounds)]


def _cohort_size(structure: Cell, *, looks: bool) -> int:
    return max(1, min(MAX_COHORT_RUNS, COHORT_BYTES // run_bytes(structure, looks=looks)))


def _meaning(cell: Cell, seed: int) -> dict[str, object]:
    """What a cell's key hashes. Absent treatments are left out, so that a new factor renames no old run."""
    said = {name: choice for name, choice in cell.items() if not choice.is_none and _UNSAID.get(name) != choice.label}
    return {name: choice.meaning for name, choice in said.items()} | {"seed": seed}


def _check_known(dataset: Choice, suite: Path) -> None:
    if dataset.name in LOCAL and not dataset.digest:
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
    # What a factor's default is not without may still be left out of a run: no preprocessing.
    words = [
        f"no_{name}" if cell[name].is_none else _SHORT.get(name, "") + _word(cell[name])
        for name in said
        if not cell[name].is_none or _DEFAULTS[name] not in ABSENT
    ]
    slug = "-".join(words)
    if len(slug) > _SLUG_LENGTH:
        # By whole words, for half a number is another number; a first word that is too long keeps its beginning.
        end = slug.rfind("-", 0, _SLUG_LENGTH + 1)
        slug = slug[: end if end > 0 else _SLUG_LENGTH]
    return slug.rstrip("-_.")


def _word(choice: Choice) -> str:
    if choice.name in LOCAL and choice.digest:
        return f"{choice.name}_{choice.digest[:8]}"
    return re.sub(r"[^A-Za-z0-9.]+", "_", choice.label).strip("_.")


def _seed(suite_seed: int, replicate: int) -> int:
    """31 bits: what every random generator takes."""
    return int(sha256(f"{suite_seed}/{replicate}".encode()).hexdigest(), 16) % 2**31
