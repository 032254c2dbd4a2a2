"""Which suite a name means, and the suite that `bench new` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.commands.new import new_suite
from bench.errors import SuiteError
from bench.plan import make_plan
from bench.suite import load_suite
from bench.suite.load import SHIPPED, find_suite, known_suites

SUITE = '[suite]\nname = "s"\nquestion = "q"\nreplicates = 1\n[factors]\ndepth = [2]\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_suites_of_the_folder_come_before_shipped_ones() -> None:
    assert find_suite("quick") == SHIPPED / "quick.toml"
    assert find_suite("claims/he-2015") == SHIPPED / "claims" / "he-2015.toml"
    Path("suites").mkdir()
    for written in (Path("suites/quick.toml"), Path("quick.toml")):
        written.write_text(SUITE)
        assert find_suite("quick") == known_suites()["quick"] == written
        assert find_suite(str(written)) == written


def test_known_are_suites_alone_each_by_the_name_that_commands_take() -> None:
    Path("pyproject.toml").write_text("[project]\nname = 'other'\n")
    Path("broken.toml").write_text("[suite\n")
    Path("mine.toml").write_text(SUITE)
    names = set(known_suites())
    shipped = {"default", "quick", "remedies", "mnist", "detectors", "claims/he-2015"}
    assert shipped | {"mine"} <= names and not names & {"pyproject", "broken"}
    assert all(find_suite(name) == path for name, path in known_suites().items())
    with pytest.raises(SuiteError, match=r'no suite file "suites/defalt.toml".*Did you mean "default"\? Known: .*mine'):
        find_suite("suites/defalt.toml")


def test_a_new_suite_can_be_planned_and_replaces_nothing() -> None:
    path = new_suite("mine")
    assert path == Path("mine.toml") and len(make_plan(load_suite(path)).runs) == 24
    for taken in ("mine", "quick"):
        with pytest.raises(SuiteError, match="there is a suite"):
            new_suite(taken)
    Path("suites").mkdir()
    assert new_suite("other") == Path("suites/other.toml")
    for wrong in ("../up", "größe", "", "a" * 61, "x.toml"):
        with pytest.raises(SuiteError, match="cannot be a suite's name: A to Z, a to z, digits"):
            new_suite(wrong)


def test_versions_are_printed_without_a_command() -> None:
    said = CliRunner().invoke(app, ["--version"]).output
    assert [word.split()[0] for word in said.split(", ")] == ["gradtrial", "keras", "tensorflow"]
