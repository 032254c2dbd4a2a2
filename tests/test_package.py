"""The wheel alone, in an environment without the project's folder, does what a checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from bench import __version__
from tests.extending.recipes import ROOT, copied

pytest.importorskip("setuptools", minversion="77")  # what pyproject.toml needs; `make install` brings it

pytestmark = pytest.mark.full  # half a minute: three commands in fresh processes

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{what}(sys.argv[1]))"


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and an empty folder to run commands in."""

    wheel: Path
    python: Path
    empty: Path

    def bench(self, *words: str, code: int = 0) -> str:
        """What the installed command prints; it must end with `code`."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.python.with_name("bench"), *words],
            cwd=self.empty, env=environment | {"COLUMNS": "200"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def build(what: str, source: Path, out: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(what=what), out], cwd=source, capture_output=True, text=True, check=True
    )
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The project → sdist → wheel → an environment that has the wheel and takes dependencies from this one."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("checkout", "dist", "empty"):
        (folder / name).mkdir()
    copied(folder / "checkout")
    with tarfile.open(build("sdist", folder / "checkout", folder / "dist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    wheel = build("wheel", source, folder / "dist")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(packages))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    return Installed(wheel, python, folder / "empty")


def test_the_wheel_holds_one_package_with_suites_schema_and_types(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"bench"}
    shipped = {name.removeprefix("bench/") for name in names if name.startswith("bench/suites/")}
    checkout = {path.relative_to(ROOT).as_posix() for path in (ROOT / "suites").rglob("*.*")}
    assert checkout <= shipped
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bench").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= set(names)  # templates, rules, py.typed


def test_it_runs_from_an_empty_folder(installed: Installed) -> None:
    versions = [f"{name} {metadata.version(name)}" for name in ("keras", "tensorflow")]
    assert installed.bench("--version") == ", ".join([f"gradtrial {__version__}", *versions]) + "\n"
    assert "shipped" in installed.bench("list")
    assert "32 runs" in installed.bench("check", "quick")
    installed.bench("check", "claims/he-2015")
    said = installed.bench("run", "defalt", code=2)
    assert 'Did you mean "default"?' in said and "Known: ." not in said
    installed.bench("run", "quick", "--dry")
    assert (installed.empty / "reports/quick/index.html").is_file()


def test_a_new_suite_runs_as_it_is(installed: Installed) -> None:
    assert installed.bench("new", "mine") == "mine.toml\n"
    assert "there is a suite" in installed.bench("new", "mine", code=2)
    assert "24/24 runs done" in installed.bench("run", "mine", "--dry", "--no-report")


def test_the_first_page_on_ones_own_training_is_true_of_the_wheel(installed: Installed) -> None:
    """What docs/own.md begins with, typed as it stands, ends with a page that names symptom, layer and a remedy."""
    page = (ROOT / "docs" / "own.md").read_text(encoding="utf-8")
    script = installed.empty / "mine.py"
    script.write_text(page.split("```python\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [installed.python, script], cwd=installed.empty, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("gradtrial: ")]
    assert any("vanishing: the signal falls" in line for line in said)
    html = (installed.empty / "reports" / "mine" / "index.html").read_text(encoding="utf-8")
    assert "Gradients vanish at the first step" in html
    assert "batch normalization made" in html
    assert "it did not learn" in html
