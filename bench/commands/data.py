"""`bench data`: fetch datasets ahead, and say where they are."""

from __future__ import annotations

from bench.errors import DataError, SuiteError, nearest
from bench.executors.child import Status
from bench.executors.local import LocalExecutor
from bench.factors import FACTORS, choose

DESCRIBE = "bench.engine.datasets:describe"


def fetch(names: list[str]) -> None:
    """Load each dataset, downloading what is not on disk, and print its size and place.

    Raises:
        SuiteError: there is no dataset of that name.
        DataError: some dataset could not be loaded; the others are fetched all the same.
    """
    factor = FACTORS["dataset"]
    known = [level.name for level in factor.levels if level.name != "npz"]
    for name in names:
        if name not in known and not name.endswith(".npz") and ":" not in name:
            raise SuiteError(f'"{name}" is not a dataset. {nearest(name, known)}')
    problems = []
    with LocalExecutor(1) as executor:
        for name in names or known:
            answer = executor.submit(DESCRIBE, choose(factor, name)).result()
            if answer.status is Status.OK:
                print(answer.value, flush=True)
            else:
                problems.append(str(answer.value).strip().splitlines()[-1])
    if problems:
        raise DataError("\n".join(problems))
