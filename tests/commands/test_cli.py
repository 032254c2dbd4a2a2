"""The commands as a person types them."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.results import Planned, read_manifest, read_tables
from tests.cohorts import suite_text
from tests.inline import bench

ROOT = Path(__file__).parents[2]
SUITE = suite_text(
    "tiny", "Does it run?", 2, {"steps": 12, "width": 8},
    depth=[2, 6], activation=["sigmoid", "relu"], clipping=["none", "global_norm"],
)  # fmt: skip


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE)
    return path


LONE = SUITE.replace("[2, 6]", "[2]").replace('["sigmoid", "relu"]', '["relu"]')  # a cohort


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small suite that was really trained, by a worker."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(LONE)
    done = bench("run", folder / "tiny.toml", "--out", folder / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert str(folder / "out" / "index.html") in done.stdout
    return folder / "out"


def test_run_trains_every_run_and_writes_tables_a_report_and_what_was_run_on_what(trained: Path) -> None:
    runs = read_tables(trained)["runs"]
    assert len(runs) == len(pd.read_parquet(trained / "tables" / "runs")) == 4  # they are read by pandas alone too
    assert set(runs["status"]) == {"completed"}
    assert (trained / "index.html").stat().st_size > 10_000
    manifest = read_manifest(trained)
    assert manifest.text == LONE
    assert manifest.planned == Planned(cells=2, runs=4, cohorts=1)
    assert str(manifest.versions["keras"]).startswith("3.")
    assert (manifest.ended or "") >= (manifest.started or "-")


def test_a_second_run_trains_nothing_and_a_dry_one_is_not_mixed_with_it(trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (trained / "tables").rglob("*.parquet")}
    for options, code, said in (("--no-report", 0, "4 done earlier, 0 to run"), ("--dry", 2, "--fresh")):
        again = bench("run", trained.parent / "tiny.toml", "--out", trained, options)
        assert again.returncode == code
        assert said in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (trained / "tables").rglob("*.parquet")} == before


def test_show_prints_a_run(trained: Path) -> None:
    run_id = read_tables(trained)["runs"]["run_id"].iloc[0]
    shown = bench("show", trained, run_id)
    assert shown.returncode == 0
    assert "completed after 12 of 12 steps" in shown.stdout
    assert "log10 pre-activation gradient norm" in shown.stdout
    assert "outcome: " in shown.stdout
    assert "steps_completed            12 updates" in shown.stdout
    assert f"bench script {trained} {run_id}" in shown.stdout
    wrong = bench("show", trained, run_id[:-1] + "9")
    assert wrong.returncode == 2
    assert run_id in wrong.stderr


@pytest.mark.usefixtures("inline")
def test_a_changed_suite_keeps_what_is_still_planned_and_other_versions_are_refused(suite: Path) -> None:
    out = suite.parent / "dry"
    words = ["run", suite, "--dry", "--out", out, "--no-report"]
    bench(*words)
    suite.write_text(SUITE.replace("depth = [2, 6]", "depth = [2, 7]"))
    changed = bench(*words)
    assert "2 cohorts that the suite no longer plans were moved" in changed.stderr
    assert "8 done earlier, 8 to run" in changed.stderr
    assert set(read_tables(out)["runs"]["depth"]) == {2, 7}
    replace(read_manifest(out), versions={"keras": "2.0.0"}).write(out)
    refused = bench(*words)
    assert refused.returncode == 2
    assert "keras 2.0.0 ->" in refused.stderr
    assert bench(*words, "--fresh").returncode == 0


@pytest.mark.usefixtures("inline")
def test_options_of_run_reach_it_and_machines_read_lines_of_json(suite: Path) -> None:
    out = suite.parent / "dry"
    options = ["--only", "depth == 2", "--timeout", "60", "--retry-failed", "--json-progress"]
    done = bench("run", suite, "--dry", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [events[0]["event"], events[-2]["event"], events[-1]["event"]] == ["found", "ended", "report"]
    assert events[-2]["done"] == len(read_tables(out)["runs"]) == 8
    assert read_manifest(out).dry
    assert Path(events[-1]["path"]).is_file()
    assert "8 not run yet" in bench("report", out, "--dump").stdout


@pytest.mark.full
def test_failed_runs_are_results_and_an_exit_code(tmp_path: Path) -> None:
    layer = "class Layer(keras.layers.Layer):\n    def call(self, x):\n        raise RuntimeError('planted')\n"
    (tmp_path / "broken.py").write_text(f"import keras\n{layer}")
    (tmp_path / "s.toml").write_text(
        SUITE.replace("clipping =", "normalization =").replace("global_norm", "broken:Layer")
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "bench", "run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 3, done.stderr
    assert "8 runs failed" in done.stderr
    runs = read_tables(tmp_path / "out")["runs"]
    assert runs["status"].value_counts().to_dict() == {"completed": 8, "failed": 8}
    assert runs["error"].dropna().str.contains("planted").all()


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"sigmoid"', '"no_such_module:thing"'), "cannot import no_such_module"),
        (("[fixed]", '[fixed]\ndataset = "nowhere.npz"'), "nowhere.npz"),
    ],
)
def test_a_missing_plugin_or_dataset_is_told_before_training(suite: Path, change: tuple[str, str], said: str) -> None:
    suite.write_text(SUITE.replace(*change))
    done = bench("run", suite, "--out", suite.parent / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (suite.parent / "out").exists()


@pytest.mark.full
def test_an_interrupt_keeps_what_has_ended_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(SUITE.replace("steps = 12", "steps = 400").replace("[2, 6]", "[2, 3, 4, 5, 6, 7]"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench", "run", str(path), "--out", str(out), "--workers", "1"]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell has it ignored
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heard)
    deadline = time.monotonic() + 120
    while not list(out.glob("tables/runs/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "same command goes on" in errors
    kept = len(list(out.glob("tables/runs/*.parquet")))
    assert 1 <= kept < 12
    assert len(read_tables(out)["runs"]) == 4 * kept


@pytest.mark.usefixtures("inline")
def test_check_builds_each_structure(suite: Path) -> None:
    suite.write_text(LONE)
    checked = bench("check", suite, "--build")
    assert checked.returncode == 0, checked.stderr
    assert "1 structure built" in checked.stdout


@pytest.mark.full
def test_check_names_what_cannot_be_built(suite: Path) -> None:
    suite.write_text(
        SUITE.replace('"sigmoid"', '"keras.ops:softplus"').replace("[fixed]", '[fixed]\ninitializer = "critical"')
    )
    checked = bench("check", suite, "--build")
    assert checked.returncode == 2
    assert "2 structures cannot be built" in checked.stderr


@pytest.mark.usefixtures("inline")
def test_commands_that_only_tell(suite: Path) -> None:
    for words, *said in (
        (["plan", suite], "8 cells x 2 replicates = 16 runs in 4 cohorts"),
        (["list"], "\ndefault ", "clipping"),
        (["list", "clipping"], "Brock et al. 2021"),
        (["data", "wine"], "wine: 142 training and 36 validation rows of (13,), 3 classes; shipped with a package\n"),
    ):
        done = bench(*words)
        assert done.returncode == 0, done.stderr
        assert [each for each in said if each not in done.stdout] == []


@pytest.mark.usefixtures("inline")
def test_data_are_looked_at_before_anything_trains(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "houses.csv"
    rows = np.column_stack([rng.normal(size=(60, 2)), rng.normal(2e5, 5e4, 60)])
    np.savetxt(path, rows, delimiter=",", header="area,age,price", comments="")
    told = bench("data", path, "--target", "price")
    assert "48 training and 12 validation rows of (2,), a value" in told.stdout
    assert "\n  Targets have a root mean square of" in told.stdout
    untold = bench("data", path)
    assert untold.returncode == 2 and "Say --target COLUMN." in untold.stderr
    suite = tmp_path / "houses.toml"
    table = f'{{ level = "csv", path = "{path}", target = "price" }}'
    for scaling, found in (('["none", "standardize"]', True), ('["standardize"]', False)):
        suite.write_text(
            f'[suite]\nname = "houses"\nquestion = "?"\nreplicates = 1\n[factors]\n'
            f"target_preprocessing = {scaling}\n[fixed]\nbatch_size = 16\ndataset = {table}\n"
        )
        checked = bench("check", suite)
        assert checked.returncode == 0, checked.stderr
        assert ("Targets have a root mean square of" in checked.stdout) is found
        assert 'target_preprocessing = "standardize"' in checked.stdout or not found


def test_what_is_not_there_is_one_message_that_says_what_to_do(tmp_path: Path) -> None:
    for words, said in (
        (["list", "cliping"], 'Did you mean "clipping"'),
        (["run", "defalt"], 'Did you mean "default"?'),
        (["report", tmp_path], "bench run"),
        (["report", tmp_path, "--dump"], "bench run"),
        (["data", "minst"], 'Did you mean "mnist"'),
    ):
        wrong = bench(*words)
        assert wrong.returncode == 2
        assert said in wrong.stderr
    assert not list(tmp_path.iterdir())


def test_light_commands_do_not_load_tensorflow() -> None:
    code = (
        "import sys, bench.cli\n"
        "for words in (['list'], ['plan', 'quick'], ['schema'], ['--help']):\n"
        "    sys.argv = ['bench', *words]\n"
        "    try: bench.cli.main()\n"
        "    except SystemExit as error: assert not error.code, (words, error.code)\n"
        "    assert not {'tensorflow', 'keras', 'pandas'} & set(sys.modules), words\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_on_tables_is_current() -> None:
    assert bench("schema", "--tables").stdout == (ROOT / "docs" / "tables.md").read_text()
