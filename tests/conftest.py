"""How tests run: TensorFlow as the workers run it (one thread, no GPU, quiet), numpy in one thread too (two workers'
threads would wait for each other), and how many examples are tried.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ |= {
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
LONGEST_FIRST = ("engine", "executors", "extending", "report", "commands", "benchmarks", "theory", "results")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers begin with the files that take long, so that both end at about the same time."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


pytest_plugins = ("tests.browser",)
