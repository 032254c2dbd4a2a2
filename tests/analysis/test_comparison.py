"""Each cell at its best learning rate: known choices, ties, lost runs and edges."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis.comparison import at_best, factor_columns

RATES = (0.1, 0.01, 0.001)  # not in order: the smallest is not the first


def judged(losses: dict[str, dict[float, list[float]]]) -> pd.DataFrame:
    """Runs from activation, learning rate and the replicates' losses; a loss of infinity is a diverged run."""
    rows = [
        {"activation": activation, "depth": 8, "learning_rate": rate, "replicate": r, "cell_key": f"{activation}{rate}",
         "status": "diverged" if np.isinf(loss) else "completed", "best_validation_loss": min(loss, 0.5),
         "best_validation_accuracy": 1.0 - min(loss, 0.5), "chance_accuracy": 0.1}
        for activation, by_rate in losses.items()
        for rate, replicates in by_rate.items()
        for r, loss in enumerate(replicates)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def chosen(frame: pd.DataFrame, **options: object) -> dict[str, tuple[float, int, bool]]:
    found = at_best(frame, **options)  # type: ignore[arg-type]
    assert len(found) == 3 * found["activation"].nunique()
    first = found.drop_duplicates("activation").set_index("activation")
    return {a: (row["learning_rate"], row["chosen_from"], row["on_edge"]) for a, row in first.iterrows()}


LOST = np.inf
GRID = {
    "relu": dict(zip(RATES, ([0.4, 0.1, 0.1], [0.2, 0.2, 0.01], [0.3, 0.3, 0.3]), strict=True)),  # medians .1 .2 .3
    "tanh": dict(zip(RATES, ([0.1, LOST, LOST], [0.4, 0.3, LOST], [0.45, 0.45, 0.45]), strict=True)),  # inf .4 .45
    "tied": dict(zip(RATES, ([0.2, 0.2, 0.2], [0.2, 0.1, 0.3], [0.4, 0.4, 0.4]), strict=True)),
    "lost": dict.fromkeys(RATES, [LOST] * 3),
}


def test_the_level_with_the_lowest_median_is_chosen_with_lost_runs_at_infinity() -> None:
    assert chosen(judged(GRID)) == {
        "relu": (0.1, 3, True),
        "tanh": (0.01, 3, False),
        "tied": (0.01, 3, False),
        "lost": (0.001, 3, True),
    }


def test_the_order_of_runs_and_their_index_do_not_matter_and_are_kept() -> None:
    frame = judged(GRID)
    shuffled = frame.sample(frac=1.0, random_state=0)
    found = at_best(shuffled)
    assert found.index.tolist() == [label for label in shuffled.index if label in set(at_best(frame).index)]
    assert chosen(shuffled) == chosen(frame)


def test_an_accuracy_is_best_where_it_is_highest_and_what_has_no_best_is_an_error() -> None:
    found = chosen(judged(GRID), by="best_validation_accuracy")
    assert found["relu"] == (0.1, 3, True)
    assert found["tanh"][0] == 0.01
    with pytest.raises(ValueError, match="clipped_share"):
        at_best(judged(GRID), by="clipped_share")


def test_a_single_candidate_is_on_the_edge_and_one_never_measured_comes_last() -> None:
    frame = judged({"relu": {0.1: [0.2] * 3}, "tanh": {0.1: [0.3] * 3, 0.01: [0.4] * 3}})
    frame.loc[(frame["activation"] == "tanh") & (frame["learning_rate"] == 0.1), "best_validation_loss"] = np.nan
    assert chosen(frame) == {"relu": (0.1, 1, True), "tanh": (0.01, 2, True)}


def test_two_tuned_factors_are_chosen_together_and_words_have_no_edge() -> None:
    rows = []
    for optimizer, rate, r in product(("sgd", "adam"), RATES, range(3)):
        best = (optimizer, rate) == ("adam", 0.01)
        rows.append(
            {"activation": "relu", "optimizer": optimizer, "learning_rate": rate, "replicate": r, "cell_key": "c",
             "status": "completed", "best_validation_loss": 0.1 if best else 0.5, "chance_accuracy": 0.1}
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    found = at_best(frame, ("optimizer", "learning_rate"))
    assert set(found["optimizer"]) == {"adam"}
    assert (set(found["chosen_from"]), set(found["on_edge"])) == ({6}, {False})
    alone = at_best(frame, ("optimizer",)).drop_duplicates("learning_rate").set_index("learning_rate")
    assert alone["optimizer"].to_dict() == {0.1: "sgd", 0.01: "adam", 0.001: "sgd"}  # a tie goes to the suite's first
    assert not alone["on_edge"].any()


def test_contexts_are_all_factors_but_the_tuned_ones() -> None:
    frame = pd.concat([judged(GRID), judged(GRID).assign(depth=16)], ignore_index=True).astype(
        {"activation": "category"}
    )
    found = at_best(frame)
    assert found.groupby(["activation", "depth"], observed=True).size().tolist() == [3] * 8
    assert factor_columns(frame) == ["depth", "activation", "learning_rate"]


def test_no_runs_have_no_best() -> None:
    found = at_best(judged(GRID).iloc[:0])
    assert found.empty
    assert {"chosen_from", "on_edge"} <= set(found.columns)


def test_the_planted_rate_is_found_in_most_data_sets() -> None:
    """100 contexts whose best of three rates is planted one noise deviation ahead, with 9 replicates each."""
    draw = np.random.default_rng(0)
    losses = {
        f"a{i}": {rate: list(0.25 + 0.05 * (rate != 0.01) + 0.05 * draw.normal(size=9)) for rate in RATES}
        for i in range(100)
    }
    found = at_best(judged(losses))
    assert found.drop_duplicates("activation")["learning_rate"].eq(0.01).mean() > 0.85
