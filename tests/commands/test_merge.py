"""`bench merge`: several machines' results of one suite become what one machine would have made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.cli import app, guarded
from bench.commands.merge import merge
from bench.engine.dry import train_cohort
from bench.errors import BenchError, ResultsError
from bench.plan import Plan, make_plan
from bench.report import dump_report
from bench.results import Manifest, Planned, Results, read_manifest, read_tables
from bench.schema import TABLES, conform
from bench.suite import parse_suite
from tests.cohorts import suite_text
from tests.inline import altered, files, full_disk

TEXT = suite_text(
    "split", "Is it one suite?", 2, {"steps": 20, "width": 8},
    depth=[2, 30], activation=["tanh", "relu"], initializer=["glorot_uniform", {"level": "orthogonal", "gain": 1.5}],
    clipping=["none", "global_norm"],
)  # fmt: skip
VERSIONS = {"python": "3.11.9", "numpy": "2.4.6", "keras": "3.15.1", "tensorflow": "2.21.0"}
MANIFEST = Manifest(
    "split", "Is it one suite?", TEXT, 2, {}, {}, Planned(16, 32, 4), VERSIONS, dry=True,
    started="2026-01-02T00:00:00+00:00", ended="2026-01-02T01:00:00+00:00",
)  # fmt: skip
SECONDS = {"build_seconds": 1.0, "train_seconds": 8.0}


@cache
def planned(text: str = TEXT) -> Plan:
    return make_plan(parse_suite(text, Path("split.toml")))


def made(folder: Path, keep: Callable[[int, str], bool] = lambda *_: True, text: str = TEXT, **changed: Any) -> Path:
    """A results folder with those runs of the suite that `keep` says of their cohort's number and their id."""
    results = Results(folder)
    for number, cohort in enumerate(planned(text).cohorts):
        wanted = tuple(run.run_id for run in cohort.runs if keep(number, run.run_id))
        if wanted:
            results.write(cohort.key, rows_of(text, number, wanted))
    results.write_manifest(
        replace(MANIFEST, **{"text": text, "machine": {"cores": 2, "system": folder.name}} | changed)
    )
    return folder


@cache
def rows_of(text: str, number: int, runs: tuple[str, ...]) -> Mapping[str, pa.Table]:
    """The tables of these runs of a cohort; many folders hold the same."""
    cohort = planned(text).cohorts[number]
    cohort = replace(cohort, runs=tuple(run for run in cohort.runs if run.run_id in runs))
    timing = {"cohort": cohort.key, "runs": len(runs), "steps": 20} | SECONDS
    timings = conform("timings", {name: [value] for name, value in timing.items()})
    return train_cohort(cohort) | {"timings": timings}


def all_files(folder: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "tables").rglob("*.parquet")}


def refused(folders: Collection[Path], out: Path) -> str:
    """The message of a merge that must not happen; nothing is left of it."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(BenchError) as error:
        merge(list(folders), out)
    assert sorted(out.parent.iterdir()) == before
    return str(error.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs; tests leave it as it is."""
    return made(tmp_path_factory.mktemp("merge") / "whole")


def test_cohorts_of_two_machines_are_the_undivided_files_to_the_byte(whole: Path, tmp_path: Path) -> None:
    parts = [made(tmp_path / f"m{k}", lambda number, _, k=k: number % 2 == k) for k in range(2)]
    assert all_files(merge(parts, tmp_path / "out")) == all_files(whole)


@pytest.mark.parametrize("machines", [2, 3])
def test_runs_of_one_cohort_on_several_machines_are_undivided_files(whole: Path, tmp_path: Path, machines: int) -> None:
    order = {run.run_id: number for number, run in enumerate(planned().runs)}
    parts = [made(tmp_path / f"m{k}", lambda _, run, k=k: order[run] % machines == k) for k in range(machines)]
    assert all(0 < count < 8 for part in parts for count in read_tables(part)["runs"].groupby("cohort").size())
    assert files(merge(parts, tmp_path / "out")) == files(whole)
    rows, wanted = read_tables(tmp_path / "out"), read_tables(whole)
    for table in TABLES:
        if table != "timings":
            pd.testing.assert_frame_equal(rows[table], wanted[table])


def test_overlapping_and_repeated_folders_change_nothing(whole: Path, tmp_path: Path) -> None:
    parts = [made(tmp_path / f"m{k}", lambda number, _, k=k: number in (k, k + 1)) for k in range(3)]
    assert all_files(merge([*parts, made(tmp_path / "again")], tmp_path / "out")) == all_files(whole)


def test_what_no_machine_has_stays_missing_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = made(tmp_path / "m0", lambda number, run: number < 2 and run.endswith("r0"))
    merge([part], tmp_path / "out")
    assert "8 of 32 runs from 1 folders; 24 are in none of them" in capsys.readouterr().out
    assert all_files(tmp_path / "out") == all_files(part)


def test_the_first_folders_timings_are_kept_and_parts_add_up(whole: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again")
    altered(again, "timings", lambda rows: rows[0].update(train_seconds=99.0))
    assert all_files(merge([whole, again], tmp_path / "out")) == all_files(whole)
    timings = read_tables(merge([again, whole], tmp_path / "turned"))["timings"]
    assert sorted(timings["train_seconds"]) == [8.0, 8.0, 8.0, 99.0]
    halves = [made(tmp_path / f"h{k}", lambda _, run, k=k: run.endswith(f"r{k}")) for k in range(2)]
    timings = read_tables(merge([halves[0], whole, halves[1]], tmp_path / "joined"))["timings"]
    assert timings["runs"].tolist() == [8] * 4
    assert timings["train_seconds"].tolist() == [12.0] * 4  # all of the half, and half of the whole
    assert timings["measure_seconds"].isna().all()


def test_the_manifest_lists_the_sources_and_all_machines(tmp_path: Path) -> None:
    early = made(tmp_path / "a", lambda number, _: number == 0, started="2026-01-01T00:00:00+00:00")
    late = made(tmp_path / "b", lambda number, _: number == 1, ended="2026-01-03T00:00:00+00:00")
    manifest = read_manifest(merge([late, early], tmp_path / "out", "bench merge b a"))
    assert (manifest.started[:10], manifest.ended[:10]) == ("2026-01-01", "2026-01-03")
    assert manifest.machine == {"cores": 2, "system": "b; a"}
    assert [source["folder"] for source in manifest.sources] == ["b", "a"]
    assert str(tmp_path) not in str(manifest)
    third = made(tmp_path / "c", lambda number, _: number == 2)
    again = read_manifest(merge([tmp_path / "out", third], tmp_path / "out2"))
    assert [source["folder"] for source in again.sources] == ["b", "a", "c"]
    unended = made(tmp_path / "d", ended=None)
    assert read_manifest(merge([late, unended], tmp_path / "out3")).ended is None


def test_merged_results_have_a_report(tmp_path: Path) -> None:
    parts = [made(tmp_path / f"m{k}", lambda number, run, k=k: number == 3 and f"r{k}" in run) for k in range(2)]
    shown = dump_report(merge(parts, tmp_path / "out"))
    assert shown["question"] == "Is it one suite?" and len(shown["sections"]) > 10


def test_a_run_that_differs_is_named_with_table_column_and_folders(whole: Path, tmp_path: Path) -> None:
    for number, (table, column, value) in enumerate((
        ("loss_curves", "loss", 0.25), ("gradient_norms", "weight_grad_norm", float("nan")),
        ("gradient_norms", "layer_name", "other"), ("evaluations", "accuracy", None), ("runs", "status", "failed"),
        ("runs", "seed", 7),
    )):  # fmt: skip
        again = shutil.copytree(whole, tmp_path / f"again-{number}")
        cohort = altered(again, table, lambda rows, change={column: value}: rows[-1].update(change))
        run = pq.read_table(again / "tables" / "runs" / f"{cohort}.parquet")["run_id"].to_pylist()[-1]
        said = refused([whole, again], tmp_path / "out")
        assert said.startswith(f"{whole} and {again} disagree on run {run}: table {table}, column {column}.")
    fewer = shutil.copytree(whole, tmp_path / "fewer")
    altered(fewer, "activations", lambda rows: rows.pop())
    assert "table activations, " in refused([whole, fewer], tmp_path / "out")


def test_nan_equals_nan_and_null_null_but_not_each_other(tmp_path: Path) -> None:
    parts = [made(tmp_path / "a"), made(tmp_path / "b")]
    for part in parts:
        altered(part, "loss_curves", lambda rows: rows[0].update(loss=float("nan"), clipped_grad_norm=None))
    merge(parts, tmp_path / "out")
    altered(parts[1], "loss_curves", lambda rows: rows[0].update(loss=None))
    assert "column loss" in refused(parts, tmp_path / "other")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"text": TEXT.replace("[2, 30]", "[2, 31]")}, "16 runs only the first plans, 16 only the second"),
        ({"text": TEXT.replace('name = "split"', 'name = "other"')}, '"split" and "other"'),
        ({"text": TEXT.replace("[fixed]", "[record]\nactivations = { every = 5 }\n[fixed]")}, "[record]"),
        ({"text": TEXT.replace("replicates = 2", "replicates = 2\nseed = 1")}, "32 runs only the first plans"),
        *(({"versions": VERSIONS | {name: "0.1"}}, f"{name} {VERSIONS[name]} and 0.1") for name in VERSIONS),
        ({"dry": False}, "dry results"),
    ],
)
def test_another_suite_or_version_and_trained_beside_dry_are_refused_and_named(
    whole: Path, tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    folders = [whole, made(tmp_path / "b", lambda *_: False, **changed)]  # its manifest says so before any table
    said = refused(folders, tmp_path / "out")
    for words in (*map(str, folders), says):
        assert words in said


def test_the_same_meaning_in_another_text_is_one_suite(whole: Path, tmp_path: Path) -> None:
    text = TEXT.replace('["tanh", "relu"]', '["relu", "tanh"]').replace("Is it one", "Still one") + "\n# a remark\n"
    half = made(tmp_path / "half", lambda _, run: "relu" in run, text=text)
    rest = made(tmp_path / "rest", lambda _, run: "tanh" in run)
    merged, undivided = (read_tables(f) for f in (merge([rest, half], tmp_path / "out"), whole))
    assert set(merged["runs"]["run_id"]) == set(undivided["runs"]["run_id"])


def test_missing_and_empty_folders_are_named(whole: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused([whole, tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "manifest.json").write_bytes((whole / "manifest.json").read_bytes())
    assert "no results here" in refused([whole, tmp_path / "bare"], tmp_path / "out")
    assert "named twice" in refused([whole, whole / ".." / "whole"], tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_alone(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    assert "not empty" in refused([whole], out)
    assert "not empty" in refused([whole], whole)
    assert "not empty" in refused([whole], whole / "manifest.json")
    (out / "mine").unlink()
    assert all_files(merge([whole], out)) == all_files(whole)


def test_a_place_that_cannot_be_is_one_message(whole: Path, tmp_path: Path) -> None:
    refused([whole], tmp_path / ("x" * 300))
    with pytest.raises(ResultsError, match=r"manifest\.json: "):
        merge([whole], whole / "manifest.json" / "out")


def test_a_full_disk_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    with full_disk():
        assert "No space left" in refused([whole], tmp_path / "out")


def test_the_command_merges_and_refuses(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["merge", str(whole), "--out", str(tmp_path / "out")]
    assert guarded(lambda: app(args, standalone_mode=False)) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'out'}\n")
    assert guarded(lambda: app(args, standalone_mode=False)) == 2
    assert capsys.readouterr().err.startswith("error: ")
