"""The results folder: whole files or none, one driver at a time."""

import io
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.errors import ResultsError
from bench.results import CohortFiles, Results, read_manifest, read_tables
from bench.schema import ASKED, TABLES, conform
from tests.inline import full_disk


def tables_of(cohort: str, status: str = "completed") -> dict[str, pa.Table]:
    rows: dict[str, list[object]] = {"run_id": [f"{cohort}-r0"], "cohort": [cohort], "status": [status]}
    rows |= {name: ["s"] for name in ("suite", "cell_key")}
    rows |= {name: [1] for name in ("replicate", "seed", "depth", "steps_completed")}
    return {name: conform(name, rows if name == "runs" else {}) for name in TABLES}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "out")


def test_what_is_written_is_read_back_with_units_and_meanings(results: Results) -> None:
    results.write("a", tables_of("a"))
    assert read_tables(results.folder)["runs"]["run_id"].tolist() == ["a-r0"]
    field = pq.read_schema(CohortFiles(results.folder, "a").path("loss_curves")).field("loss")
    assert field.metadata[b"unit"] == b"nat, or of values the loss's own"
    assert results.done(["a", "b"]) == {"a"}
    assert not list(results.folder.rglob("*.writing"))


@pytest.mark.parametrize("digests", [True, False])
def test_a_cohort_that_was_not_asked_for_a_table_has_no_file_of_it(results: Results, digests: bool) -> None:
    tables = tables_of("a")
    results.write("a", {name: rows for name, rows in tables.items() if name not in ASKED})
    results.write("b", tables_of("b"))
    if not digests:  # as in a folder of an older version
        shutil.rmtree(results.folder / "digests")
    for table in ASKED:
        assert [path.stem for path in (results.folder / "tables" / table).iterdir()] == ["b"]
        assert CohortFiles(results.folder, "a").read(table).num_rows == 0
        assert results.read("a")[table].schema.equals(TABLES[table].arrow)
    assert results.done(["a", "b"]) == {"a", "b"}
    results.forget("a", ["a-r0"])
    assert results.done(["a"]) == {"a"}


def test_runs_from_before_a_factor_have_its_absent_treatment(results: Results) -> None:
    tables = tables_of("a")
    absent = {
        "cell": "none", "target_preprocessing": "none", "loss": "auto", "label_smoothing": 0.0, "class_weight": "none",
        "dropout": 0.0, "precision": "float32",
    }  # fmt: skip
    results.write("a", tables | {"runs": tables["runs"].drop_columns([*absent, "error"])})
    runs = read_tables(results.folder)["runs"]
    assert {name: runs[name].tolist() for name in absent} == {name: [level] for name, level in absent.items()}
    assert runs["error"].isna().all()


def test_the_done_mark_comes_last(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: written.append(to.parent.name) or replace(self, to))
    results.write("a", tables_of("a"))
    assert written[-1] == "runs"
    assert written[0] == "digests"
    assert sorted(written[1:]) == sorted(TABLES)


def test_a_missing_damaged_or_older_file_means_the_cohort_is_not_done(results: Results) -> None:
    older = io.BytesIO()
    pq.write_table(pa.table({"run_id": ["a-r0"]}), older)
    for table in TABLES:
        path = CohortFiles(results.folder, "a").path(table)
        for damage in (None, b"", b"PAR1 and then nothing", older.getvalue()):
            results.write("a", tables_of("a"))
            path.unlink() if damage is None else path.write_bytes(damage)
            assert results.done(["a"]) == set()
            with pytest.raises(ResultsError, match=table if path.exists() else None):
                read_tables(results.folder)


def test_a_write_that_fails_leaves_nothing_visible(results: Results) -> None:
    with full_disk(), pytest.raises(ResultsError, match="No space left"):
        results.write("a", tables_of("a"))
    assert not list(results.folder.rglob("*.parquet*"))


def test_what_a_killed_driver_left_aside_is_removed(results: Results) -> None:
    results.write("a", tables_of("a"))
    left = CohortFiles(results.folder, "a").path("runs").with_suffix(".parquet.writing")
    left.write_text("half")
    with results.locked():
        assert not left.exists()
    assert results.done(["a"]) == {"a"}


def test_statuses_are_read_and_runs_forgotten(results: Results) -> None:
    results.write("a", tables_of("a", "failed"))
    assert results.statuses("a") == {"a-r0": "failed"}
    results.forget("a", ["a-r0"])
    assert results.done(["a"]) == {"a"}
    assert results.statuses("a") == {}


def test_a_second_driver_is_refused(results: Results) -> None:
    with results.locked(), pytest.raises(ResultsError, match="another"), Results(results.folder).locked():
        pass
    with results.locked():
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_message(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResultsError, match="cannot be written"), Results(tmp_path / "out").locked():
        pass


def test_a_folder_under_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"), Results(tmp_path / "file" / "out").locked():
        pass


def test_empty_and_missing_folders_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="bench run"):
        read_tables(tmp_path)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ResultsError, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_run_in_two_files_is_named_and_not_counted_twice(results: Results) -> None:
    results.write("a", tables_of("a"))
    results.write("b", {**tables_of("b"), "runs": tables_of("a")["runs"]})
    with pytest.raises(ResultsError, match="run a-r0 is in several files"):
        read_tables(results.folder)
