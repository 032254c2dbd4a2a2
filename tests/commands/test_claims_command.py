"""`bench claims` on results made by formula: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cohorts import claim_text, suite_text
from tests.inline import InlineExecutor, bench

SUITE = suite_text("claiming", "Do deep networks learn?", 6, {"activation": "sigmoid", "steps": 20}, depth=[4, 40])
RULE = "number = { learned = 0.5 }\nwhere = { depth = 40 }\n"
SUPPORTED, REFUTED, OPEN = (
    claim_text(name, RULE + region, "Deep sigmoid networks do [bold]not[/bold] learn.")
    for name, region in (("stall", "most = 0.6"), ("learn", "least = 0.6"), ("rarely", "most = 0.1"))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("claims")
    for name, claims in (("suite", SUPPORTED + REFUTED + OPEN), ("bare", ""), ("supported", SUPPORTED)):
        (place / f"{name}.toml").write_text(SUITE + claims, "utf-8")
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.commands.run.open_executor", lambda *_: InlineExecutor())
        for name in ("suite", "bare"):
            made = bench("run", place / f"{name}.toml", "--dry", "--no-report", "--out", place / name)
            assert made.returncode == 0, made.stderr
    return place


def test_the_table_and_the_exit_code(folder: Path) -> None:
    found = bench("claims", folder / "suite", "--fail-on", "refuted")
    assert found.returncode == 3
    assert "1 of 3 claims: learn (refuted)." in found.stderr
    verdicts = ("supported", "refuted", "inconclusive")
    for said in ("stall", *verdicts, "0 [0, 0.459]", "6 runs, 6 replicates", "[bold]not[/bold]"):
        assert said in found.stdout, found.stdout


def test_json_has_the_rule_and_every_number(folder: Path) -> None:
    found = bench("claims", folder / "suite", "--json")
    assert found.returncode == 0
    claims = json.loads(found.stdout)
    assert [claim["verdict"] for claim in claims] == ["supported", "refuted", "inconclusive"]
    part = claims[0]["parts"][0]
    assert (part["effect"], part["most"], part["least"], part["counts"]["judged"]) == (0.0, 0.6, None, 6)
    assert claims[0]["rule"].startswith("The share of runs that end with a train accuracy of 0.5 or more for depth 40")


def test_another_suites_claims_judge_the_same_results(folder: Path) -> None:
    failing = ("--fail-on", "refuted", "--fail-on", "inconclusive")
    found = bench("claims", folder / "bare", folder / "suite", "--suite", folder / "supported.toml", *failing)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("stall") == 2 and "learn\n" not in found.stdout


def test_what_cannot_be_judged_ends_with_2(folder: Path) -> None:
    bare = bench("claims", folder / "bare")
    assert bare.returncode == 2 and "the suite claiming has no [[claims]]" in bare.stderr
    wrong = bench("claims", folder / "suite", "--fail-on", "refute")
    assert wrong.returncode == 2 and 'Did you mean "refuted"?' in wrong.stderr
    assert bench("claims", folder / "nowhere").returncode == 2
