"""Recipes of docs/extending.md as data, and a copy of the project in which to follow them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[2]
COPIED = ("bench", "suites", "docs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


# Programs of the copy: a suite run by formula, its report written and dumped; several commands in one process.
WRITTEN = """
import json
from bench.engine.dry import train_cohort
from bench.plan import make_plan
from bench.report import PAGE
from bench.report.page import build_page
from bench.report.render import render
from bench.results import Manifest, Results, read_manifest, read_tables
from bench.suite import load_suite
from pathlib import Path
suite, folder = load_suite(Path("s.toml")), Path("results")
plan = make_plan(suite)
for cohort in plan.cohorts:
    Results(folder).write(cohort.key, train_cohort(cohort))
Results(folder).write_manifest(Manifest.of(suite, plan, dry=True))
page = build_page(read_tables(folder), read_manifest(folder))
(folder / PAGE).write_text(render(page), "utf-8")
print(json.dumps(page.as_data()))
"""
TYPED = """
import sys
from bench.cli import main
for words in {commands}:
    sys.argv = ["bench", *words]
    try:
        main()
    except SystemExit as ended:
        print("ended with", ended.code or 0)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a recipe: the file it is for (the words after its language) and its text."""

    place: str
    text: str


def recipe(heading: str) -> list[Block]:
    """The fenced blocks under a heading of docs/extending.md, in order."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    section = re.split(rf"(?m)^## {re.escape(heading)}$", page)[1]
    section = re.split(r"(?m)^## ", section)[0]
    return [Block(place, text) for place, text in re.findall(r"(?ms)^```\w+ *([^\n]*)\n(.*?)^```$", section)]


@dataclass(frozen=True)
class Copy:
    """A copy of the project in a temporary folder."""

    folder: Path

    def write(self, place: str, text: str) -> None:
        """Make a new file."""
        path = self.folder / place
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def insert(self, place: str, anchor: str, text: str) -> None:
        """Put text in front of the only place of a file where the anchor stands; into a tuple as an entry of it."""
        path = self.folder / place
        before = path.read_text(encoding="utf-8")
        assert before.count(anchor) == 1, f"{place} holds {anchor!r} {before.count(anchor)} times"
        margin = anchor[: len(anchor) - len(anchor.lstrip())]
        entry = indent(text.rstrip(), margin) + (",\n" if margin else "\n\n\n")
        path.write_text(before.replace(anchor, entry + anchor), encoding="utf-8")

    def run(self, *words: str, code: int = 0) -> str:
        """A Python program of the copy, such as `-m bench list`; returns what it printed."""
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def bench(self, *commands: str) -> str:
        """What `bench` prints when these are typed one after the other, and how each ended."""
        return self.run("-c", TYPED.format(commands=[command.split() for command in commands]))


def copied(folder: Path) -> Copy:
    """A copy of the project in this folder."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.png"))
        else:
            shutil.copy(source, folder / name)
    return Copy(folder)
