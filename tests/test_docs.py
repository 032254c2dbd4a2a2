"""What the pages say is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer

from bench.cli import app
from bench.plan import make_plan
from bench.suite import load_suite

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readmes_suite_and_the_default_one_plan_what_the_readme_says(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "README.md", "toml")
    (tmp_path / "residual.toml").write_text(text)
    suite = load_suite(tmp_path / "residual.toml")
    plan = make_plan(suite)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{len(suite.cells)} cells, {len(plan.runs)} runs, {len(plan.cohorts)} cohorts" in readme
    runs = len(make_plan(load_suite(ROOT / "suites" / "default.toml")).runs)
    assert f"trains {runs} networks" in readme


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda path: path.stem)
def test_the_page_on_suites_says_how_many_runs_each_has(path: Path) -> None:
    runs = len(make_plan(load_suite(path)).runs)
    assert f"\n| `{path.stem}` | {runs} | " in (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", blocks(ROOT / "docs" / "suites.md", "toml"))
def test_examples_in_the_page_on_suites_are_toml(text: str) -> None:
    assert tomllib.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" not in target
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_every_command() -> None:
    source = (ROOT / "bench" / "cli" / "__init__.py").read_text(encoding="utf-8")
    commands = re.findall(r"@?app\.command\((?:\"(\w+)\")?\)(?:\ndef |\()(\w+)", source)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for given, function in commands:
        assert f"bench {given or function}" in readme


@pytest.mark.parametrize("name", ["upgrade.md", "upgrade-workflow.yml"])
def test_the_recipe_for_upgrades_has_commands_that_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("/bench ", 1)[1].split() for line in text.splitlines() if "bin/bench " in line]
    assert [words[0] for words in lines] == ["run", "run", "compare"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in lines:
        known = {each for option in commands[words[0]].params for each in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known
