"""`bench compare` on results made by formula: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.cohorts import suite_text
from tests.inline import InlineExecutor, bench

FIXED: dict[str, object] = {"activation": "tanh", "steps": 20}
SUITE = suite_text("comparing", "Does anything change?", 3, FIXED, depth=[4, 12], learning_rate=[0.01, 0.1])
OTHER = suite_text("another", "Another question?", 3, FIXED, depth=[4])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `base`, `again` of the same suite, and `other` of another."""
    place = tmp_path_factory.mktemp("compare")
    (place / "comparing.toml").write_text(SUITE, "utf-8")
    (place / "another.toml").write_text(OTHER, "utf-8")
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.commands.run.open_executor", lambda *_: InlineExecutor())
        for suite, out in (("comparing", "base"), ("another", "other")):
            done = bench("run", place / f"{suite}.toml", "--dry", "--no-report", "--out", place / out)
            assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def folders(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The base, and a copy of it that a test may change."""
    shutil.copytree(made / "base", tmp_path / "after")
    return made / "base", tmp_path / "after"


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def rewrite(folder: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table of every cohort; without digests nobody knows."""
    shutil.rmtree(folder / "digests", ignore_errors=True)
    for path in (folder / "tables" / table).glob("*.parquet"):
        pq.write_table(change(pq.read_table(path)), path)


def fail_one(runs: pa.Table) -> pa.Table:
    first = pc.equal(runs["replicate"], 0)
    return runs.set_column(
        runs.column_names.index("status"), "status", pc.if_else(first, pa.scalar("failed"), runs["status"])
    )


def test_equal_tables_are_bit_identical_and_versions_come_first(folders: tuple[Path, Path]) -> None:
    base, after = folders
    edit(after, lambda each: each["versions"].update(keras="3.14.0"))  # type: ignore[attr-defined]
    edit(after, lambda each: each["machine"].update(onednn="off"))  # type: ignore[attr-defined]
    found = bench("compare", base, after, "--fail-on", "worse", "--fail-on", "inconclusive")
    assert found.returncode == 0, found.stderr
    said = found.stdout
    assert said.index("3.14.0") < said.index("onednn") < said.index("Verdict: same") < said.index("failed")
    assert "Bit-identical" in said


def timed(folder: Path, **columns: float) -> None:
    """Write these into every cohort's timings."""

    def change(rows: pa.Table) -> pa.Table:
        for name, value in columns.items():
            rows = rows.set_column(rows.column_names.index(name), name, pa.array([value] * len(rows)))
        return rows

    rewrite(folder, "timings", change)


def test_a_margin_of_time_is_judged_where_every_number_is_equal_to_the_bit(folders: tuple[Path, Path]) -> None:
    base, after = shutil.copytree(folders[0], folders[1].parent / "before"), folders[1]
    timed(base, train_seconds=2.0, train_processor_time=1.96, machine_busy=0.97)
    timed(after, train_seconds=6.0, train_processor_time=5.9, machine_busy=0.99)
    assert "Bit-identical" in bench("compare", base, after).stdout
    told = json.loads(bench("compare", base, after, "--json", "--margin", "time=0.1").stdout)
    assert told["verdict"] != "same" and not told["identical"] and not told["times_unlike"]
    assert "time per step" in " ".join(told["why"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"train_processor_time": 2.0, "machine_busy": 1.0}, "BASE had a processor in 50 % of its time, CAN"),
        ({"train_processor_time": 3.92, "machine_busy": 1.0}, "With BASE 100 % of the machine was in use, w"),
        ({}, "How busy the machine was is not recorded on both sides"),
    ],
)  # fmt: skip
def test_no_time_is_judged_that_was_measured_beside_other_work(
    columns: dict[str, float], said: str, folders: tuple[Path, Path]
) -> None:
    base, after = shutil.copytree(folders[0], folders[1].parent / "before"), folders[1]
    timed(base, train_seconds=4.0, **columns)
    timed(after, train_seconds=2.0, train_processor_time=1.96, machine_busy=0.55)  # half the time: better, it seems
    told = json.loads(bench("compare", base, after, "--json", "--margin", "time=0.1").stdout)
    assert told["verdict"] == "inconclusive" and told["why"][0].startswith("No time is judged. " + said)
    assert {row["verdict"] for row in told["all_pairs"] if row["response"] == "time"} == {"inconclusive"}


def test_a_difference_within_all_margins_that_nothing_explains_is_said_first(folders: tuple[Path, Path]) -> None:
    base, after = folders
    rewrite(after, "evaluations", lambda rows: rows.set_column(
        rows.column_names.index("loss"), "loss", pc.multiply(rows["loss"], pa.scalar(1.0 + 1e-6))))  # fmt: skip
    told = json.loads(bench("compare", base, after, "--json").stdout)
    alone = json.loads((base / "manifest.json").read_text())["machine"]["gpus"] == "none"
    assert told["verdict"] == "same" and told["unexplained"] == alone
    said = "The same, within the margins, yet something changed: unchanged code gives the same bits here."
    for form in ((), ("--markdown",)):
        assert (said in bench("compare", base, after, *form).stdout) == alone
    edit(after, lambda each: each["versions"].update(keras="3.14.0"))  # type: ignore[attr-defined]
    assert "yet something changed" not in bench("compare", base, after).stdout


def test_a_new_failure_ends_with_3_and_all_forms_say_so(folders: tuple[Path, Path]) -> None:
    base, after = folders
    rewrite(after, "runs", fail_one)
    found = bench("compare", base, after, "--json", "--fail-on", "worse")
    assert found.returncode == 3
    told = json.loads(found.stdout)
    assert told["verdict"] == "worse" and told["why"][0] == "4 runs failed that had not."
    assert {row["verdict"] for row in told["cell_verdicts"]} == {"worse"} and told["tables_that_differ"] == ["runs"]
    assert "worse. 4 runs failed that had not." in found.stderr
    document = bench("compare", base, after, "--markdown").stdout
    assert document.startswith("## comparing: worse\n") and "\n| failed | 0 | 4 | 0 | 4 |" in document
    assert bench("compare", base, after).returncode == 0


def test_a_margin_is_set_by_name(folders: tuple[Path, Path]) -> None:
    base, after = folders
    told = json.loads(bench("compare", base, after, "--json", "--margin", "accuracy=0.3").stdout)
    margins = {row["response"]: row for row in told["margins"]}
    assert margins["accuracy"]["margin"] == 0.3 and margins["accuracy"]["given"]
    for wrong, said in (
        ("time_signal=1", "no pair has this number on both sides"),
        ("acuracy=1", 'Did you mean "accuracy"'),
        ("accuracy=x", "above 0"),
        ("loss=-1", "above 0"),
    ):
        found = bench("compare", base, after, "--margin", wrong)
        assert found.returncode == 2 and said in found.stderr


def unfinished(folder: Path) -> None:
    edit(folder, lambda each: each.update(ended=None))


def newer(folder: Path) -> None:
    edit(folder, lambda each: each.update(version=99))


def former(folder: Path) -> None:
    text = (folder / "manifest.json").read_text().replace("gradtrial", "gradbench")
    (folder / "manifest.json").write_text(text)


def short(folder: Path) -> None:
    rewrite(folder, "runs", lambda runs: runs.filter(pc.greater(runs["replicate"], 0)))
    for path in (folder / "tables").glob("*"):
        if path.name not in ("runs", "timings"):
            rewrite(folder, path.name, lambda rows: rows.filter(pc.invert(pc.ends_with(rows["run_id"], "-r0"))))


def by_formula(folder: Path) -> None:
    edit(folder, lambda each: each.update(dry=False))


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def cut_short(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text()[:200])


def without_a_table(folder: Path) -> None:
    shutil.rmtree(folder / "tables" / "loss_curves")


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("something else")


REFUSED = {
    unfinished: "is not finished: `bench run comparing.toml --out",
    newer: "is of version 99",
    former: "was made by gradbench, as gradtrial was called before",
    short: "lacks 4 of 12 planned runs",
    by_formula: "holds dry results and",
    gone: "no manifest.json here",
    cut_short: "after --fresh` makes the results anew",
    without_a_table: "after` trains that cohort again",
    a_file: "after is a file: name a results folder",
}


@pytest.mark.parametrize("harm", REFUSED, ids=lambda harm: harm.__name__)
def test_what_cannot_be_compared_ends_with_2_and_one_sentence(
    harm: Callable[[Path], None], folders: tuple[Path, Path]
) -> None:
    base, after = folders
    harm(after)
    for sides in ((base, after), (after, base)) if harm is not by_formula else ((base, after),):
        found = bench("compare", *sides)
        assert found.returncode == 2 and REFUSED[harm] in found.stderr, found.stderr
        assert len(found.stderr.splitlines()) == 1 and not found.stdout


def test_a_suite_of_ones_own_has_no_reference_results(folders: tuple[Path, Path]) -> None:
    edit(folders[1], lambda each: each.update(dry=False))
    found = bench("compare", "reference", folders[1])
    assert found.returncode == 2 and not found.stdout
    assert 'after holds the suite "comparing", and reference results are of gradtrial\'s own' in found.stderr
    assert f"`bench compare BASE {folders[1]}` compares with results of yours" in found.stderr


def test_one_folder_twice_another_suite_and_an_unknown_reference_are_refused(made: Path) -> None:
    for sides, said in (
        ((made / "base", made / "other" / ".." / "base"), "are one folder"),
        ((made / "base", made / "other"), 'holds the suite "comparing" and'),
        (("reference", made / "base"), "base holds dry results, and reference results were trained"),
        ((made / "base", "reference"), "reference results stand first"),
    ):
        found = bench("compare", *sides)
        assert found.returncode == 2 and said in found.stderr, found.stderr
    assert bench("compare", made / "base", made / "other", "--fail-on", "same").returncode == 2
