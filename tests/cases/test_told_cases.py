"""Reported problems whose fact is in the words alone: tables by formula, altered as the problem would have them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bench.report.frames import Frames
from tests.cases.trained import Trained
from tests.cohorts import suite_text
from tests.dry_results import dry_results
from tests.report.pages import altered

SUITE = suite_text(
    "told", "What is wrong?", 2, {"steps": 20, "activation": "tanh"}, depth=[2, 4], initializer=["glorot_uniform"]
)


def of_values(scale: float, left: float) -> Frames:
    """Runs on targets of that standard deviation, which end with a share of their variance as loss."""
    tables = dry_results(SUITE).tables
    naive = scale**2
    runs = tables["runs"].assign(naive_accuracy=np.nan, naive_loss=naive)
    curves = tables["loss_curves"]
    return altered(
        SUITE,
        runs=runs,
        loss_curves=curves.assign(loss=naive * np.where(curves["step"] == 0, 1.0, left)),
        evaluations=tables["evaluations"].assign(accuracy=np.nan, loss=naive * left),
    )


@pytest.mark.parametrize("scale", [1e5, 300.0])
def test_targets_far_out_of_range_are_named(scale: float) -> None:
    found = Trained(of_values(scale, 0.9))
    assert set(found.runs["outcome"]) == {"not_learned"}
    assert set(found.runs["cause"]) == {"data out of range"}
    assert found.page.headline.endswith("The commonest cause is data out of range (4 of 4).")
    assert "standard deviation of the targets" in found.said
    assert not re.search(r"\de[+-]?\d|nan|healthy", found.said)


def test_values_that_were_learned_need_no_cause() -> None:
    found = Trained(of_values(1.0, 0.1))
    assert set(found.runs["outcome"]) == {"learned"}
    assert "4 of 4 runs learned (100 %)" in found.said
    assert "cause" not in found.said


def test_code_that_failed_is_told_apart_from_networks_that_did_not_learn() -> None:
    runs = dry_results(SUITE).tables["runs"]
    failed = runs["depth"] == 4
    found = Trained(altered(SUITE, runs=runs.assign(status=runs["status"].mask(failed, "failed"))))
    assert "2 of 2 runs that did not learn failed with an error." in found.said


def test_rates_of_any_size_are_written_on_the_first_screen() -> None:
    runs = dry_results(SUITE).tables["runs"]
    rates = pd.Series(np.where(runs["replicate"] == 0, 1e-7, 2e-5), runs.index)
    found = Trained(altered(SUITE, runs=runs.assign(learning_rate=rates)))
    assert "SGD 10⁻⁷ and 2·10⁻⁵" in str(found.page.as_data())
