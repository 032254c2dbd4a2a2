"""Each level of each factor of a family is in a run whose script trains as recorded, by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from bench.engine.datasets import load
from bench.engine.rounding import steady_steps
from bench.factors import ARCHITECTURE, FACTORS, TABLES, ArchitectureLevel, Choice, DatasetLevel
from bench.plan import Cohort
from bench.script import Recorded, script_of
from bench.script.recorded import CHECKED
from tests.cohorts import cohorts
from tests.script.cases import DENSE, OWN_PARTS, RECURRENT
from tests.script.family_cases import FAMILIES
from tests.script.scripts import INSTALLED, RECORD, imported, recorded, run_alone, run_here, unread, write

PARTS = 12  # of a family's cases, so that each is done in a minute or two
ONE_OF_KERAS = {"mnist", "fashion_mnist", "cifar10", "cifar100"}  # see the test on them
UNSAID = {"architecture"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A user's own module and data files, by the names that cases have for them."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "own_parts.py").write_text(OWN_PARTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 5)), rng.integers(0, 3, 200)
    found = {name: str(tmp_path / f"data.{name}") for name in ("npz", "csv", "parquet")}
    found["sequences"] = str(tmp_path / "sequences.npz")
    np.savez(found["npz"], x_train=x, y_train=y, x_test=x, y_test=y)
    each = rng.normal(size=(200, 4, 2))
    np.savez(found["sequences"], x_train=each, y_train=y, x_test=each, y_test=y)
    table = pd.DataFrame(x, columns=list("abcde")).assign(y=y)
    table.to_csv(found["csv"], index=False)
    table.to_parquet(found["parquet"])
    yield found


def cohorts_of(case: str, files: dict[str, str]) -> tuple[Cohort, ...]:
    for name, path in files.items():
        case = case.replace(f"{{{name}}}", path)
    given = {line.partition(" = ")[0] for line in case.splitlines()}
    base = RECURRENT if "cell" in given else DENSE
    fixed = "\n".join(f"{name} = {value}" for name, value in base.items() if name not in given)
    return cohorts(case, fixed, record=RECORD)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_level_is_in_a_case_and_its_script_is_written(family: str, files: dict[str, str]) -> None:
    network = ARCHITECTURE.level(family)
    assert isinstance(network, ArchitectureLevel)
    planned = [cohort for case in FAMILIES[family] for cohort in cohorts_of(case, files)]
    runs = [run for cohort in planned for run in cohort.runs]
    found = {(factor, choice.name) for run in runs for factor, choice in run.choices.items()}
    wanted = {
        (name, level.name)
        for name, factor in FACTORS.items()
        for level in factor.levels
        if name not in UNSAID and not network.unused.get(name) and level.name not in ONE_OF_KERAS
        and not (isinstance(level, DatasetLevel) and network.data_objection(level))
        and not network.objection(name, Choice(level.name))
        and not (name == "dataset" and level.name in TABLES and "vector" not in network.accepts)
    }  # fmt: skip
    assert wanted <= found, sorted(wanted - found)
    for run in (cohort.runs[-1] for cohort in planned if cohort.runs[-1].choices["initializer"].name != "lsuv"):
        script = script_of(Recorded(run, "t", {0: 1.0}, {}))
        assert imported(script) <= {*INSTALLED, "own_parts"} and not unread(script), script.text


def said_of(runs: Sequence[Recorded], found: Mapping[str, tuple[int, str]]) -> str:
    """What the scripts that ended with another code than 0 printed."""
    return "\n\n".join(
        f"{run.run.run_id}\n{said}" for run, (code, said) in zip(runs, found.values(), strict=True) if code
    )


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_script_of_every_level_trains_as_recorded(family: str, part: int, files: dict[str, str]) -> None:
    cases = FAMILIES[family][part::PARTS]
    runs = [run for case in cases for cohort in cohorts_of(case, files) for run in recorded(cohort)]
    scripts = [script_of(run) for run in runs]
    folder = Path(files["npz"]).with_name("scripts")
    found = run_alone(write(folder, scripts))
    missed = [run for run, (code, _) in zip(runs, found.values(), strict=True) if code]
    print(
        f"{len(runs)} runs, of which {len(missed)} differ within {CHECKED} steps: {[run.run.run_id for run in missed]}"
    )
    if missed:  # as `bench script` writes them, which looks how far rounding lets a run be compared
        bounded = [replace(run, chaotic=steady_steps(run.run, CHECKED)) for run in missed]
        again = folder.with_name("again")
        again.mkdir()
        (again / "own_parts.py").write_text(OWN_PARTS, encoding="utf-8")
        found = run_alone(write(again, [script_of(run) for run in bounded]))
        print(f"Compared up to: {[run.compared for run in bounded]}")
        assert not any(code for code, _ in found.values()) and all(run.compared for run in bounded), said_of(
            bounded, found
        )
    assert set().union(*map(imported, scripts)) <= {*INSTALLED, "own_parts"}
    unused = [name for script in scripts for name in unread(script)]
    assert not unused, unused


@pytest.mark.full
@pytest.mark.parametrize("scaling", [level.name for level in FACTORS["preprocessing"].levels])
@pytest.mark.parametrize("name", sorted(ONE_OF_KERAS))
def test_data_of_keras_are_loaded_by_keras(
    name: str, scaling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = FACTORS["dataset"].level(name)
    assert isinstance(level, DatasetLevel)
    rng = np.random.default_rng(0)
    shape = level.shape if level.shape[-1] == 3 else level.shape[:2]
    x, y = rng.integers(0, 256, (100, *shape)).astype("uint8"), (rng.permutation(100) % level.classes).astype("uint8")
    x[:, 0] = 7  # which never varies
    module = getattr(keras.datasets, name)
    monkeypatch.setattr(module, "load_data", lambda: ((x, y[:, None] if x.ndim == 4 else y), (x, y)))
    load.cache_clear()
    case = f'dataset = ["{name}"]\npreprocessing = ["{scaling}"]\ndepth = [1]\nlearning_rate = [1e-6]'
    (run,) = recorded(cohorts_of(case, {})[0])
    ((code, said),) = run_here(write(tmp_path, [script_of(run)])).values()
    load.cache_clear()
    assert code == 0, said
