"""Changes planted in the engine, found in small suites that were really trained before and after."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from unittest.mock import patch

import pandas as pd
import pytest

from bench.analysis.compare import Comparison, Side, Verdict, changed_tables, compare
from bench.analysis.compare.sides import side_of
from bench.rules import choose_rules
from tests.cohorts import EVALUATED, cohorts, train

FACTORS = """
initializer = ["he_normal", "glorot_uniform"]
clipping = ["none", { level = "norm", threshold = 0.02 }]
learning_rate = [0.03, 0.1]
"""
FIXED = 'depth = 3\nwidth = 12\nactivation = "tanh"\nsteps = 20\noptimizer = "sgd"\n'
NORMALIZED = FIXED + 'normalization = "batch_normalization"\n'


def trained(fixed: str = FIXED) -> dict[str, pd.DataFrame]:
    for name in [name for name in sys.modules if name.startswith("bench.engine")]:
        for each in vars(sys.modules[name]).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()  # what was built, drawn or traced before a plant would hide it
    (cohort,) = cohorts(FACTORS, fixed, replicates=3, record=EVALUATED)
    return train(cohort)


before = cache(trained)


def side(name: str, tables: dict[str, pd.DataFrame]) -> Side:
    return side_of(name, tables, choose_rules(), 0)


@contextmanager
def ten_times_the_rate() -> Iterator[None]:
    from bench.engine.update import Update

    whole = Update.__init__

    def planted(self: Update, *runs: object) -> None:
        whole(self, *runs)  # type: ignore[arg-type]
        self.learning_rate = 10.0 * self.learning_rate

    with patch.object(Update, "__init__", planted):
        yield


@contextmanager
def an_ignored_clipnorm() -> Iterator[None]:
    with patch.dict("bench.engine.clipping.RULES", {"norm": lambda given, variables, limit: given}):
        yield


@contextmanager
def other_fans() -> Iterator[None]:
    """Twice the inputs of each kernel: what a change of its shape does to Keras's `compute_fans`."""
    from keras.src.initializers import random_initializers

    fans = random_initializers.compute_fans

    def planted(shape: object, **axes: object) -> tuple[int, int]:
        ins, outs = fans(shape, **axes)
        return 2 * ins, outs

    with patch.object(random_initializers, "compute_fans", planted):
        yield


@contextmanager
def another_epsilon() -> Iterator[None]:
    import keras

    whole = keras.layers.BatchNormalization.__init__
    with patch.object(
        keras.layers.BatchNormalization, "__init__", lambda self, *args, **more: whole(self, *args, epsilon=0.1, **more)
    ):
        yield


@contextmanager
def another_momentum() -> Iterator[None]:
    """Of moving averages, which evaluations alone look at."""
    import keras

    whole = keras.layers.BatchNormalization.__init__
    with patch.object(
        keras.layers.BatchNormalization,
        "__init__",
        lambda self, *args, **more: whole(self, *args, **(more | {"momentum": 0.9})),
    ):
        yield


def after(plant: object, fixed: str = FIXED) -> Comparison:
    with ExitStack() as stack:
        stack.enter_context(plant())  # type: ignore[operator]
        tables = trained(fixed)
    assert changed_tables(before(fixed), tables)
    return compare(side("before", before(fixed)), side("after", tables))


def ignored(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What an ignored clipnorm leaves: a run with one has the rows of its neighbour without."""
    runs = tables["runs"]
    same = ["initializer", "learning_rate", "replicate"]
    without, limited = (runs[(runs["clipping"] == "none") == plain] for plain in (True, False))
    names = limited.merge(without, on=same, suffixes=("", "_without")).set_index("run_id_without")["run_id"]
    found = {}
    for name, frame in tables.items():
        if "run_id" not in frame:
            found[name] = frame
            continue
        kept = frame[~frame["run_id"].isin(names)]
        copied = frame[frame["run_id"].isin(names.index)]
        copied = copied.assign(run_id=copied["run_id"].map(names))
        if name == "runs":
            named = limited.set_index("run_id").loc[copied["run_id"], ["cell_key", "clipping"]]
            copied = copied.assign(**{column: named[column].to_numpy() for column in named})
        found[name] = pd.concat([kept, copied], ignore_index=True)
    return found


def test_an_ignored_clipnorm_is_found_where_there_is_one() -> None:
    tables = before(FIXED)
    _clipped(compare(side("before", tables), side("after", ignored(tables))))


def _clipped(found: Comparison) -> None:
    starts = found.starts.set_index("unit")["otherwise"]
    assert (
        starts["clipping=norm(threshold=0.02)"] == starts[""] == len(found.pairs) / 2 and starts["clipping=none"] == 0
    )
    assert found.verdict is not Verdict.SAME, found.why
    assert set(found.levels.loc[found.levels["unit"] == "clipping=none", "verdict"]) == {"same"}


@pytest.mark.full
def test_an_ignored_clipnorm_is_found_after_training_without_it() -> None:
    _clipped(after(an_ignored_clipnorm))


@pytest.mark.full
def test_a_suite_trained_again_is_equal_to_the_bit() -> None:
    assert not changed_tables(before(FIXED), trained())


@pytest.mark.full
@pytest.mark.parametrize(
    ("plant", "fixed", "by"),
    [
        (ten_times_the_rate, FIXED, "update"),
        (other_fans, FIXED, "loss"),
        (other_fans, NORMALIZED, "update"),
        (another_epsilon, NORMALIZED, "signal"),
        (another_momentum, NORMALIZED, "validation"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_what_was_planted_is_found(plant: object, fixed: str, by: str) -> None:
    found = after(plant, fixed)
    first = found.starts.iloc[0]
    some = by == "validation"  # whose loss may come to the same by chance
    assert first[by] > len(found.pairs) // 2 if some else first[by] == len(found.pairs), found.starts
    assert found.verdict is not Verdict.SAME, found.why
