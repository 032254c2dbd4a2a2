"""`bench run` on a merged folder: what the machines did not train is trained, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.commands.executor import Where
from bench.commands.found import Keeper
from bench.commands.merge import merge
from bench.commands.run import Options, run_suite
from bench.executors.tables import Tables
from bench.plan import Cohort
from bench.results import read_manifest, read_tables
from bench.suite import Suite, load_suite
from tests.commands.test_continuing import SUITE, files, poison
from tests.inline import with_workers

pytestmark = pytest.mark.usefixtures("inline")
TRAINED = SUITE.replace("[2, 6]", "[3]").replace("steps = 5", "steps = 4")
HALVES = ('clipping == "value" and depth == 2', 'clipping == "global_norm" or depth == 6 and clipping == "value"')


def suite_of(folder: Path, text: str = SUITE) -> Suite:
    path = folder / "tiny.toml"
    path.write_text(text)
    return load_suite(path)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return suite_of(tmp_path)


@pytest.fixture
def undisturbed(suite: Suite, tmp_path: Path) -> Mapping[str, bytes]:
    return files(run_suite(suite, Options(tmp_path / "undisturbed", dry=True)))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a driver writes, in a list that tests may clear."""
    written: list[str] = []
    keep = Keeper.keep

    def kept(self: Keeper, part: Cohort, made: Tables) -> None:
        written.extend(run.run_id for run in part.runs)
        keep(self, part, made)

    monkeypatch.setattr(Keeper, "keep", kept)
    return written


def merged(suite: Suite, folder: Path, expressions: tuple[str, ...], *, dry: bool = True) -> Path:
    """What machines that each ran one part make together."""
    parts = [folder / f"machine-{number}" for number in range(len(expressions))]
    for part, expression in zip(parts, expressions, strict=True):
        run_suite(suite, Options(part, dry=dry, only=expression))
    return merge(parts, folder / "merged")


def test_only_what_no_machine_ran_is_trained_and_the_tables_are_the_undisturbed_ones(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], trained: list[str]
) -> None:
    out = merged(suite, tmp_path, HALVES)
    held = set(read_tables(out)["runs"]["run_id"])
    trained.clear()
    run_suite(suite, Options(out, dry=True))
    assert len(held) == 8 and len(trained) == 4 and not held & set(trained)
    assert files(out) == undisturbed


def test_a_merged_folder_is_merged_again_and_continued(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], trained: list[str]
) -> None:
    out = merged(suite, tmp_path, HALVES)
    third = run_suite(suite, Options(tmp_path / "third", dry=True, only='depth == 6 and clipping == "none"'))
    again = merge([third, out], tmp_path / "again")
    trained.clear()
    run_suite(suite, Options(again, dry=True))
    assert len(trained) == 2
    assert files(again) == undisturbed


def test_a_complete_merge_leaves_nothing_to_train(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], trained: list[str]
) -> None:
    out = merged(suite, tmp_path, ('clipping == "none"', 'clipping != "none"'))
    trained.clear()
    run_suite(suite, Options(out, dry=True))
    assert trained == []
    assert files(out) == undisturbed


def test_only_goes_on_in_a_merged_folder(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], trained: list[str]
) -> None:
    out = merged(suite, tmp_path, HALVES)
    trained.clear()
    run_suite(suite, Options(out, dry=True, only="depth == 6"))
    assert len(trained) == 2
    run_suite(suite, Options(out, dry=True))
    assert files(out) == undisturbed


def test_failed_runs_of_a_merged_folder_are_tried_again_when_asked(
    suite: Suite, tmp_path: Path, undisturbed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.errors import RunsFailed

    with monkeypatch.context() as poisoned:
        poison(poisoned, "raise_if_poisoned")
        with pytest.raises(RunsFailed):
            run_suite(suite, Options(tmp_path / "a", dry=True, only='clipping == "value"'))
    run_suite(suite, Options(tmp_path / "b", dry=True, only='clipping == "none"'))
    out = merge([tmp_path / "b", tmp_path / "a"], tmp_path / "merged")
    incidents = read_manifest(out).incidents
    assert "planted" in incidents[0]["reason"]
    run_suite(suite, Options(out, dry=True, retry_failed=True))
    assert files(out) == undisturbed
    assert read_manifest(out).incidents == incidents


def test_a_continued_merge_still_says_where_its_runs_are_from(suite: Suite, tmp_path: Path) -> None:
    out = merged(suite, tmp_path, HALVES)
    run_suite(suite, Options(out, dry=True))
    assert [source["folder"] for source in read_manifest(out).sources] == ["machine-0", "machine-1"]
    run_suite(suite, Options(out, dry=True, fresh=True))
    assert not read_manifest(out).sources


@pytest.mark.full
def test_networks_that_were_really_trained_are_joined_to_the_bit(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_workers(monkeypatch)
    suite = suite_of(tmp_path, TRAINED)
    whole = files(run_suite(suite, Options(tmp_path / "undisturbed", Where(workers=1))))
    out = merged(suite, tmp_path, ('clipping == "value"', 'clipping == "global_norm"'), dry=False)
    trained.clear()
    run_suite(suite, Options(out, Where(workers=1)))
    assert len(trained) == 2
    assert files(out) == whole
