"""Groups of parameters are held to ordinary Keras models, their own optimizers' second moments among them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.engine.attention.query_key import query_key_of
from bench.engine.batches import batches
from bench.engine.groups import _of_stack
from bench.engine.train import Training
from bench.factors import FACTORS, GATE_GROUPS, GROUPS, choose, planned_groups
from bench.factors.groups import WITH_GAINS
from bench.plan import estimate_rows
from tests.cohorts import EVERY_STEP, cohorts, of_run

STEPS, UNITS = 3, 5
ASKED = EVERY_STEP + 'parameter_groups = { at = [0, "last"] }\n'
FIXED = f"width = {UNITS}\nsteps = {STEPS}\nbatch_size = 16\nlearning_rate = 0.01\n"
RECURRENT = (
    f'{FIXED}architecture = "recurrent"\ndataset = {{ level = "recall", length = 6, symbols = 3, rows = 100 }}\n'
)
CASES = {
    "lstm": ('gate_bias = ["unit_forget", "zeros"]\ncell = ["lstm"]\ndepth = [2]\noptimizer = ["adam"]', RECURRENT),
    "gru": ('cell = ["gru"]\ndepth = [1]\ndirection = ["bidirectional"]\noptimizer = ["momentum"]', RECURRENT),
    "mlp": (
        'depth = [4]\nactivation = ["tanh"]\noptimizer = [{ level = "adam", beta_2 = 0.9 }]\n'
        'normalization = [{ level = "layer_normalization", position = "after" }]\n'
        'clipping = ["none", { level = "global_norm", threshold = 0.01 }]', f'{FIXED}dataset = "wine"\n',
    ),
}  # fmt: skip


def ordinary(name: str) -> keras.Model:
    if name == "mlp":
        hidden = [(keras.layers.Dense(UNITS, activation="tanh"), keras.layers.LayerNormalization()) for _ in range(4)]
        layers, inputs = [layer for pair in hidden for layer in pair], (13,)
    elif name == "lstm":
        layers, inputs = [keras.layers.LSTM(UNITS, return_sequences=True), keras.layers.LSTM(UNITS)], (6, 5)
    else:
        layers, inputs = [keras.layers.Bidirectional(keras.layers.GRU(UNITS))], (6, 5)
    return keras.Sequential([keras.Input(inputs), *layers, keras.layers.Dense(3)])


def told(name: str, tensors: list[Any], variables: list[Any], layers: list[int]) -> dict[tuple[int, str], np.ndarray]:
    """All numbers of each layer's groups in a row, of one tensor for each variable."""
    found: dict[tuple[int, str], list[np.ndarray]] = {}
    for tensor, variable, layer in zip(tensors, variables, layers, strict=True):
        value, role = np.asarray(tensor), "gain" if variable.name == "gamma" else variable.name
        if role == "beta":
            continue
        found.setdefault((layer, role), []).append(value.ravel())
        gates = GATE_GROUPS.get(name, ()) if layer < max(layers) else ()
        for gate, part in zip(gates, np.split(value, len(gates), axis=-1) if gates else (), strict=True):
            found.setdefault((layer, gate), []).append(part.ravel())
    return {place: np.concatenate(parts) for place, parts in found.items()}


@pytest.mark.parametrize("name", ["mlp", "lstm", pytest.param("gru", marks=pytest.mark.full)])
def test_groups_are_those_of_an_ordinary_model(name: str) -> None:
    factors, fixed = CASES[name]
    (cohort,) = cohorts(factors, fixed, record=ASKED)
    training = Training(cohort)
    starts = [training.ensemble.stages, training.ensemble.head]
    layers, values = [], []
    for stage in starts[0]:
        for block in range(stage[0].affine[0].shape[0]):
            for stack in stage:
                layers += [max(layers, default=-1) + 1] * len(stack.trainable)
                values.append([variable.numpy()[block] for variable in stack.trainable])
    layers += [max(layers) + 1] * 2
    values.append([variable.numpy()[0] for variable in starts[1].trainable])
    x, y = training.data.x.numpy(), training.data.y.numpy()
    tables = {table: rows.to_pandas() for table, rows in training.run().items()}
    assert len(tables["parameter_groups"]) == estimate_rows(cohort)["parameter_groups"]
    rows = list(batches(cohort.runs, len(y), 16, STEPS))
    for index, run in enumerate(cohort.runs):
        model = ordinary(name)
        variables = model.trainable_variables
        for variable, start in zip(variables, [each[index] for group in values for each in group], strict=True):
            variable.assign(start)
        clip = run.choices["clipping"]
        limit = {} if clip.is_none else {"global_clipnorm": clip.setting("threshold")}
        adam = run.choices["optimizer"].name == "adam"
        kind = keras.optimizers.Adam if adam else keras.optimizers.SGD
        optimizer = kind(0.01, **dict(run.choices["optimizer"].settings), **limit)
        own = of_run(tables, run.run_id)["parameter_groups"].set_index(["step", "layer_index", "group"])
        for step, at in enumerate(rows):
            with tf.GradientTape() as tape:
                logits = model(x[at[index]], training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y[at[index]], logits))
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            before = [variable.numpy() for variable in variables]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            if step not in (0, STEPS - 1):
                continue
            change = [variable.numpy() - old for variable, old in zip(variables, before, strict=True)]
            expected = {
                column: {place: np.linalg.norm(all_) for place, all_ in told(name, each, variables, layers).items()}
                for column, each in (("grad_norm", gradients), ("weight_norm", before), ("update_norm", change))
            }
            if adam:
                share = 1.0 - float(optimizer.beta_2) ** (step + 1)
                roots = [np.sqrt(v.numpy() / share) for v in optimizer._velocities]
                found = told(name, roots, variables, layers)
                expected["second_moment_root"] = {place: all_.mean() for place, all_ in found.items()}
            else:
                assert own["second_moment_root"].isna().all()
            mine = own.loc[step]
            places = [(layer, group) for layer, group in mine.index]
            assert places == planned_groups(run.choices) and set(places) == set(expected["grad_norm"])
            assert places == sorted(places, key=lambda place: (place[0], GROUPS.index(place[1])))
            for column, each in expected.items():
                wanted = [each[place] for place in places]
                within = 2e-3 if column == "update_norm" else 1e-4  # a change is a difference of rounded weights
                np.testing.assert_allclose(mine[column], wanted, within, 1e-7, err_msg=column)
    assert (tables["parameter_groups"]["update_norm"] > 0).all()


def test_what_ways_to_compare_queries_and_keys_learn_is_a_gain() -> None:
    (cohort,) = cohorts('block = ["no_norm"]', 'architecture = "transformer"\ndataset = "reverse"\ndepth = 1\n')
    learning = set()
    for level in FACTORS["query_key"].levels[1:]:
        query_key = choose(FACTORS["query_key"], level.name)
        learned = [
            SimpleNamespace(name=each.name, shape=(1, 2, *each.shape)) for each in query_key_of(query_key, 4, 5).learned
        ]
        groups = _of_stack(7, learned, (0,), ())
        assert [(group.name, len(group.parts)) for group in groups] == [("gain", len(learned))] * bool(learned)
        planned = planned_groups(cohort.structure | {"query_key": query_key})
        assert ((0, "gain") in planned) == bool(learned) and (1, "gain") not in planned
        learning |= {level.name} if learned else set()
    assert learning == set(WITH_GAINS)


def test_gates_and_their_variables_have_one_norm_between_them() -> None:
    (cohort,) = cohorts(
        'cell = ["lstm"]\ndepth = [1]\nnormalization = ["layer_normalization"]', RECURRENT, record=ASKED
    )
    training = Training(cohort)
    rows = training.run()["parameter_groups"].to_pandas().query("step == 0 and layer_index == 0").set_index("group")
    square = rows["grad_norm"] ** 2
    gates = square[list(GATE_GROUPS["lstm"])].sum()
    assert gates == pytest.approx(square[["kernel", "recurrent_kernel", "bias"]].sum(), rel=1e-5)
    assert rows.loc["gain", "weight_norm"] == pytest.approx((4 * UNITS) ** 0.5)
