"""How tests run: TensorFlow as the workers run it (one thread, no GPU, quiet), numpy in one thread too (two workers'
threads would wait for each other), and how many examples are tried.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

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
for profile, most in (("dev", 20), ("ci", 1_000_000)):
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
    "report", "engine/test_engine_runs.py", "engine/test_engine_parity.py", "results/test_properties_results.py",
    "commands/test_cli.py", "engine/test_engine_truth.py", "engine/test_transformer.py", "engine/test_conv.py",
    "engine/test_recurrent.py", "recorder/test_jax.py", "executors/test_ray.py", "cases", "commands/test_merge.py",
    "suite/test_claims_suite.py", "analysis/test_claims_verdicts.py", "commands/test_interrupts.py", "extending",
    "engine", "benchmarks", "commands", "executors", "analysis", "suite", "theory", "results",
)  # fmt: skip
TOGETHER = ("tests/report/",)  # folders whose files share what they have made: pages
IN_USERS_PROCESS = ("recorder",)  # where pandas holds words as a user's does, not as the commands do
FEW_STEPS = ("engine", "script")  # folders of tests that train networks for a few steps


def pytest_addoption(parser: Any) -> None:
    parser.addoption(
        "--traced", action="store_true", help="train as workers do, in graphs, in tests of a few steps too"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that all tests share, but not where others run the tests: it takes seconds."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        gc.disable()  # until all is imported, see `pytest_collection_finish`: it would look at it over and over
        for name in ("tests.browser", "tests.inline"):
            config.pluginmanager.import_plugin(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a folder's files on one worker where they share pages, and else each file."""
    from xdist.scheduler import LoadFileScheduling

    class InFolders(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((folder for folder in TOGETHER if file.startswith(folder)), file)

    return InFolders(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers begin with the files that take long, so that both end at about the same time."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS)
        names = [name for name in (path.as_posix(), path.parts[0]) if name in LONGEST_FIRST]
        return LONGEST_FIRST.index(names[0]) if names else len(LONGEST_FIRST)

    items.sort(key=rank)


def is_eager(item: pytest.Item) -> bool:
    """Whether what a test trains is computed step by step: to trace a graph takes longer than a few of its steps."""
    few = item.path.relative_to(TESTS).parts[0] in FEW_STEPS
    return few and not item.config.getoption("traced") and item.get_closest_marker("traced") is None


def compute_eagerly(yes: bool) -> None:
    """What is still traced, a layer's passes, is not optimized either."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(yes)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": yes})


def hold_words(item: pytest.Item) -> None:
    """As commands hold them, see `bench.analysis.tables.words_of_python`; with --traced as pandas does by itself."""
    import pandas as pd

    own = item.config.getoption("traced") or item.path.relative_to(TESTS).parts[0] in IN_USERS_PROCESS
    pd.set_option("mode.string_storage", "auto" if own else "python")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    hold_words(item)
    if is_eager(item):
        compute_eagerly(True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if is_eager(item):
        compute_eagerly(False)


def pytest_collection_finish() -> None:
    """Look for garbage seldom: what was imported stays, and each graph that is traced is a million small objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
