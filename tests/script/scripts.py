"""Recorded runs without a results folder, and their scripts run by themselves."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.engine.train import train_cohort
from bench.plan import Cohort
from bench.script import Recorded, Script
from tests.script.alone import run

INSTALLED = ("keras", "tensorflow", "numpy")
RECORD = """[record]
gradient_norms = "never"
activations = "never"
evaluations = "never"
"""


def recorded(cohort: Cohort) -> list[Recorded]:
    """Each run of a cohort, trained."""
    curves = train_cohort(cohort)["loss_curves"].to_pandas()
    by_run = dict(iter(curves.groupby("run_id", sort=False)))
    return [
        Recorded(run, "t", dict(zip(own["step"].astype(int).tolist(), own["loss"].tolist(), strict=True)), {})
        for run in cohort.runs
        for own in (by_run[run.run_id],)
    ]


def write(folder: Path, scripts: Sequence[Script]) -> list[Path]:
    """Scripts, and what lies beside them."""
    paths = [folder / f"run_{number:03}.py" for number in range(len(scripts))]
    for path, script in zip(paths, scripts, strict=True):
        path.write_text(script.text, encoding="utf-8")
        if script.arrays:
            np.savez(path.with_suffix(".npz"), **script.arrays)  # type: ignore[arg-type]
    return paths


def imported(script: Script) -> set[str]:
    """The packages that a script imports, without Python's own."""
    found = set()
    for node in ast.walk(ast.parse(script.text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found - set(sys.stdlib_module_names)


def unread(script: Script) -> set[str]:
    """Names that a script gives and never looks at, of whatever is imported, defined or assigned anywhere."""
    names = [node for node in ast.walk(ast.parse(script.text)) if isinstance(node, ast.Name)]
    given = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(ast.parse(script.text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("__"):
            given.add(node.name)
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    called = {node.attr for node in ast.walk(ast.parse(script.text)) if isinstance(node, ast.Attribute)}
    return given - read - {"_", "build", "call"} - called


def run_here(paths: Sequence[Path]) -> dict[str, tuple[int, str]]:
    """How each script ended and what it said, in this process and without a graph, which takes long to trace."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        return {path.stem: run(path) for path in paths}
    finally:
        tf.config.run_functions_eagerly(False)


def run_alone(paths: Sequence[Path]) -> dict[str, tuple[int, str]]:
    """The same in a process in which the project is not installed, nor what came with it."""
    command = [sys.executable, "-I", str(Path(__file__).with_name("alone.py")), str(paths[0].parent)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: (code, said) for name, (code, said) in json.loads(done.stdout.splitlines()[-1]).items()}
