"""`bench run` on a folder that holds something already: what is found, what is left, what is tried again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from bench.cli import guarded
from bench.commands.found import continued
from bench.commands.merge import merge
from bench.commands.run import Options, run_suite
from bench.commands.show import show_run
from bench.errors import DataError, ExecutorError, ResultsError, RunsFailed, SuiteError
from bench.executors.answers import Answer, Status
from bench.plan import make_plan
from bench.report import write_report
from bench.results import Manifest, Results, count_statuses, read_manifest, read_tables
from bench.results.files import replace_durably
from bench.schema import TABLES
from bench.suite import Suite, load_suite
from tests.inline import InlineExecutor, with_workers

pytestmark = pytest.mark.usefixtures("inline")
SUITE = """
[suite]
name = "tiny"
question = "?"
replicates = 2

[factors]
depth = [2, 6]
clipping = ["none", "value", "global_norm"]

[fixed]
steps = 5
width = 4
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE)
    return load_suite(path)


@pytest.fixture
def undisturbed(suite: Suite, tmp_path: Path) -> dict[str, bytes]:
    return files(run_suite(suite, Options(tmp_path / "undisturbed", dry=True)))


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every table's files, but for those of timings."""
    paths = sorted((folder / "tables").glob("*/*.parquet"))
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in paths if p.parent.name != "timings"}


def poison(monkeypatch: pytest.MonkeyPatch, target: str = "crash_if_poisoned") -> None:
    if target == "crash_if_poisoned":
        with_workers(monkeypatch)
    monkeypatch.setattr("bench.commands.run.DRY", f"tests.executors.targets:{target}")


@contextmanager
def killed_before(table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A driver that ends when it is about to put a file of this table in its place."""

    def killed(written: Path, path: Path) -> None:
        if path.parent.name == table:
            raise KeyboardInterrupt
        replace_durably(written, path)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("bench.results.folder.replace_durably", killed)
        yield


def test_only_runs_what_fits_and_the_rest_joins_it_later(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run_suite(suite, Options(out, dry=True, only='clipping == "value"'))
    assert set(read_tables(out)["runs"]["clipping"]) == {"value"}
    assert read_manifest(out).planned.runs == 12
    assert "0 done earlier, 4 to run, 8 left out by --only" in capsys.readouterr().err
    run_suite(suite, Options(out, dry=True))
    assert "4 done earlier, 8 to run" in capsys.readouterr().err
    assert files(out) == undisturbed


def test_only_leaves_the_rest_of_the_folder_alone(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes]
) -> None:
    run_suite(suite, Options(tmp_path / "undisturbed", dry=True, only="depth == 2"))
    assert files(tmp_path / "undisturbed") == undisturbed


def test_fresh_and_only_contradict(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="--fresh"):
        run_suite(suite, Options(tmp_path / "out", dry=True, fresh=True, only="depth == 2"))


def test_a_failed_run_stays_until_it_is_asked_for(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as poisoned:
        poison(poisoned, "raise_if_poisoned")
        with pytest.raises(RunsFailed, match="2 runs failed"):
            run_suite(suite, Options(out, dry=True))
    runs = read_tables(out)["runs"]
    assert runs.loc[runs["status"] == "failed", ["clipping", "replicate"]].to_numpy().tolist() == [["value", 1]] * 2
    assert "planted" in runs["error"].dropna().iloc[0]
    with pytest.raises(RunsFailed, match="--retry-failed"):
        run_suite(suite, Options(out, dry=True))
    assert guarded(lambda: run_suite(suite, Options(out, dry=True))) == 3
    assert (read_tables(out)["runs"]["status"] == "failed").sum() == 2
    run_suite(suite, Options(out, dry=True, retry_failed=True))
    assert files(out) == undisturbed


def test_what_went_wrong_is_in_the_manifest(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as poisoned:
        poison(poisoned, "hoard_if_large")
        run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed
    incidents = read_manifest(out).incidents
    assert {(incident["status"], incident["measure"]) for incident in incidents} == {("out of memory", "made smaller")}
    assert "planted" in incidents[0]["reason"]
    run_suite(suite, Options(out, dry=True))
    assert read_manifest(out).incidents == incidents


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_folder_whose_driver_was_killed_between_two_files_is_made_whole(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    out = tmp_path / "out"
    run_suite(suite, Options(out, dry=True, only='clipping == "none"'))
    before = read_tables(out)
    with killed_before(table, monkeypatch):
        run_suite(suite, Options(out, dry=True))
    after = read_tables(out)
    for name in TABLES.keys() - {"timings"}:  # what was finished is there, of the rest nothing
        pd.testing.assert_frame_equal(before[name], after[name])
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


@pytest.mark.parametrize("digests", [True, False])
def test_rows_of_runs_that_were_not_finished_do_not_stay_when_others_are_trained(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch, digests: bool
) -> None:
    out = tmp_path / "out"
    run_suite(suite, Options(out, dry=True, only='clipping == "none"'))
    with killed_before("runs", monkeypatch):
        run_suite(suite, Options(out, dry=True))
    if not digests:
        shutil.rmtree(out / "digests")
        with pytest.raises(ResultsError, match=r"a run that table runs lacks\. `bench run` mends it"):
            read_tables(out)
    run_suite(suite, Options(out, dry=True, only='clipping == "value"'))
    assert set(read_tables(out)["loss_curves"]["run_id"]) == set(read_tables(out)["runs"]["run_id"])
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


def test_every_command_reads_a_cohort_whose_driver_was_killed_between_two_files(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_suite(suite, Options(tmp_path / "out", dry=True, only='clipping == "none"'))
    with killed_before("timings", monkeypatch):
        run_suite(suite, Options(out, dry=True))
    rows = pd.read_parquet(out / "tables" / "loss_curves")
    assert len(set(rows["run_id"])) > len(pd.read_parquet(out / "tables" / "runs"))  # files are read as they are
    assert "8 not run yet" in write_report(out).read_text()
    assert count_statuses(out)["completed"] == 4
    merge([out], tmp_path / "merged")
    assert "4 of 12 runs" in capsys.readouterr().out
    assert len(set(pd.read_parquet(tmp_path / "merged" / "tables" / "loss_curves")["run_id"])) == 4
    show_run(out, read_tables(out)["runs"]["run_id"].iloc[0])
    with pytest.raises(ResultsError, match="no run"):
        show_run(out, "d6-w4-relu-s5-value")


def test_a_second_kill_between_two_files_changes_nothing(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_suite(suite, Options(out, dry=True, only='clipping == "none"'))
    for table, only in (("evaluations", ""), ("activations", 'clipping == "value"'), ("runs", "")):
        with killed_before(table, monkeypatch):
            run_suite(suite, Options(out, dry=True, only=only))
        assert set(read_tables(out)["runs"]["clipping"]) == {"none"}
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


@pytest.mark.parametrize("damage", ["cut", "flip", "unlink"])
def test_a_damaged_file_is_made_anew(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], damage: str
) -> None:
    out = tmp_path / "undisturbed"
    for table in TABLES:
        path = sorted((out / "tables" / table).glob("*.parquet"))[0]
        content = path.read_bytes()
        if damage == "unlink":
            path.unlink()
        else:
            middle = len(content) // 8
            flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
            path.write_bytes(content[:middle] if damage == "cut" else flipped)
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


def test_progress_for_machines_counts_every_run(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(monkeypatch, "raise_if_poisoned")
    with pytest.raises(RunsFailed):
        run_suite(suite, Options(tmp_path / "out", dry=True, json_progress=True))
    printed = capsys.readouterr()
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert not printed.err
    for event in events:
        assert event["done"] + event["running"] + event["left"] == event["planned"] == 12
    assert events[0]["event"] == "found"
    assert {"cohort", "incident"} <= {event["event"] for event in events}
    assert [event["done"] for event in events] == sorted(event["done"] for event in events)
    last = events[-1]
    assert (last["event"], last["done"], last["failed"], last["diverged"], last["left"]) == ("ended", 12, 2, 0, 0)
    assert last["seconds_left"] == 0


def test_progress_for_people_counts_failed_and_left(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(monkeypatch)
    with pytest.raises(RunsFailed):
        run_suite(suite, Options(tmp_path / "out", dry=True, only="depth == 2"))
    said = capsys.readouterr().err
    assert "6/6 runs done: 0 running, 1 failed, 0 diverged, 0 left" in said
    assert "given up (crashed): the worker process died (exit code 3)" in said
    assert "last words" in read_tables(tmp_path / "out")["runs"]["error"].dropna().iloc[0]


def test_tables_without_a_manifest_are_refused(suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes]) -> None:
    (tmp_path / "undisturbed" / "manifest.json").unlink()
    with pytest.raises(ResultsError, match="no manifest"):
        run_suite(suite, Options(tmp_path / "undisturbed", dry=True))


def test_another_suite_of_the_same_name_does_not_take_the_folder(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes]
) -> None:
    """Another file or question, and no run in common; one's own suite may be edited as one likes."""
    out = tmp_path / "undisturbed"
    depths = SUITE.replace("[2, 6]", "[3]")
    page = out / "index.html"
    page.write_text("the first suite's")
    for name, text in (("other", depths), ("tiny", depths.replace('"?"', '"Another?"'))):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        with pytest.raises(ResultsError, match=r"another suite named .tiny. \(tiny\.toml\).*\[suite\] name, use --out"):
            run_suite(load_suite(path), Options(out, dry=True))
        assert files(out) == undisturbed and page.read_text() == "the first suite's"
    (tmp_path / "other.toml").write_text(SUITE.replace("[2, 6]", "[2, 3]").replace('"?"', '"Another?"'))
    run_suite(load_suite(tmp_path / "other.toml"), Options(out, dry=True))  # half of its runs are there
    (tmp_path / "other.toml").write_text(depths.replace('"?"', '"Another?"'))
    run_suite(load_suite(tmp_path / "other.toml"), Options(out, dry=True))  # edited
    run_suite(suite, Options(out, dry=True))  # its runs are still there, superseded
    assert files(out) == undisturbed


def test_a_start_that_fails_leaves_everything_as_it_was(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise DataError("nowhere.npz: no such file")

    out = tmp_path / "out"
    with monkeypatch.context() as poisoned, pytest.raises(RunsFailed):
        poison(poisoned, "raise_if_poisoned")
        run_suite(suite, Options(out, dry=True))
    replace(read_manifest(out), dry=False).write(out)  # as if trained: then data and plugins are tried
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("bench.commands.run.try_levels", missing)
    (tmp_path / "there").mkdir()
    for place in (tmp_path / "reports" / "deep" / "out", tmp_path / "there", out):
        for change in ({}, {"fresh": True}, {"retry_failed": True}):
            if change or place != out:  # where nothing is left to train, nothing is tried
                with pytest.raises(DataError):
                    run_suite(suite, Options(place, **change))
    assert not (tmp_path / "reports").exists() and not list((tmp_path / "there").iterdir())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_workers_that_answer_nothing_cost_no_result(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--fresh` discards when there is something to put in place, not before."""
    out = tmp_path / "undisturbed"
    manifest = (out / "manifest.json").read_bytes()
    with monkeypatch.context() as context, pytest.raises(ExecutorError, match="another version"):
        context.setattr(InlineExecutor, "submit", unfit)
        run_suite(suite, Options(out, dry=True, fresh=True))
    assert files(out) == undisturbed and (out / "manifest.json").read_bytes() == manifest


def unfit(*_: object) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(Answer(Status.UNFIT, "a node has another version"))
    return future


def test_a_full_disk_is_one_message_and_what_was_written_stays(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = pa.parquet.write_table
    calls: list[int] = []

    def full(*args: object, **settings: object) -> None:
        calls.append(1)
        if len(calls) > 10:
            raise OSError(28, "No space left on device")
        write(*args, **settings)

    with monkeypatch.context() as context:
        context.setattr("bench.results.folder.pq.write_table", full)
        with pytest.raises(ResultsError, match=r"No space left on device.*goes on from there"):
            run_suite(suite, Options(out, dry=True))
    assert len(read_tables(out)["runs"]) == 6
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


def test_going_on_or_merging_with_other_arithmetic_is_said_and_noted(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(name: str, **machine: str) -> Results:
        results = Results(run_suite(suite, Options(tmp_path / name, dry=True)))
        manifest = read_manifest(results.folder)
        results.write_manifest(replace(manifest, dry=False, machine={**manifest.machine, **machine}))
        return results

    here, there = trained("here"), trained("there", onednn="of old", vector_extensions="of old")
    plan = make_plan(suite)
    manifest = Manifest.of(suite, plan)
    assert not continued(here, manifest, plan).incidents
    assert "arithmetic" not in capsys.readouterr().err
    (incident,) = continued(there, manifest, plan).incidents
    for words in (incident["reason"], capsys.readouterr().err):
        assert "onednn of old and " in words
        assert "vector extensions of old and " in words
        assert "processor" not in words
    merge([here.folder, there.folder], tmp_path / "both")
    assert "there were computed with other arithmetic (vector extensions " in capsys.readouterr().out
