"""Mean-field theory beside measurement: planted agreement, planted disagreement, causes and counts."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from bench.analysis import (
    CAUSES,
    Moment,
    Tables,
    Theory,
    disagreement,
    expected_by_chance,
    independent_runs,
    moved,
    predictions,
    settings,
)
from bench.analysis import theory_of as whole_theory_of
from bench.factors import FACTORS
from tests.cohorts import cohorts, train
from tests.dry_results import dry_results

HEAD = '[suite]\nname = "t"\nquestion = "?"\nreplicates = 3\n[factors]\n'
FIXED = '[fixed]\npreprocessing = "unit_mean_square"\nsteps = 4\n'
RECORD = '[record]\ngradient_norms = "every_step"\nactivations = "every_step"\n'
PLAIN = 'depth = [3, 8]\nactivation = ["tanh", "relu"]\nclipping = ["none", "global_norm"]\n'

theory_of = partial(whole_theory_of, walks=60)  # enough for bands that planted numbers lie in the middle of


def tables_of(factors: str = PLAIN, fixed: str = "") -> dict[str, pd.DataFrame]:
    return dry_results(f"{HEAD}{factors}{FIXED}{fixed}{RECORD}").tables


def planted(tables: Tables, shift: float = 0.0, where: pd.Series | None = None) -> dict[str, pd.DataFrame]:
    """The tables with the predicted norms in place of the measured ones at step 0; first layers' moved by decades."""
    predicted = predictions(tables, theory_of(tables)).set_index(["run_id", "layer_index"])["predicted"]
    norms = tables["gradient_norms"].copy()
    keys = pd.MultiIndex.from_frame(norms[["run_id", "layer_index"]])
    value = predicted.reindex(keys).to_numpy()
    moved_by = np.where(norms["layer_index"] == 0, shift, 0.0)
    if where is not None:
        moved_by = moved_by * norms["run_id"].map(where).to_numpy(bool)
    at = (norms["step"] == 0) & ~np.isnan(value)
    norms.loc[at, "preactivation_grad_norm"] = 10.0 ** (value + moved_by)[at]
    return dict(tables) | {"gradient_norms": norms}


def compared(tables: Tables) -> tuple[Theory, pd.DataFrame]:
    """The theory of these tables, and where it disagrees with them."""
    theory = theory_of(tables)
    return theory, disagreement(predictions(tables, theory))


def judged(tables: Tables) -> pd.DataFrame:
    return settings(tables, *compared(tables))


def test_planted_agreement_is_found_in_every_run() -> None:
    tables = planted(tables_of())
    theory = theory_of(tables)
    rows = predictions(tables, theory)
    found = disagreement(rows)
    assert (theory.runs["reason"] == "").all()
    assert len(rows) == 6 * (3 + 8) * 2  # runs by depth, layers, activations
    assert rows["inside"].all()
    assert found["inside"].all()
    assert (found["layers"] == found["layers_inside"]).all()
    assert set(found["layers"]) == {2, 7}
    np.testing.assert_allclose(found["measured"], found["predicted"], atol=1e-9)
    assert found["departure"].abs().max() < 0.5
    ranked = judged(tables)
    assert not ranked["deviates"].any()
    assert (ranked["cause"] == "").all()


def test_runs_that_theory_cannot_tell_apart_are_one_draw() -> None:
    tables = planted(tables_of())
    theory, found = compared(tables)
    assert len(theory.networks) == 4
    assert len(found) == 24
    assert len(independent_runs(tables, found)) == 12
    ranked = judged(tables)
    assert (ranked["runs"] == 6).all()
    assert (ranked["compared"] == 3).all()


def test_planted_disagreement_is_found_where_it_was_planted() -> None:
    tables = tables_of()
    relu = tables["runs"].set_index("run_id")["activation"] == "relu"
    broken = planted(tables, 2.0, relu)
    _, found = compared(broken)
    assert (~found["inside"] == relu.reindex(found.index)).all()
    assert (found.loc[relu[relu].index, "departure"] > 1.0).all()
    np.testing.assert_array_equal(found["layers"] - found["layers_inside"], relu.reindex(found.index).astype(int))
    ranked = judged(broken)
    assert ranked["deviates"].tolist() == [True, True, False, False]
    assert (ranked["outside"] == [3, 3, 0, 0]).all()
    assert expected_by_chance(ranked) == pytest.approx(4 * (3 * 0.05**2 * 0.95 + 0.05**3))


def test_what_has_no_prediction_is_counted_with_its_reason() -> None:
    tables = tables_of('depth = [1, 6]\nactivation = ["tanh", "relu", "elu"]\ninitializer = ["he_normal", "zeros"]\n')
    runs = tables["runs"].copy()
    deep = runs["depth"] == 6
    plugin, other = deep & (runs["activation"] == "relu"), deep & (runs["activation"] == "elu")
    runs.loc[plugin, "activation"], runs.loc[other, "architecture"] = "mine:phi", "cnn"
    left = runs[deep & ~plugin & ~other & (runs["initializer"] == "he_normal")]
    lost = left["run_id"].iloc[0]
    runs.loc[runs["run_id"] == lost, "status"] = "failed"
    norms = tables["gradient_norms"]
    theory = theory_of(tables | {"runs": runs, "gradient_norms": norms[norms["run_id"] != lost]})
    reasons = theory.runs["reason"]
    assert len(reasons) == len(runs) == 36 and (reasons == "").sum() == 2
    told = {"mine:phi": 6, "cnn": 6, "Lost before": 1, "No gradient": 3, "A single": 18}
    assert {why: reasons.str.contains(why).sum() for why in told} == told


def test_tables_without_rows_have_reasons_and_no_predictions() -> None:
    tables = tables_of()
    empty = {name: frame.iloc[:0] for name, frame in tables.items() if name != "runs"} | {"runs": tables["runs"]}
    theory = theory_of(empty)
    assert (theory.runs["reason"] == "Its gradient at step 0 was not recorded.").all()
    assert disagreement(predictions(empty, theory)).empty


def test_norms_of_zero_and_without_a_number_are_told_apart() -> None:
    tables = planted(tables_of("depth = [5]\n"))
    norms = tables["gradient_norms"].copy()
    first, second = tables["runs"]["run_id"][:2]
    start = (norms["step"] == 0) & (norms["layer_index"] == 0)
    norms.loc[start & (norms["run_id"] == first), "preactivation_grad_norm"] = 0.0
    norms.loc[start & (norms["run_id"] == second), "preactivation_grad_norm"] = np.nan
    theory, found = compared(tables | {"gradient_norms": norms})
    assert found.loc[first, "departure"] == -np.inf
    assert not found.loc[first, "inside"]
    assert theory.runs.loc[second, "reason"] == "Its first gradient is 0, NaN or infinite."
    assert second not in found.index


def test_only_so_many_networks_are_computed_and_the_rest_is_said() -> None:
    tables = tables_of("depth = [2, 3, 4, 5, 6]\n")
    theory = theory_of(tables, most=2)
    left = theory.runs["reason"] == "Not computed: 2 of 5 different networks are."
    assert left.sum() == 9
    assert set(theory.layers["network"]) == {0, 4}


def test_the_inputs_mean_square_is_measured_or_known() -> None:
    assert set(theory_of(tables_of()).input_mean_square) == {1.0}
    tables = tables_of('initializer = ["he_normal", "lecun_normal"]\n', 'dataset = "mnist1d"\n')
    runs, activations = tables["runs"].assign(preprocessing="standardize"), tables["activations"].copy()
    he = activations["run_id"].isin(runs.loc[runs["initializer"] == "he_normal", "run_id"])
    activations["preactivation_mean_square"] = np.where(he, 2 * 0.7, 0.7)
    theory = theory_of(tables | {"runs": runs, "activations": activations})
    assert set(theory.input_mean_square) == {0.7}


CASES = {
    "float32 underflow": ("depth = [4]\n", "", "norms"),
    "batch statistics": ('depth = [6]\nnormalization = ["batch_normalization"]\n', "", ""),
    "sums of non-zero mean": ('depth = [7]\nskip = ["residual"]\n', "", "mean"),
    "unstable variance": ('depth = [32]\nactivation = ["gelu"]\ninitializer = ["he_normal"]\n', "", ""),
    "unequal inputs": ("depth = [6]\n", "", "standardize"),
    "correlated inputs": ('depth = [6]\nactivation = ["tanh"]\n', "", "cosine"),
    "finite width": ('depth = [8]\nactivation = ["tanh"]\n', "width = 12\n", ""),
    "unexplained": ('depth = [6]\nactivation = ["tanh"]\n', "", ""),
}


@pytest.mark.parametrize(("cause", "case"), CASES.items(), ids=list(CASES))
def test_each_cause_has_its_own_condition(cause: str, case: tuple[str, str, str]) -> None:
    factors, fixed, change = case
    tables = tables_of(factors, fixed)
    activations = tables["activations"].assign(pair_correlation=0.0, mean=0.0)
    if "relu" in tables["runs"]["activation"].unique():
        activations["pair_correlation"] = 1.0 / np.pi  # of relu for inputs across each other
    if change == "mean":
        activations["mean"] = activations["std"]
    if change == "cosine":
        activations["pair_correlation"] = 0.5
    runs = tables["runs"].assign(preprocessing="standardize") if change == "standardize" else tables["runs"]
    broken = planted(tables | {"activations": activations, "runs": runs}, 3.0)
    if change == "norms":
        norms = broken["gradient_norms"]
        broken["gradient_norms"] = norms.assign(preactivation_grad_norm=norms["preactivation_grad_norm"] * 1e-36)
    ranked = judged(broken)
    assert ranked["deviates"].all()
    assert set(ranked["cause"]) == {cause}
    assert cause in {each.name for each in CAUSES}


def test_what_training_moves_leaves_the_band() -> None:
    tables = planted(tables_of())
    norms = tables["gradient_norms"].copy()
    late = (norms["step"] == norms["step"].max()) & (norms["layer_name"] != "head")
    norms.loc[late, "preactivation_grad_norm"] = 10.0 ** (3.0 * norms.loc[late, "layer_index"])
    changed = tables | {"gradient_norms": norms}
    theory = theory_of(changed)
    table = moved(predictions(changed, theory), predictions(changed, theory, Moment.END)).set_index("moment")
    assert table.loc["start", "layers"] == table.loc["end", "layers"] == 12 * (2 + 7)
    assert table.loc["start", "layers_inside"] == table.loc["start", "layers"]
    assert table.loc["end", "layers_inside"] == 0
    assert set(predictions(changed, theory, Moment.END)["run_id"]) == set(changed["runs"]["run_id"])


@pytest.mark.slow  # TensorFlow
def test_small_networks_as_the_engine_draws_them_lie_in_their_bands() -> None:
    (cohort,) = cohorts(
        'initializer = ["he_normal", "glorot_uniform", "orthogonal"]',
        'activation = "tanh"\npreprocessing = "unit_mean_square"\ndepth = 6\nwidth = 64\nsteps = 1',
        replicates=6,
        record="[record]\ngradient_norms = { at = [0] }\nactivations = { at = [0] }\nevaluations = { at = [0] }\n",
    )
    tables = train(cohort)
    theory = whole_theory_of(tables)
    found = disagreement(predictions(tables, theory))
    assert len(found) == 18
    assert found["layers_inside"].sum() / found["layers"].sum() > 0.85  # 90 layers, 18 independent totals
    assert found["inside"].sum() >= 15
    assert not judged(tables)["deviates"].any()


def test_the_damped_skip_has_its_own_scale_and_the_normalized_path_none() -> None:
    from bench.errors import BenchError
    from bench.theory import network_of

    assert "residual_damped" in {level.name for level in FACTORS["skip"].levels}
    damped = {"depth": 10, "skip": "residual_damped(layers=1, scale=2.0)"}
    assert network_of(damped).branch_scale == pytest.approx(2.0 / 3.0)
    with pytest.raises(BenchError, match="on the path"):
        network_of({"skip": "residual_post_norm", "normalization": "layer_normalization"})
    assert network_of({"skip": "residual_post_norm"}).branch_scale == 1.0
