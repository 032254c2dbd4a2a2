"""Take results of shipped suites over as the package's reference results: `make reference`.

Complete and trained results alone are taken, each with its versions and machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import reference
from bench.analysis.quantities import seconds_per_step
from bench.errors import ResultsError
from bench.report.frames import read_frames
from bench.results import Manifest, read_manifest


def collect(folder: Path, timed: bool = True) -> reference.Reference:
    """The runs of a results folder as judged, without times per step where those were not `timed` on a quiet machine.

    Raises:
        ResultsError: runs are missing, or the folder is dry or cannot be read.
    """
    manifest = read_manifest(folder)
    frames = read_frames(folder, manifest)
    _refuse_partial(folder, manifest, len(frames.plain))
    runs = frames.plain
    if timed:
        seconds = runs["cohort"].map(seconds_per_step(frames.tables["timings"]))
        runs = runs.assign(**{reference.SECONDS: seconds})
    return reference.Reference(
        suite=manifest.suite,
        runs=runs,
        title=manifest.title or manifest.suite,
        question=manifest.question,
        sha256=manifest.sha256,
        versions={name: str(value) for name, value in manifest.versions.items()},
        machine={name: str(value) for name, value in manifest.machine.items()},
    )


def _refuse_partial(folder: Path, manifest: Manifest, runs: int) -> None:
    if manifest.dry:
        raise ResultsError(f"{folder}: dry results are no reference. Run `bench run {manifest.suite}`.")
    if runs < manifest.planned.runs:
        raise ResultsError(
            f"{folder}: {runs} of {manifest.planned.runs} runs are there. Run `bench run {manifest.suite}` to its end."
        )


def main() -> None:
    """Write a file for each results folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="results folders of shipped suites")
    parser.add_argument("--out", type=Path, default=reference.DATA, help="default: where the package reads them")
    parser.add_argument("--untimed", action="store_true", help="leave times out: the machine had other work")
    given = parser.parse_args()
    for folder in given.results:
        path = reference.write(collect(folder, not given.untimed), given.out)
        print(f"{path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
