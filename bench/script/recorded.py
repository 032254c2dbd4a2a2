"""One recorded run, as a script is written of it: levels, seed, losses, what recorded it, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import ResultsError, SuiteError
from bench.factors import FACTORS, MIXED, OWN, Choice, content_of, read_label
from bench.plan import Run
from bench.results import Manifest, find_run, read_manifest, read_run
from bench.schema import EventKind, RunStatus

CHECKED = 20  # steps whose losses must agree
FURTHER = 8  # losses of later steps that are printed beside
WITHIN = {"float32": 1e-4, "mixed_float16": 1e-2, "mixed_bfloat16": 3e-2}  # of a recorded loss
PACKAGES = ("keras", "tensorflow", "numpy")


@dataclass(frozen=True)
class Recorded:
    """A run of a results folder.

    Attributes:
        run: its name, seed and levels.
        suite: its name.
        losses: of the steps that are compared or printed beside, by step.
        versions: of each of `PACKAGES`, as far as one is known.
        diverged: the step at which it left the finite numbers; None if it did not.
        ended: what happened there, in words.
        chaotic: the step from which on rounding decides its losses; None if that is not within the compared ones.
    """

    run: Run
    suite: str
    losses: Mapping[int, float]
    versions: Mapping[str, str]
    diverged: int | None = None
    ended: str = ""
    chaotic: int | None = None

    def __getitem__(self, factor: str) -> Choice:
        """The run's level of a factor."""
        return self.run.choices[factor]

    def number(self, factor: str) -> int:
        """The whole number that it has for a factor."""
        return int(self[factor].value or 0)

    @property
    def compared(self) -> int:
        """Steps from the first whose recorded losses must be met."""
        ends = (each for each in (self.diverged, self.chaotic) if each is not None)
        return min(CHECKED, self.number("steps"), *ends)

    @property
    def within(self) -> float:
        """By how much of a recorded loss another may differ: half precision rounds sums by their order."""
        return WITHIN[self["precision"].name]


def recorded_run(folder: Path, given: str) -> Recorded:
    """The run that a name or its beginning means.

    Raises:
        BenchError: there is no such run, or none that was trained by a suite and has losses; the message says why.
    """
    run_id, cohort = find_run(folder, given)
    manifest = read_manifest(folder)
    if manifest.suite == OWN:
        raise ResultsError(f"{folder}: {run_id} is your own training; a script is written of a suite's run.")
    if manifest.dry:
        raise ResultsError(f"{folder}: its numbers were made by formula (--dry), and no training gave them.")
    own = read_run(folder, run_id, cohort)
    row = own["runs"].iloc[0]
    if row["status"] == RunStatus.FAILED:
        raise ResultsError(f"{folder}: {run_id} failed, so that there is nothing to compare with: {_last_line(row)}")
    event = _end(own["divergence_events"])
    run = Run(run_id, str(row["cell_key"]), int(row["replicate"]), int(row["seed"]), _choices(row, manifest, folder))
    diverged = None if event is None or event["step"] >= row["steps"] else int(event["step"])
    found = Recorded(run, manifest.suite, _losses(own["loss_curves"]), _versions(manifest), diverged, _said(event, own))
    if found.compared and not any(step < found.compared for step in found.losses):
        raise ResultsError(
            f"{folder}: {run_id} has no recorded loss in its first {found.compared} steps to compare with. "
            'Its suite\'s [record] needs loss_curves = "every_step", the default.'
        )
    return found


def _last_line(row: pd.Series) -> str:
    """What was raised, which stands last in a traceback."""
    lines = str(row["error"]).strip().splitlines()
    return lines[-1] if lines else "it does not say why."


def _choices(row: pd.Series, manifest: Manifest, folder: Path) -> dict[str, Choice]:
    """Each factor's level; of data that may have changed since with the digest that they had."""
    try:
        found = {name: read_label(factor, row[name]) for name, factor in FACTORS.items()}
    except SuiteError as error:
        raise ResultsError(f"{folder}: {row['run_id']}: {error}") from error
    data = found["dataset"]
    own = [name for name, choice in found.items() if choice.name in (OWN, MIXED)]
    if own:
        raise ResultsError(f"{folder}: {row['run_id']} has no level of {', '.join(own)}: no suite made it.")
    return found | {"dataset": replace(data, digest=manifest.datasets.get(content_of(data), ""))}


def _losses(curves: pd.DataFrame) -> dict[int, float]:
    """The finite ones of the first steps, and some of those after them, evenly."""
    finite = curves[np.isfinite(curves["loss"].to_numpy(np.float64))].sort_values("step")
    steps = finite["step"].astype(int).to_numpy()
    later = steps[steps >= CHECKED]
    kept = later[np.unique(np.linspace(0, len(later) - 1, min(FURTHER, len(later))).round().astype(int))]
    chosen = finite[finite["step"].isin([*steps[steps < CHECKED], *kept])]
    return {int(step): float(loss) for step, loss in zip(chosen["step"], chosen["loss"], strict=True)}


def _versions(manifest: Manifest) -> dict[str, str]:
    """As the manifest has them; a merged one may name several, of which no one recorded everything."""
    return {name: str(manifest.versions[name]) for name in PACKAGES if " " not in str(manifest.versions.get(name, " "))}


def _end(events: pd.DataFrame) -> pd.Series | None:
    """The event after which the run has no more rows; None if it ran to its end."""
    ending = events[~events["kind"].isin([EventKind.LOSS_LIMIT, EventKind.SKIPPED_STEP])]
    return None if ending.empty else ending.iloc[0]


def _said(event: pd.Series | None, own: Mapping[str, pd.DataFrame]) -> str:
    if event is None:
        return ""
    from bench.analysis.events import places

    return f"{event['kind']} in the {places(pd.DataFrame([event]), own['runs'])[0]}"
