"""The manifest: folders of every version are read, and those of a version to come are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.commands.run import Options, run_suite
from bench.errors import ResultsError
from bench.report import dump_report
from bench.results import Manifest, Planned, read_manifest
from bench.rules import choose_rules
from bench.rules.choice import threshold_names
from bench.suite import load_suite

pytestmark = pytest.mark.usefixtures("inline")
MOVED = next(name for name in threshold_names() if name.startswith("gradtrial.vanishing."))
SUITE = f"""
[suite]
name = "older"
question = "Is it read?"
replicates = 2
[factors]
depth = [2, 40]
[fixed]
activation = "sigmoid"
steps = 8
width = 4
[verdicts]
rules = ["gradtrial", "autotrainer"]
thresholds = {{ "{MOVED}" = 0.0005 }}
"""
MANIFEST = Manifest("s", "?", "", 1, {"depth": [2, 4]}, {"width": 8}, Planned(2, 2, 1), {"keras": "3.15.1"})


def test_results_of_before_versions_and_of_the_projects_former_name_are_read_shown_and_continued(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "older.toml").write_text(SUITE)
    suite = load_suite(tmp_path / "older.toml")
    out = run_suite(suite, Options(tmp_path / "out", dry=True))
    page = dump_report(out)
    written = json.loads((out / "manifest.json").read_text())
    for name in ("version", "suite_file", "sources"):
        del written[name]
    former = json.loads(json.dumps(written).replace("gradtrial", "gradbench"))
    former["verdicts"]["rules"].remove("gradbench_watching")  # a set that came later
    assert former["verdicts"]["rules"] == ["gradbench", "autotrainer"] and "gradbench" in former["text"]
    (out / "manifest.json").write_text(json.dumps(former))
    assert choose_rules(read_manifest(out).verdicts).as_written() == suite.verdicts.as_written()
    again = json.dumps(dump_report(out))
    assert again.replace("gradbench", "gradtrial") == json.dumps(page)  # it shows the manifest's own words
    capfd.readouterr()
    run_suite(suite, Options(out, dry=True))
    assert "4 done earlier, 0 to run" in capfd.readouterr().err
    assert read_manifest(out).suite_file == "older.toml"


@pytest.mark.parametrize("version", [3, 10**30, "2", None, 2.5])
def test_a_manifest_of_a_version_to_come_is_refused_in_a_sentence(tmp_path: Path, version: object) -> None:
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    with pytest.raises(ResultsError, match=r"manifest\.json is of version .*, and this gradtrial reads up to 2"):
        read_manifest(tmp_path)


def test_what_is_written_is_read_and_replaced_whole(tmp_path: Path) -> None:
    other = replace(MANIFEST, incidents=[{"at": "now", "runs": ["a"]}], sources=[], ended="2026-01-01", dry=True)
    MANIFEST.write(tmp_path)
    other.write(tmp_path)
    assert read_manifest(tmp_path) == other
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
