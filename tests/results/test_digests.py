"""Digests of whole files: no bit of a results folder's tables changes unnoticed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.engine.dry import train_cohort
from bench.errors import ResultsError
from bench.results import CohortFiles, Results, count_statuses, read_tables
from bench.schema import ASKED, TABLES
from tests.cohorts import cohorts
from tests.inline import killed_before


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two cohorts of two runs."""
    results = Results(tmp_path / "out")
    for cohort in cohorts("depth = [2, 4]", "steps = 3\nwidth = 4", replicates=2):
        results.write(cohort.key, train_cohort(cohort))
    return results


def keys(results: Results) -> list[str]:
    return sorted(path.stem for path in (results.folder / "tables" / "runs").iterdir())


def test_every_table_has_one_digest_and_the_tables_hold_nothing_else(results: Results) -> None:
    for cohort in keys(results):
        record = json.loads((results.folder / "digests" / f"{cohort}.json").read_text())
        assert {table: len(known) for table, known in record.items()} == dict.fromkeys(TABLES.keys() - ASKED, 1)
    for table in TABLES.keys() - ASKED:
        assert len(pd.read_parquet(results.folder / "tables" / table)) == len(read_tables(results.folder)[table])


@pytest.mark.parametrize("flips", [40, pytest.param(300, marks=pytest.mark.full)])
def test_a_bit_that_flips_anywhere_is_noticed(results: Results, flips: int) -> None:
    """In a table always; in the digests too, unless their text means the same."""
    chance, sound = random.Random(0), read_tables(results.folder)
    files = sorted(path for path in results.folder.rglob("*") if path.suffix in (".parquet", ".json"))
    for _ in range(flips):
        path = chance.choice(files)
        content = path.read_bytes()
        altered, place = bytearray(content), chance.randrange(len(content))
        altered[place] ^= 1 << chance.randrange(8)
        path.write_bytes(altered)
        harmless = path.suffix == ".json" and _read(bytes(altered)) == json.loads(content)
        assert (path.stem in results.done(keys(results))) is harmless
        try:
            tables = read_tables(results.folder)
            assert harmless
            for table, frame in tables.items():
                pd.testing.assert_frame_equal(frame, sound[table])
        except ResultsError as error:
            assert not harmless
            assert path.stem in str(error) and "trains that cohort again" in str(error)
        path.write_bytes(content)


def _read(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": []}', '{"runs": "x"}', "[" * 9000, "\xff"])
def test_digests_that_cannot_be_read_are_named(results: Results, text: str) -> None:
    first, second = keys(results)
    path, sound = CohortFiles(results.folder, first).record_path, results.read(first)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ResultsError, match=rf"{path.name}.*`bench run SUITE --out .*` trains that cohort again"):
        read_tables(results.folder)
    with pytest.raises(ResultsError, match=path.name):
        count_statuses(results.folder)
    assert results.done([first, second]) == {second}
    assert not results.of_another_version([first, second])
    results.write(first, sound)
    assert results.done([first, second]) == {first, second}


def test_named_columns_are_read_with_the_keys_of_their_table(results: Results) -> None:
    whole = read_tables(results.folder)
    some = read_tables(results.folder, {"gradient_norms": ["weight_grad_norm"], "loss_curves": []})
    assert list(some["gradient_norms"]) == ["run_id", "step", "layer_index", "weight_grad_norm"]
    assert list(some["loss_curves"]) == ["run_id", "step"]
    for table, frame in some.items():
        pd.testing.assert_frame_equal(frame, whole[table][list(frame)])


def test_a_digest_that_is_not_there_fits_no_file(results: Results) -> None:
    cohort = keys(results)[0]
    path = CohortFiles(results.folder, cohort).record_path
    record = json.loads(path.read_text())
    path.write_text(json.dumps({table: record[table] for table in record if table != "activations"}))
    with pytest.raises(ResultsError, match="activations"):
        read_tables(results.folder)


def test_folders_of_older_versions_have_none_and_are_read(results: Results) -> None:
    sound = read_tables(results.folder)
    shutil.rmtree(results.folder / "digests")
    for table, frame in read_tables(results.folder).items():
        pd.testing.assert_frame_equal(frame, sound[table])
    assert results.done(keys(results)) == set(keys(results))
    run = sound["runs"]["run_id"].iloc[0]
    cohort = sound["runs"]["cohort"].iloc[0]
    results.forget(cohort, [run])
    assert results.done(keys(results)) == set(keys(results))
    assert run not in results.statuses(cohort)
    assert CohortFiles(results.folder, cohort).record is not None


def test_a_damaged_cohort_that_is_written_anew_is_never_taken_for_sound_in_between(results: Results) -> None:
    cohort = keys(results)[0]
    tables = results.read(cohort)
    path = CohortFiles(results.folder, cohort).path("activations")
    path.write_bytes(path.read_bytes() + b"x")
    with killed_before("gradient_norms"):
        results.write(cohort, tables)
    assert cohort not in results.done([cohort])
    results.write(cohort, tables)
    assert results.done([cohort]) == {cohort}


def test_cohorts_that_are_no_longer_planned_move_aside_with_their_digests_and_come_back(results: Results) -> None:
    first, second = keys(results)
    assert results.arrange([first]) == 1
    assert not CohortFiles(results.folder, second).record_path.exists()
    assert set(read_tables(results.folder)["runs"]["cohort"]) == {first}
    assert results.arrange([first, second]) == 0
    assert CohortFiles(results.folder, second).record is not None
    assert results.done([first, second]) == {first, second}


def test_clearing_leaves_no_table_digest_or_superseded_cohort(results: Results) -> None:
    results.arrange(keys(results)[:1])
    results.clear()
    assert not [path for path in results.folder.rglob("*") if path.is_file()]
    results.clear()
