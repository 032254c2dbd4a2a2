"""How often the rules of docs/rules.md name a planted cause: `make causes` trains and writes the tables there.

Each run of `benchmarks.planted` has one planted cause. Runs come in the order of their suite's cells, so that each is
known by its place; those that learned are counted and asked for nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

from bench.analysis import causes_of, judge
from bench.plan import make_plan
from bench.results import read_tables
from bench.suite import load_suite
from bench.text import of, percent
from benchmarks.command import BENCH, spent
from benchmarks.planted import REPLICATES, SETS, Plant, write_suite

DOCUMENT = Path(__file__).parents[1] / "docs" / "rules.md"
MARKS = ("<!-- planted causes -->", "<!-- end of planted causes -->")


def train(name: str, plants: tuple[Plant, ...], folder: Path) -> Path:
    """Train a set's suite, and give its results folder."""
    suite = write_suite(name, plants, folder)
    out = folder / name
    spent([*BENCH, "run", str(suite), "--out", str(out), "--no-report"], folder)
    return out


def named(plants: tuple[Plant, ...], suite: Path, results: Path) -> pd.DataFrame:
    """One row a run: plant, outcome, cause ("" if it learned), and whether that names what was planted."""
    plan = make_plan(load_suite(suite))
    tables = read_tables(results)
    judged = judge(tables)
    causes = causes_of(tables, judged).set_index("run_id")["cause"]
    by_run = judged.set_index("run_id")["outcome"]
    planted = [plant for plant in plants for _ in plant.each()]
    rows = []
    for index, run in enumerate(plan.runs):
        plant, cause = planted[index // REPLICATES], str(causes.get(run.run_id, ""))
        rows.append((plant.name, by_run[run.run_id], cause, cause in plant.named, run.run_id))
    return pd.DataFrame(rows, columns=["plant", "outcome", "cause", "right", "run_id"])


def table(found: pd.DataFrame, plants: tuple[Plant, ...]) -> list[str]:
    """The set's confusion table in Markdown: what was planted, how often it was named, and what was said."""
    lines = ["| planted | named by | right | learned | said instead |", "|---|---|---|---|---|"]
    for plant in plants:
        rows = found[found["plant"] == plant.name]
        bad = rows[rows["cause"] != ""]
        wrong = bad.loc[~bad["right"], "cause"].value_counts()
        said = ", ".join(f"{cause} ({count})" for cause, count in wrong.items()) or "–"
        lines.append(
            f"| {plant.name} | {', '.join(plant.named)} | {of(int(bad['right'].sum()), len(bad))} | "
            f"{len(rows) - len(bad)} | {said} |"
        )
    return lines


def said(name: str, found: pd.DataFrame, plants: tuple[Plant, ...]) -> list[str]:
    """A set's heading line, and its table."""
    bad = found[found["cause"] != ""]
    right = int(bad["right"].sum())
    total = f"**{name.capitalize()}:** {of(right, len(bad))} planted causes were named ({percent(right, len(bad))})"
    return [f"{total}; {len(found) - len(bad)} runs learned all the same.", "", *table(found, plants), ""]


def main() -> int:
    """Train both sets, print their tables, and write them into docs/rules.md."""
    lines = [MARKS[0]]
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, plants in SETS.items():
            results = train(name, plants, folder)
            found = named(plants, folder / f"{name}.toml", results)
            found.to_csv(folder / f"{name}.csv", index=False)
            lines += said(name, found, plants)
    print("\n".join(lines[1:]))
    text = DOCUMENT.read_text("utf-8")
    before, after = text.partition(MARKS[0])[0], text.partition(MARKS[1])[2]
    DOCUMENT.write_text(before + "\n".join(lines) + MARKS[1] + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
