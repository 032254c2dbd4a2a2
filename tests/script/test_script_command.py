"""`bench script`: the run that is meant, what is refused in one sentence, and what is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.factors import OWN
from bench.plan import make_plan
from bench.script import Recorded, recorded_run, script_of
from bench.suite import load_suite
from tests.dry_results import EXPLODING, DryResults, dry_results
from tests.inline import bench
from tests.report.pages import save

ROOT = Path(__file__).parents[2]
Change = Callable[[DryResults], DryResults]


def run_of(results: DryResults, status: str) -> str:
    runs = results.tables["runs"]
    return str(runs.loc[runs["status"] == status, "run_id"].iloc[0])


def test_a_run_is_read_with_its_levels_seed_losses_and_end(tmp_path: Path) -> None:
    results = dry_results(EXPLODING)
    folder = save(results, tmp_path / "out")
    planned = {run.run_id: run for run in make_plan(results.suite).runs}
    curves = results.tables["loss_curves"].set_index(["run_id", "step"])["loss"]
    for status in ("completed", "diverged"):
        run_id = run_of(results, status)
        found = recorded_run(folder, run_id)
        assert (found.run.choices, found.run.seed) == (planned[run_id].choices, planned[run_id].seed)
        assert found.suite == "exploding" and found.versions == {"keras": "3.15.1"}
        assert all(curves[run_id, step] == loss for step, loss in found.losses.items())
        assert {*range(found.compared)} <= found.losses.keys() and len(found.losses) <= 30
        script = script_of(found).text
        compile(script, "run.py", "exec")
        events = results.tables["divergence_events"].set_index("run_id")
        if status == "diverged":
            step = int(events.loc[[run_id]]["step"].max())
            assert (found.diverged, found.compared) == (step, min(20, step))
            assert f"The run diverged at step {step} (" in script and "diverged" in script.split("batches()")[-1]
        else:
            assert (found.diverged, found.compared) == (None, 20) and "diverged" not in script


def test_what_is_compared_ends_where_a_run_does_or_rounding_decides() -> None:
    results = dry_results(EXPLODING)
    run = next(run for run in make_plan(results.suite).runs)
    found = Recorded(run, "t", {0: 2.3, 1: 2.2}, {})
    cases = {(None, None): 20, (7, None): 7, (None, 3): 3, (7, 3): 3, (0, None): 0, (30, None): 20}
    assert {case: replace(found, diverged=case[0], chaotic=case[1]).compared for case in cases} == cases
    for diverged, chaotic, said in (
        (0, None, "None of them is compared"),
        (7, 1, "first step is off"),
        (None, 1, "Rounding grows in this run"),
    ):
        text = script_of(replace(found, diverged=diverged, chaotic=chaotic)).text
        assert said in " ".join(text.split())
        compile(text, "run.py", "exec")


def manifest(**changes: Any) -> Change:
    return lambda results: replace(results, manifest=replace(results.manifest, **changes))


def rows(**changes: Any) -> Change:
    """All runs with other levels, or another end."""
    return lambda results: replace(results, tables=results.tables | {"runs": results.tables["runs"].assign(**changes)})


def without_losses(results: DryResults) -> DryResults:
    return replace(results, tables=results.tables | {"loss_curves": results.tables["loss_curves"][:0]})


REFUSALS: dict[str, tuple[Change, str]] = {
    "made by formula": (manifest(dry=True), "made by formula"),
    "own training": (manifest(suite=OWN), "is your own training"),
    "failed": (rows(status="failed", error="Traceback\nValueError: no"), "nothing to compare with: ValueError: no"),
    "no losses": (without_losses, 'needs loss_curves = "every_step"'),
    "own network": (rows(architecture="mine:net"), "is made by mine:net, which is your own code"),
    "own layers": (rows(activation="nowhere_at_all:phi"), "cannot import nowhere_at_all"),
    "unknown level": (rows(activation="rely"), '"rely" is not a level. Did you mean "relu"?'),
    "mixed": (rows(activation="mixed"), "no suite made it"),
    "no data": (rows(dataset="nowhere/data.npz"), "nowhere/data.npz"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_run_that_no_script_can_be_written_of_is_refused(case: str, tmp_path: Path) -> None:
    change, said = REFUSALS[case]
    results = change(dry_results(EXPLODING))
    folder = save(results, tmp_path / "out")
    out = tmp_path / "run.py"
    done = bench("script", folder, results.tables["runs"]["run_id"].iloc[0], "--out", out)
    assert (done.returncode, done.stdout, out.exists()) == (2, "", False)
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_names_folders_and_files_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    results = dry_results(EXPLODING)
    folder, run_id = save(results, tmp_path / "out"), run_of(results, "completed")
    there, beside = tmp_path / "there.py", tmp_path / "beside.py"
    there.write_text("mine")
    beside.with_suffix(".npz").write_text("mine")
    cases = (
        ((folder, run_id[:-1] + "9", there.with_name("a.py")), f'no run "{run_id[:-1]}9"'),
        ((folder, run_id[:2], there.with_name("a.py")), "fits"),
        ((tmp_path / "none", run_id, there.with_name("a.py")), "no results here"),
        ((folder, run_id, there), "there.py is there already"),
        ((folder, run_id, beside), "beside.npz is there already"),
        ((folder, run_id, tmp_path / "run.txt"), "a script's name ends with .py"),
        ((folder, run_id, tmp_path / "no" / "run.py"), "there is no folder"),
    )
    for (results_folder, run, out), said in cases:
        done = bench("script", results_folder, run, "--out", out)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert there.read_text() == beside.with_suffix(".npz").read_text() == "mine" and not beside.exists()


def test_a_script_is_written_with_its_rows_beside_it(tmp_path: Path) -> None:
    results = dry_results(EXPLODING)
    folder, run_id = save(results, tmp_path / "out"), run_of(results, "completed")
    out = tmp_path / "mine.py"
    done = bench("script", folder, run_id, "--out", out)
    assert (done.returncode, done.stdout) == (0, f"{out}\n{out.with_suffix('.npz')}\n"), done.stderr
    assert run_id in out.read_text(encoding="utf-8")
    assert {name: each.shape for name, each in np.load(out.with_suffix(".npz")).items()} == {
        "x_train": (1438, 64), "y_train": (1438,),
    }  # fmt: skip


def test_the_page_on_scripts_shows_one_as_it_is_written() -> None:
    page = (ROOT / "docs" / "script.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    runs = {run.run_id: run for run in make_plan(load_suite(ROOT / "suites" / "quick.toml")).runs}
    (run,) = [run for run_id, run in runs.items() if run_id in shown]
    losses = ast.literal_eval(shown.partition("LOSSES = ")[2].partition("}")[0] + "}")
    packages = {"tf": "tensorflow", "np": "numpy"}
    versions = {packages.get(name, name): told for name, told in re.findall(r'\((\w+), "([\d.]+)"\)', shown)}
    assert script_of(Recorded(run, "quick", losses, versions)).text == shown
