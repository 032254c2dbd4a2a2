"""A run of a results folder as a plain Keras script, which trains it again and compares its losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.engine.rounding import steady_steps
from bench.errors import ResultsError, SuiteError
from bench.script.frame import Script, script_of, unwritten
from bench.script.recorded import Recorded, recorded_run

__all__ = ["Recorded", "Script", "recorded_run", "script_of", "write_script"]


def write_script(folder: Path, given: str, out: Path) -> list[Path]:
    """Write the script of a run, and beside it an `.npz` file of the same name where seeds do not suffice.

    Args:
        folder: the results.
        given: the run's name, or its beginning.
        out: the script.

    Returns:
        What was written, the script first.

    Raises:
        BenchError: there is no such run, it cannot be written, or something is there already.
    """
    if out.suffix != ".py":
        raise SuiteError(f"--out {out}: a script's name ends with .py.")
    if not out.parent.is_dir():
        raise SuiteError(f"--out {out}: there is no folder {out.parent}.")
    _refuse_existing(out)
    recorded = recorded_run(folder, given)
    if why := unwritten(recorded):
        raise SuiteError(f"{recorded.run.run_id}: {why}")
    steady = steady_steps(recorded.run, recorded.compared)
    script = script_of(replace(recorded, chaotic=steady) if steady < recorded.compared else recorded)
    beside = out.with_suffix(".npz")
    if script.arrays:
        _refuse_existing(beside)
    try:
        if script.arrays:
            np.savez_compressed(beside, **script.arrays)  # type: ignore[arg-type]
        out.write_text(script.text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written to ({error.strerror or error}).") from error
    return [out, beside] if script.arrays else [out]


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise SuiteError(f"{path} is there already, and is left as it is. Name another file with --out.")
