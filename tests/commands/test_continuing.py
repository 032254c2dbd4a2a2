"""`bench run` on a folder that holds something already: what is found, what is left, what is tried again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.cli import guarded
from bench.commands.found import continued
from bench.commands.merge import merge
from bench.commands.show import show_run
from bench.errors import DataError, ExecutorError, ResultsError, RunsFailed, SuiteError
from bench.executors.child import Status
from bench.plan import make_plan
from bench.report import dump_report
from bench.results import Manifest, Results, count_statuses, read_manifest, read_tables
from bench.results.files import digest_of
from bench.schema import ASKED, TABLES
from tests.inline import Failing, Tiny, files, full_disk, killed_before, suite_of


@contextmanager
def poisoned(target: str) -> Iterator[None]:
    """Where a worker is to train a cohort with the poisoned run, it does this."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.commands.run.DRY", f"tests.executors.targets:{target}")
        yield


def test_only_runs_what_fits_and_the_rest_joins_it_later(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    out = tiny.run(only='clipping == "value"')
    assert set(read_tables(out)["runs"]["clipping"]) == {"value"}
    assert read_manifest(out).planned.runs == 12
    assert "0 done earlier, 4 to run, 8 left out by --only" in capsys.readouterr().err
    tiny.run()
    assert "4 done earlier, 8 to run" in capsys.readouterr().err
    assert files(out) == tiny.undisturbed
    tiny.run(only="depth == 2")  # it leaves the rest of the folder alone
    assert files(out) == tiny.undisturbed


def test_fresh_and_only_contradict(tiny: Tiny) -> None:
    with pytest.raises(SuiteError, match="--fresh"):
        tiny.run(fresh=True, only="depth == 2")


def test_a_failed_run_stays_until_it_is_asked_for(tiny: Tiny) -> None:
    out = tiny.folder / "out"
    with poisoned("raise_if_poisoned"), pytest.raises(RunsFailed, match="2 runs failed"):
        tiny.run()
    runs = read_tables(out)["runs"]
    assert runs.loc[runs["status"] == "failed", ["clipping", "replicate"]].to_numpy().tolist() == [["value", 1]] * 2
    assert "planted" in runs["error"].dropna().iloc[0]
    with pytest.raises(RunsFailed, match="--retry-failed"):
        tiny.run()
    assert guarded(tiny.run) == 3
    assert (read_tables(out)["runs"]["status"] == "failed").sum() == 2
    tiny.run(retry_failed=True)
    assert files(out) == tiny.undisturbed


def test_what_went_wrong_is_in_the_manifest(tiny: Tiny) -> None:
    with poisoned("hoard_if_large"):
        out = tiny.run()
    assert files(out) == tiny.undisturbed
    incidents = read_manifest(out).incidents
    assert {(incident["status"], incident["measure"]) for incident in incidents} == {("out of memory", "made smaller")}
    assert "planted" in incidents[0]["reason"]
    tiny.run()
    assert read_manifest(out).incidents == incidents


@pytest.mark.parametrize("table", sorted(TABLES.keys() - ASKED))
def test_a_folder_whose_driver_was_killed_between_two_files_is_made_whole(tiny: Tiny, table: str) -> None:
    out = tiny.run(only='clipping == "none"')
    before = read_tables(out)
    with killed_before(table):
        tiny.run()
    after = read_tables(out)
    for name in TABLES.keys() - {"timings"}:  # what was finished is there, of the rest nothing
        pd.testing.assert_frame_equal(before[name], after[name])
    tiny.run()
    assert files(out) == tiny.undisturbed


@pytest.mark.parametrize("digests", [True, False])
def test_rows_of_runs_that_were_not_finished_do_not_stay_when_others_are_trained(tiny: Tiny, digests: bool) -> None:
    out = tiny.run(only='clipping == "none"')
    with killed_before("runs"):
        tiny.run()
    if not digests:
        shutil.rmtree(out / "digests")
        with pytest.raises(ResultsError, match=r"a run that table runs lacks\. `bench run` mends it"):
            read_tables(out)
    tiny.run(only='clipping == "value"')
    assert set(read_tables(out)["loss_curves"]["run_id"]) == set(read_tables(out)["runs"]["run_id"])
    tiny.run()
    assert files(out) == tiny.undisturbed


def test_every_command_reads_a_cohort_that_was_killed_half_way(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    out, merged = tiny.run(only='clipping == "none"'), tiny.folder / "merged"
    with killed_before("timings"):
        tiny.run()
    rows = pd.read_parquet(out / "tables" / "loss_curves")
    assert len(set(rows["run_id"])) > len(pd.read_parquet(out / "tables" / "runs"))  # files are read as they are
    assert "8 not run yet" in str(dump_report(out))
    assert count_statuses(out)["completed"] == 4
    merge([out], merged)
    assert "4 of 12 runs" in capsys.readouterr().out
    assert len(set(pd.read_parquet(merged / "tables" / "loss_curves")["run_id"])) == 4
    show_run(out, read_tables(out)["runs"]["run_id"].iloc[0])
    with pytest.raises(ResultsError, match="no run"):
        show_run(out, "d6-w4-relu-s5-value")


def test_a_second_kill_between_two_files_changes_nothing(tiny: Tiny) -> None:
    out = tiny.run(only='clipping == "none"')
    for table, only in (("evaluations", ""), ("activations", 'clipping == "value"'), ("runs", "")):
        with killed_before(table):
            tiny.run(only=only)
        assert set(read_tables(out)["runs"]["clipping"]) == {"none"}
    tiny.run()
    assert files(out) == tiny.undisturbed


@pytest.mark.parametrize("damage", ["cut", "flip", "unlink"])
def test_a_damaged_file_is_made_anew(tiny: Tiny, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tiny.run()
    for table in TABLES.keys() - ASKED:
        path = sorted((out / "tables" / table).glob("*.parquet"))[0]
        content = path.read_bytes()
        if damage == "unlink":
            path.unlink()
        else:
            middle = len(content) // 8
            flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
            path.write_bytes(content[:middle] if damage == "cut" else flipped)
    capsys.readouterr()
    tiny.run()
    said = "1 cohort with a missing or damaged file to be trained again" in capsys.readouterr().err
    assert said == (damage != "unlink")  # which takes the done-mark too: nothing says that there was one
    assert files(out) == tiny.undisturbed


def test_progress_for_machines_counts_every_run(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    with poisoned("raise_if_poisoned"), pytest.raises(RunsFailed):
        tiny.run(json_progress=True)
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
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crashing = Failing(Status.CRASHED, said="the worker process died (exit code 3)\nlast words")
    monkeypatch.setattr("bench.commands.run.open_executor", lambda *_: crashing)
    with pytest.raises(RunsFailed):
        tiny.run(only="depth == 2")
    said = capsys.readouterr().err
    assert "6/6 runs done: 0 running, 1 failed, 0 diverged, 0 left" in said
    assert "given up (crashed): the worker process died (exit code 3)" in said
    assert "last words" in read_tables(tiny.folder / "out")["runs"]["error"].dropna().iloc[0]


def test_tables_without_a_manifest_are_refused(tiny: Tiny) -> None:
    (tiny.run() / "manifest.json").unlink()
    with pytest.raises(ResultsError, match="no manifest"):
        tiny.run()


@pytest.mark.parametrize("digests", [True, False])
def test_tables_of_another_version_are_refused_and_stay(tiny: Tiny, digests: bool) -> None:
    out = tiny.run()
    path = sorted((out / "tables" / "gradient_norms").glob("*.parquet"))[0]
    rows = pq.read_table(path)
    pq.write_table(rows.drop_columns(["update_norm"]), path)
    record = out / "digests" / f"{path.stem}.json"
    if digests:
        known = json.loads(record.read_text())
        record.write_text(json.dumps(known | {"gradient_norms": [digest_of(path.read_bytes())]}))
    else:
        record.unlink()
    before = files(out)
    for suite in (tiny.suite, suite_of(tiny.folder, "[2, 3]")):
        with pytest.raises(
            ResultsError, match=r"1 cohort in .* another gradtrial \(.*; gradient_norms lacks update_norm"
        ):
            tiny.run(suite=suite)
        assert files(out) == before and not (out / "superseded").exists()
    assert len(read_tables(out)["runs"]) == 12
    tiny.run(fresh=True)
    assert files(out) == tiny.undisturbed


def test_another_suite_of_the_same_name_does_not_take_the_folder(tiny: Tiny) -> None:
    """Another file or question, and no run in common; one's own suite may be edited as one likes."""
    out = tiny.run()
    page = out / "index.html"
    page.write_text("the first suite's")
    for name, depths, question in (("other", "[3]", "?"), ("tiny", "[3]", "Another?")):
        with pytest.raises(ResultsError, match=r"another suite named .tiny. \(tiny\.toml\).*\[suite\] name, use --out"):
            tiny.run(suite=suite_of(tiny.folder, depths, question, name))
        assert files(out) == tiny.undisturbed and page.read_text() == "the first suite's"
    tiny.run(suite=suite_of(tiny.folder, "[2, 3]", "Another?", "other"))  # half of its runs are there
    tiny.run(suite=suite_of(tiny.folder, "[3]", "Another?", "other"))  # edited
    tiny.run()  # its runs are still there, superseded
    assert files(out) == tiny.undisturbed


def test_a_start_that_fails_leaves_everything_as_it_was(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise DataError("nowhere.npz: no such file")

    out = tiny.folder / "out"
    with poisoned("raise_if_poisoned"), pytest.raises(RunsFailed):
        tiny.run()
    replace(read_manifest(out), dry=False).write(out)  # as if trained: then data and plugins are tried
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("bench.commands.run.try_levels", missing)
    (tiny.folder / "there").mkdir()
    for place in ("reports/deep/out", "there", "out"):
        for change in ({}, {"fresh": True}, {"retry_failed": True}):
            if change or place != "out":  # where nothing is left to train, nothing is tried
                with pytest.raises(DataError):
                    tiny.run(place, dry=False, **change)
    assert not (tiny.folder / "reports").exists() and not list((tiny.folder / "there").iterdir())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_workers_that_answer_nothing_cost_no_result(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--fresh` discards when there is something to put in place, not before."""
    out = tiny.run()
    manifest = (out / "manifest.json").read_bytes()
    unfit = Failing(Status.UNFIT, said="a node has another version")
    with monkeypatch.context() as context, pytest.raises(ExecutorError, match="another version"):
        context.setattr("bench.commands.run.open_executor", lambda *_: unfit)
        tiny.run(fresh=True)
    assert files(out) == tiny.undisturbed and (out / "manifest.json").read_bytes() == manifest


def test_a_full_disk_is_one_message_and_what_was_written_stays(tiny: Tiny) -> None:
    with full_disk(room=10), pytest.raises(ResultsError, match=r"No space left on device.*goes on from there"):
        tiny.run()
    assert len(read_tables(tiny.folder / "out")["runs"]) == 6
    assert files(tiny.run()) == tiny.undisturbed


def test_going_on_or_merging_with_other_arithmetic_is_said(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    def trained(name: str, **machine: str) -> Results:
        results = Results(tiny.run(name))
        manifest = read_manifest(results.folder)
        results.write_manifest(replace(manifest, dry=False, machine={**manifest.machine, **machine}))
        return results

    here, there = trained("here"), trained("there", onednn="of old", vector_extensions="of old")
    plan = make_plan(tiny.suite)
    manifest = Manifest.of(tiny.suite, plan)
    assert not continued(here, manifest, plan).incidents
    assert "arithmetic" not in capsys.readouterr().err
    (incident,) = continued(there, manifest, plan).incidents
    for words in (incident["reason"], capsys.readouterr().err):
        assert "onednn of old and " in words
        assert "vector extensions of old and " in words
        assert "processor" not in words
    merge([here.folder, there.folder], tiny.folder / "both")
    assert "there were computed with other arithmetic (vector extensions " in capsys.readouterr().out


# Cohorts that were set aside


@pytest.fixture
def others(tiny: Tiny) -> Path:
    """A folder of other versions whose suite was changed as a whole: two cohorts set aside, and tables of one."""
    tiny.run()
    out = tiny.run(suite=suite_of(tiny.folder, "[3]"))
    manifest = read_manifest(out)
    replace(manifest, versions={**manifest.versions, "keras": "2.0.0"}).write(out)
    return out


def test_cohorts_of_other_versions_do_not_come_back_beside_new_ones(others: Path, tiny: Tiny) -> None:
    for path in (others / "tables").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(ResultsError, match=r"other versions \(keras 2\.0\.0 -> "):
        tiny.run()
    assert not list((others / "tables").rglob("*.parquet"))


def test_fresh_discards_what_was_set_aside(others: Path, tiny: Tiny) -> None:
    tiny.run(suite=suite_of(tiny.folder, "[3]"), fresh=True)
    assert not (others / "superseded").exists()
    assert set(read_tables(others)["runs"]["depth"]) == {3}


def test_a_driver_killed_while_it_discards_leaves_nothing_to_mix(others: Path, tiny: Tiny) -> None:
    with killed_before("tables"):
        tiny.run(fresh=True)
    assert not (others / "superseded").exists()
    with pytest.raises(ResultsError, match="other versions"):
        tiny.run()
    tiny.run(fresh=True)
    assert sorted(path.name for path in others.iterdir()) == [".lock", "digests", "manifest.json", "tables"]
