"""Who may import whom: the table of docs/design.md as data, checked against every import in bench/."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@dataclass(frozen=True)
class Package:
    """A file or folder of bench/, the other packages it may import, and the packages from outside."""

    inside: frozenset[str]
    outside: frozenset[str] = frozenset()


def _package(inside: str = "", outside: str = "") -> Package:
    return Package(frozenset(inside.split()), frozenset(outside.split()))


PACKAGES = {
    "errors": _package(),
    "text": _package(),
    "environment": _package(),
    "factors": _package("errors", "numpy scipy"),
    "quantities": _package(),
    "finding": _package(),
    "data_quality": _package("finding", "numpy"),
    "rules": _package("quantities errors", "pydantic"),
    "schema": _package("factors", "pyarrow"),
    "suite": _package("factors quantities rules schema errors", "pydantic pydantic_core"),
    "plan": _package("suite factors errors"),
    "engine": _package(
        "environment plan recorder factors schema theory data_quality errors",
        "keras tensorflow numpy pandas pyarrow sklearn mnist1d",
    ),
    "executors": _package("environment plan schema errors", "pyarrow ray"),
    "results": _package("environment plan suite quantities rules schema factors errors", "pyarrow pandas numpy"),
    "reference": _package("factors errors", "pandas pyarrow"),
    "theory": _package("factors errors", "numpy scipy"),
    "analysis": _package("suite quantities rules factors schema theory text errors", "numpy pandas scipy"),
    "report": _package(
        "analysis theory reference quantities rules factors results schema text errors",
        "numpy pandas jinja2 markupsafe matplotlib seaborn altair vl_convert",
    ),
    "script": _package("analysis engine results plan factors schema errors", "jinja2 numpy pandas"),
    "recorder": _package(
        "environment factors rules schema results report data_quality finding errors",
        "keras tensorflow jax numpy pyarrow",
    ),
    "site": _package(
        "reference report analysis results suite factors text errors", "jinja2 markdown_it markupsafe numpy pandas"
    ),
    "commands": _package(
        "environment executors engine recorder results report analysis theory plan suite quantities rules factors "
        "schema script site text errors",
        "numpy pandas pyarrow rich matplotlib",
    ),
    "cli": _package("commands environment report suite errors", "typer rich"),
    "__main__": _package("cli"),
}

# Packages that one package may import, but not in every file: TensorFlow takes seconds to import, and Ray is an extra.
ONLY = {
    "ray": ("executors/ray.py",),
    "jax": tuple(f"recorder/jax_{name}.py" for name in ("activations", "dispatch", "norms", "optimizers", "trace")),
}

FILES = sorted(path for path in BENCH.rglob("*.py") if path != BENCH / "__init__.py")


def _name(path: Path) -> str:
    return path.relative_to(BENCH).as_posix()


def _imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Every imported module as its parts, wherever in the file it is imported."""
    package = ("bench", *path.relative_to(BENCH).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            if module == ("bench",):
                yield from ((*module, alias.name) for alias in node.names)
            else:
                yield module


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_keep_to_the_table(path: Path) -> None:
    package = _name(path).split("/")[0].removesuffix(".py")
    assert package in PACKAGES, f"{_name(path)} stands in no package of the table"
    for module in _imports(path):
        if module[0] == "bench":
            other = module[1] if len(module) > 1 else "bench"
            assert other in PACKAGES[package].inside | {package}, f"{_name(path)} must not import {'.'.join(module)}"
        elif module[0] not in sys.stdlib_module_names:
            assert module[0] in PACKAGES[package].outside, f"{_name(path)} must not import {module[0]}"
            assert _name(path) in ONLY.get(module[0], (_name(path),)), f"{module[0]} belongs in {ONLY[module[0]]}"


def test_the_dry_engine_needs_no_tensorflow() -> None:
    assert not {module[0] for module in _imports(BENCH / "engine" / "dry.py")} & {"keras", "tensorflow"}


def test_the_table_has_no_cycle_and_every_package_exists() -> None:
    left = {name: set(package.inside) for name, package in PACKAGES.items()}
    while left:
        free = {name for name, inside in left.items() if not inside & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: inside for name, inside in left.items() if name not in free}
    built = {_name(path).split("/")[0].removesuffix(".py") for path in FILES}
    assert built <= PACKAGES.keys()


def _picture() -> str:
    """The packages as a Mermaid graph: arrows to those that may be imported, less the ones that other arrows imply."""
    inside = {name: set(package.inside) for name, package in PACKAGES.items() if name != "__main__"}

    def reached(name: str) -> set[str]:
        return inside[name].union(*(reached(other) for other in inside[name]))

    arrows = [
        f"    {name} --> {other}"
        for name, others in inside.items()
        for other in sorted(others - set().union(*(reached(each) for each in others)))
    ]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```"])


def test_the_picture_of_the_design_shows_the_table() -> None:
    design = (BENCH.parent / "docs" / "design.md").read_text(encoding="utf-8")
    assert _picture() in design, f"docs/design.md must hold:\n{_picture()}"


def test_heavy_libraries_belong_to_one_package() -> None:
    for owners, libraries in {
        "engine recorder": "keras tensorflow", "executors": "ray", "rules suite": "pydantic", "cli": "typer",
        "report": "seaborn", "report script site": "jinja2", "site": "markdown_it",
    }.items():  # fmt: skip
        for library in libraries.split():
            assert [name for name, package in PACKAGES.items() if library in package.outside] == owners.split()
