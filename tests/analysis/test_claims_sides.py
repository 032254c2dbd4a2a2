"""The two sides of a claim: each network at its best level, and who is compared with whom."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.errors import SuiteError
from tests.analysis.claims_tables import evaluations, runs_of, suite_of, tables_of, units_of

RULE = """
number = { column = "loss", table = "loss_curves", below = 0.5 }
best = "learning_rate"
best_by = "lowest"
most = 10.0
"""


@pytest.mark.parametrize("recorded", [True, False])
def test_rates_at_which_all_runs_are_censored_are_told_apart_by_their_loss(recorded: bool) -> None:
    suite = suite_of("learning_rate = [0.001, 0.01, 0.1]", RULE)
    runs = runs_of(suite)
    curves = pd.DataFrame({"run_id": runs["run_id"], "step": 0, "loss": 2.3})
    final = runs["learning_rate"].map({0.001: 1.2, 0.01: 0.6, 0.1: 1.5})
    tables = tables_of(runs, loss_curves=curves)
    if recorded:
        tables["evaluations"] = evaluations(runs, 0.1, final)
    best = units_of(tables, suite.claims[0].parts[0]).best
    assert best["level"].tolist() == [0.01 if recorded else 0.001]
    assert best["on_edge"].tolist() == [not recorded]


def test_the_number_goes_before_the_loss() -> None:
    suite = suite_of("learning_rate = [0.001, 0.01]", RULE)
    runs = runs_of(suite)
    reached = runs["learning_rate"].map({0.001: 0.4, 0.01: 2.3})
    curves = pd.DataFrame({"run_id": runs["run_id"], "step": 0, "loss": reached})
    tables = tables_of(runs, loss_curves=curves, evaluations=evaluations(runs, 0.1, 2.7 - reached))
    assert units_of(tables, suite.claims[0].parts[0]).best["level"].tolist() == [0.001]


def test_sides_of_which_no_cell_has_a_partner_are_refused() -> None:
    rule = """
    number = { learned = 0.9 }
    of = { activation = "selu" }
    against = { activation = "relu" }
    best = "learning_rate"
    least = 0.3
    """
    factors = """
    activation = ["selu"]
    initializer = ["lecun_normal"]
    learning_rate = [0.01, 0.1]
    """
    own = '[[include]]\nactivation = "relu"\ninitializer = "he_normal"\n'
    with pytest.raises(SuiteError, match="no pair: they differ in initializer too; name its levels on both sides"):
        suite_of(factors, rule, fixed=f"steps = 60\n{own}")
    named = rule.replace('"selu" }', '"selu", initializer = "lecun_normal" }')
    named = named.replace('"relu" }', '"relu", initializer = "he_normal" }')
    assert suite_of(factors, named, fixed=f"steps = 60\n{own}").claims[0].parts[0].against
