"""How tests run: TensorFlow as the workers run it (one thread, no GPU, quiet), numpy in one thread too (two workers'
threads would wait for each other), and how many examples are tried.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bench.environment import worker_settings

os.environ |= worker_settings() | {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

# `make test` tries a few examples of each property, always the same; `make full-test` as many as each asks for.
for profile, most in (("dev", 40), ("ci", 1_000_000)):
    settings.register_profile(
        profile,
        max_examples=most,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
settings.load_profile("dev")

TESTS = Path(__file__).parent
LONGEST_FIRST = (  # files, then folders
    "engine/test_engine_parity.py", "engine/test_engine_runs.py", "engine/test_transformer.py",
    "engine/test_recurrent.py", "report/test_odd_results.py", "results/test_properties_results.py",
    "commands/test_cli.py", "report/test_claims_report.py", "engine/test_engine_truth.py", "executors/test_ray.py",
    "engine/test_conv.py", "report/test_page.py", "report/test_report.py", "cases", "engine/test_precision.py",
    "commands/test_interrupts.py", "extending", "engine", "benchmarks", "report", "commands", "executors", "analysis",
    "suite", "theory", "results",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers begin with the files that take long, so that both end at about the same time."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS)
        names = [name for name in (path.as_posix(), path.parts[0]) if name in LONGEST_FIRST]
        return LONGEST_FIRST.index(names[0]) if names else len(LONGEST_FIRST)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Look for garbage seldom: what was imported stays, and each graph that is traced is a million small objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


pytest_plugins = ("tests.browser", "tests.inline")
