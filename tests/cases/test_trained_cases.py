"""Problems that people reported, each with its known answer: what the tables hold, and what the page says in words.

Misuse of suites and data files is in tests/suite/test_suite.py, test_factors.py and tests/engine/test_datasets.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.cases.trained import Trained, save, train

HEALTHY = re.compile(r"healthy|without a symptom")
SMALL = {"width": 16, "steps": 30, "batch_size": 64}


def normal(stddev: float) -> dict[str, object]:
    return {"level": "random_normal", "stddev": stddev}


CONSTANT = {"level": "keras.initializers:Constant", "value": 0.05}
POSITIVE = {"level": "keras.initializers:RandomUniform", "minval": 0.0, "maxval": 1.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def starts(folder: Path) -> Trained:
    """One relu network from starts and with rates of which one alone works: all in one cohort."""
    cells = [
        {"initializer": "he_normal", "learning_rate": 0.2},
        {"initializer": "he_normal", "learning_rate": 50.0},
        {"initializer": "he_normal", "learning_rate": 1e-7},
        {"initializer": normal(2.0), "learning_rate": 0.2},
        {"initializer": CONSTANT, "learning_rate": 0.2},
    ]
    return train(folder, cells, SMALL | {"depth": 3, "activation": "relu", "steps": 60})


CAUSES = {
    ("he_normal", 50.0): "rate too large",
    ("he_normal", 1e-7): "rate too small",
    ("random_normal(stddev=2)", 0.2): "values too large at the start",
    ("keras.initializers:Constant(value=0.05)", 0.2): "identical units",
}


def test_each_start_and_rate_has_its_cause_and_a_sentence(starts: Trained) -> None:
    runs = starts.runs.set_index(["initializer", "learning_rate"])
    assert set(runs.loc[("he_normal", 0.2), "outcome"]) == {"learned"}
    for key, cause in CAUSES.items():
        assert set(runs.loc[[key], "cause"]) == {cause}, key
        assert f"The cause of 2 of 8 runs that did not learn is {with_article(cause)}" in starts.said
    assert starts.page.headline.endswith("Rate 0.2 alone trains he_normal.")
    assert "2 of 10 runs learned (20 %)" in starts.said


@pytest.mark.parametrize(("key", "cause"), CAUSES.items(), ids=CAUSES.values())
def test_where_nothing_else_was_tried_the_headline_names_the_cause(
    starts: Trained, key: tuple[str, float], cause: str
) -> None:
    alone = starts.only(initializer=key[0], learning_rate=key[1])
    assert alone.page.headline == (
        f"The network does not train: 0 of 2 runs did. The commonest cause is {with_article(cause)} (2 of 2)."
    )
    assert not HEALTHY.search(alone.said)


def with_article(cause: str) -> str:
    return f"a {cause}" if cause.startswith(("rate", "majority", "vanishing")) else cause


# Each on a structure of its own: the cell, the other settings, the cause with layer and step, and what must be said.
LONE = {
    "minus infinity in the only hidden layer": (
        {"activation": "odd_activations:log_relu"}, {"depth": 1, "steps": 2},
        "non-finite numbers from the start", 0, 0,
        "non-finite numbers from the start, seen at step 0 in layer 0",
    ),
    "not a number in the first of two": (
        {"activation": "odd_activations:root"}, {"depth": 2, "steps": 2},
        "non-finite numbers from the start", 0, 0,
        "non-finite numbers from the start, seen at step 0 in layer 0",
    ),
    "an activation without bounds": (
        {"activation": "odd_activations:exp"}, {"depth": 4, "steps": 2},
        "values too large at the start", 1, 0, "values too large at the start, seen at step 0",
    ),
    "units that nothing reaches": (
        {"activation": "odd_activations:cut"}, {"depth": 2}, "dead units", 0, 0, "dead units, seen at step 0 in layer 0"
    ),
    "positive weights": (
        {"activation": "tanh", "initializer": POSITIVE}, {"depth": 4, "learning_rate": 0.01},
        "saturated units", 1, 0, "saturated units, seen at step 0 in layer",
    ),
    "a deep sigmoid": (
        {"activation": "sigmoid"}, {"depth": 12, "steps": 10}, "vanishing gradient", 8, 0,
        "0 of 2 runs whose gradient vanishes at initialization learned",
    ),
    "lagging averages": (
        {"normalization": {"level": "batch_normalization", "momentum": 0.9995}},
        {"depth": 6, "optimizer": "momentum", "learning_rate": 0.01, "steps": 60, "width": 32},
        "lagging moving averages", None, 60, "lagging moving averages, seen at step 60",
    ),
}  # fmt: skip


SLOW = (
    "not a number in the first of two", "an activation without bounds", "units that nothing reaches",
    "a deep sigmoid", "lagging averages",
)  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.full] * (each in SLOW)) for each in LONE])
def test_the_cause_is_located_and_said(folder: Path, name: str) -> None:
    cell, fixed, cause, layer, step, said = LONE[name]
    found = train(folder, [cell], SMALL | fixed)
    assert set(found.runs["outcome"]) <= {"diverged", "not_learned"}
    assert set(found.runs["cause"]) == {cause}
    if layer is not None:
        assert (found.runs["layer"].astype(int) - layer).abs().max() <= 1
    assert set(found.runs["step"].astype(int)) == {step}
    assert said in found.said
    assert "0 of 2 runs did" in found.page.headline
    assert not HEALTHY.search(found.said)


def rare(folder: Path, apart: float) -> Trained:
    """Classes of 98 and 2 in a hundred, whose features lie that far apart."""
    rng = np.random.default_rng(7)
    y = (np.arange(1000) % 50 == 0).astype(int)
    x = rng.standard_normal((1000, 8)) + apart * y[:, None]
    data = save(folder / f"{apart}.npz", x.astype(np.float32), y)
    fixed = {"depth": 2, "optimizer": "adam", "learning_rate": 0.01, "steps": 40}
    return train(folder, [{"dataset": data}], SMALL | fixed)


def test_the_majority_answer_is_not_learned_however_accurate(folder: Path) -> None:
    found = rare(folder, 0.0)
    assert (found.runs["final_validation_accuracy"] > 0.9).all()
    assert set(found.runs["outcome"]) == {"not_learned"}
    assert "0 of 2 runs learned (0 %)" in found.said
    assert re.search(r"collapsed to one answer for every input|majority answer|memorized", found.said)


@pytest.mark.full
def test_rare_classes_that_are_told_apart_are_learned(folder: Path) -> None:
    found = rare(folder, 6.0)
    assert set(found.runs["outcome"]) == {"learned"}
    assert "2 of 2 runs learned (100 %)" in found.said
