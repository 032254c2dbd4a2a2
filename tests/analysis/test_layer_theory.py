"""Theory beside layers of convolutions and transformers: what is compared, from where, and why not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from bench.analysis.layer_theory import compared_layers, compared_positions, layer_theory, ranked_layers
from bench.theory import conv_network_of, conv_profile, stream_profile, transformer_of

BASE: dict[str, object] = {
    "status": "completed", "replicate": 0, "preprocessing": "standardize", "width": 16, "depth": 6,
    "activation": "tanh", "initializer": "glorot_uniform", "bias_initializer": "zeros", "dropout": 0.0,
}  # fmt: skip
CONV = BASE | {
    "architecture": "conv", "dataset": "digits", "kernel_size": 3, "padding": "same", "downsample": "none",
    "head_pool": "global_average", "normalization": "none", "skip": "none",
}  # fmt: skip
STREAM = BASE | {
    "architecture": "transformer", "dataset": "reverse(length=12)", "activation": "relu", "heads": 4, "feed_forward": 4,
    "block": "pre_norm", "sublayers": "both", "query_key": "plain", "attention_gain": 1.0, "depth": 3,
    "logit_scale": "inverse_root", "causal": "by_task", "position": "learned", "embedding_initializer": "keras_uniform",
}  # fmt: skip

OWN = {"dataset": "own.npz"}  # as which it is not known how many tokens a sample has


def tables_of(*runs: Mapping[str, object]) -> dict[str, pd.DataFrame]:
    """Runs in whose tables every layer is as theory says, of inputs of mean square 0.5."""
    norms, looks, heads, places = [], [], [], []
    named = [{**run, "run_id": f"r{at}"} for at, run in enumerate(runs)]
    for run in named:
        network: object = None
        if run["architecture"] == "conv":
            known = {**run, "padding": run["padding"], "normalization": "none", "downsample": "none"}
            network = conv_network_of(known, (8, 8, 1))
            made = conv_profile(network, 0.5)
            q, cosine, gradient = made.q, np.full(len(made.q), np.nan), made.preactivation
            for layer, (square, signal) in enumerate(zip(made.mean_square, made.gradient, strict=True)):
                for (row, column), value in np.ndenumerate(square):
                    places.append((run["run_id"], 0, layer, row, column, value, signal[row, column] ** 0.5))
        else:
            told = stream_profile(transformer_of({**run, "dropout": 0.0}, 12), 0.3, 0.1)
            q, cosine, gradient = told.mean_square, told.token_cosine, told.gradient
            heads += [(run["run_id"], 0, at, head, told.entropy[at]) for at in range(0, len(q), 2) for head in range(2)]
        for layer in range(len(q)):
            norms.append((run["run_id"], 0, layer, f"hidden_{layer}", 9.0 * 16, 3.0 * 10.0 ** gradient[layer]))
            looks.append((run["run_id"], 0, layer, q[layer], cosine[layer]))
        norms.append((run["run_id"], 0, len(q), "head", 10.0, 1.0))
    at = ["run_id", "step", "layer_index"]
    return {
        "runs": pd.DataFrame(named),
        "gradient_norms": pd.DataFrame(norms, columns=[*at, "layer_name", "weight_count", "preactivation_grad_norm"]),
        "activations": pd.DataFrame(looks, columns=[*at, "preactivation_mean_square", "token_cosine"]),
        "attention": pd.DataFrame(heads, columns=[*at, "head", "entropy"]).assign(
            entropy_share=lambda each: each["entropy"] / np.log(12)
        ),
        "positions": pd.DataFrame(
            places, columns=[*at, "row", "column", "mean_square", "preactivation_grad_norm"]
        ),
    }  # fmt: skip


def test_layers_as_theory_says_are_found_so_from_where_they_begin() -> None:
    tables = tables_of(CONV, CONV | {"padding": "circular"}, STREAM, STREAM | {"block": "b2t"}, STREAM | OWN)
    theory = layer_theory(tables)
    assert set(theory.runs["reason"]) == {""}
    assert theory.runs["setting"].tolist() == [0, 1, 2, 3, 4]
    found = compared_layers(tables, theory)
    assert found["measured"].to_numpy() == pytest.approx(found["predicted"].to_numpy(), abs=2e-3)
    counts = found.groupby(["run_id", "quantity"]).size().to_dict()
    assert counts[("r0", "gradient")] == counts[("r0", "mean_square")] == 5
    assert counts[("r2", "gradient")] == 4  # sub-layers 1 to 4: the first is where it begins, the last the unit
    assert counts[("r2", "token_cosine")] == 5
    assert counts[("r2", "entropy")] == 2
    assert counts[("r3", "gradient")] == 3  # of b2t a whole block
    assert counts[("r4", "gradient")] == 4

    untold = layer_theory(tables | {"attention": tables["attention"].iloc[:0]})
    assert "The number of tokens is not known" in untold.runs.loc["r4", "reason"]
    assert (untold.runs["reason"].drop("r4") == "").all()

    placed = compared_positions(tables, theory)
    assert placed["measured"].to_numpy() == pytest.approx(placed["predicted"].to_numpy(), rel=2e-3)
    corner = placed[(placed["row"] == 0) & (placed["column"] == 0) & (placed["run_id"] == "r0")]
    assert (corner[corner["layer_index"].between(1, 4)]["predicted"] < 0.7).all()


def test_the_furthest_setting_comes_first() -> None:
    tables = tables_of(CONV, STREAM)
    norms = tables["gradient_norms"]
    norms.loc[(norms["run_id"] == "r1") & (norms["layer_index"] == 2), "preactivation_grad_norm"] *= 10.0
    ranked = ranked_layers(compared_layers(tables, layer_theory(tables)))
    assert ranked["setting"].tolist() == [1, 0]
    assert ranked["away"].to_numpy() == pytest.approx([1.0, 0.0], abs=2e-3)
    assert np.isnan(ranked["entropy_measured"]).tolist() == [False, True]


@pytest.mark.parametrize(("run", "says"), [
    (CONV | {"normalization": "instance_normalization"}, "instance_normalization; its statistics are of one filter"),
    (CONV | {"downsample": "max_pool(every=4)"}, "which of the positions under a maximum wins"),
    (CONV | {"dropout": 0.5}, "does not cover dropout"),
    (STREAM | {"bias_initializer": "normal(stddev=0.1)"}, "covers biases that start at 0"),
    (STREAM | {"depth": 1, "sublayers": "attention_only"}, "A single sub-layer has no other"),
])  # fmt: skip
def test_what_is_not_predicted_has_a_reason(run: dict[str, object], says: str) -> None:
    plain = {**run, "normalization": "none", "downsample": "none", "dropout": 0.0, "bias_initializer": "zeros"}
    tables = tables_of(plain)
    tables["runs"] = pd.DataFrame([{**run, "run_id": "r0"}])
    theory = layer_theory(tables)
    assert says in theory.runs["reason"].iloc[0]
    assert compared_layers(tables, theory).empty


def test_what_was_not_recorded_has_a_reason() -> None:
    tables = tables_of(CONV, STREAM)
    looks = tables["activations"]
    bare = layer_theory(tables | {"activations": looks.iloc[:0], "positions": tables["positions"].iloc[:0]})
    assert bare.runs["reason"].tolist() == [
        "The size of the inputs was not measured.", "How alike tokens are was not measured.",
    ]  # fmt: skip
    late = layer_theory(tables | {"gradient_norms": tables["gradient_norms"].assign(step=5)})
    assert set(late.runs["reason"]) == {"Its gradient at step 0 was not recorded."}
    assert layer_theory({"runs": pd.DataFrame([{**BASE, "architecture": "mlp", "run_id": "r0"}])}).runs.empty
