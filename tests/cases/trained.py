"""Small suites trained in this process: their runs as judged, and what the page says of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.plan import make_plan
from bench.report.blocks import Page, Sentences
from bench.report.frames import Frames
from bench.report.page import page_of
from bench.report.sections.answer import First
from bench.results import Manifest
from bench.schema import TABLES
from bench.suite import load_suite

HERE = Path(__file__).parent
Cell = Mapping[str, object]


@dataclass(frozen=True)
class Trained:
    """A suite's results."""

    frames: Frames

    @cached_property
    def page(self) -> Page:
        """Its first chapter alone: what the page says first, and folded below."""
        return page_of(self.frames, ())

    @cached_property
    def said(self) -> str:
        """Headline, sentences and what went wrong, in a line each."""
        first = self.page["answer"].of(First)[0]
        told = [each.text for block in self.page.of(Sentences) for each in block.items]
        return "\n".join([self.page.headline, *told, *(f"{way.name}: {way.said}" for way in first.avoid)])

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: outcome, cause, layer and step."""
        causes = self.frames.causes.set_index("run_id")[["cause", "layer", "step"]]
        return self.frames.plain.set_index("run_id", drop=False).join(causes)

    def only(self, **levels: object) -> Trained:
        """The same of some runs, as if the suite had no others."""
        tables, manifest = self.frames.tables, self.frames.manifest
        runs = tables["runs"]
        for name, level in levels.items():
            runs = runs[runs[name] == level]
        kept = {n: f[f["run_id"].isin(runs["run_id"])] if "run_id" in f else f for n, f in tables.items()}
        factors = {name: each for name, each in manifest.factors.items() if name not in levels}
        planned = replace(manifest.planned, runs=len(runs))
        return Trained(Frames.of(kept, replace(manifest, factors=factors, planned=planned)))


def train(folder: Path, cells: list[Cell], fixed: Mapping[str, object], replicates: int = 2) -> Trained:
    """Train cells that differ in the same factors, as a suite of those cells and no others."""
    from bench.engine.train import train_cohort

    lines = ["[suite]", 'name = "case"', 'question = "What is wrong?"', f"replicates = {replicates}", "[fixed]"]
    lines += [f"{name} = {toml(level)}" for name, level in fixed.items()]
    lines += ["[factors]", *(f"{name} = [{toml(level)}]" for name, level in cells[0].items())]
    for cell in cells[1:]:
        lines += ["[[include]]", *(f"{name} = {toml(level)}" for name, level in cell.items())]
    path = folder / "case.toml"
    path.write_text("\n".join(lines), "utf-8")
    if str(HERE) not in sys.path:
        sys.path.append(str(HERE))
    suite = load_suite(path)
    plan = make_plan(suite)
    parts = [train_cohort(cohort) for cohort in plan.cohorts]
    empty = {name: spec.arrow.empty_table() for name, spec in TABLES.items()}
    tables = {name: pa.concat_tables([(empty | part)[name] for part in parts]).to_pandas() for name in TABLES}
    return Trained(Frames.of(tables, Manifest.of(suite, plan, command="bench run case.toml")))


def toml(level: object) -> str:
    """A level as a suite has it."""
    if isinstance(level, dict):
        return "{ " + ", ".join(f"{name} = {toml(each)}" for name, each in level.items()) + " }"
    return f'"{level}"' if isinstance(level, str) else str(level)


def save(path: Path, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> str:
    """A local dataset of which a fifth validates."""
    order = np.random.default_rng(1).permutation(len(x))
    x, y, train_rows = x[order], y[order], len(x) * 4 // 5
    np.savez(path, x_train=x[:train_rows], y_train=y[:train_rows], x_test=x[train_rows:], y_test=y[train_rows:])
    return str(path)
