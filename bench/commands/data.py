"""`bench data`: fetch datasets ahead, and say where they are."""

from __future__ import annotations

from pathlib import Path

from bench.errors import DataError, SuiteError, nearest
from bench.executors.child import Status
from bench.executors.local import LocalExecutor
from bench.factors import FACTORS, LOCAL, Choice, choose, read_label

DESCRIBE = "bench.engine.datasets:describe"
FINDINGS = "bench.engine.findings:findings_of"


TABLE_LEVELS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def fetch(names: list[str], target: str = "") -> None:
    """Load each dataset, downloading what is not on disk, and print its size, its place and what is odd about it.

    Args:
        names: of datasets, files, or as tables spell them: `csv(path=m.csv, target=y)`.
        target: the column to predict, of files with columns.

    Raises:
        SuiteError: there is no dataset of that name.
        DataError: some dataset could not be loaded; the others are fetched all the same.
    """
    known = [level.name for level in FACTORS["dataset"].levels if level.name not in LOCAL]
    choices = [_choice(name, known, target) for name in names or known]
    problems = []
    with LocalExecutor(1) as executor:
        for choice in choices:
            answer = executor.submit(DESCRIBE, choice).result()
            if answer.status is Status.OK:
                print(answer.value, flush=True)
                found = executor.submit(FINDINGS, (choice, False, False)).result()
                for finding in found.value if found.status is Status.OK else ():
                    print(f"  {finding}", flush=True)
            else:
                problems.append(str(answer.value).strip().splitlines()[-1])
    if problems:
        raise DataError("\n".join(problems))


def _choice(name: str, known: list[str], target: str) -> Choice:
    """The dataset that an argument means.

    Raises:
        SuiteError: there is none, or a file with columns lacks its target.
    """
    factor, suffix = FACTORS["dataset"], Path(name).suffix
    if suffix in TABLE_LEVELS:
        if not target:
            raise SuiteError(f'"{name}": which column is to be predicted? Say --target COLUMN.')
        more = {"separator": "tab"} if suffix == ".tsv" else {}
        return choose(factor, {"level": TABLE_LEVELS[suffix], "path": name, "target": target} | more)
    if name not in known and suffix != ".npz" and ":" not in name and "(" not in name:
        raise SuiteError(f'"{name}" is not a dataset. {nearest(name, known)}')
    return read_label(factor, name)
