"""Cohorts of transformers are held to lone Keras models made of Keras's own layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.engine.attention import TransformerPass
from bench.engine.batches import batches
from bench.engine.train import Training
from bench.factors import FACTORS
from bench.plan import Cohort
from bench.plan.costs import estimate_rows
from tests.cohorts import EVALUATED, cohorts, of_run
from tests.engine.lone_attention import Compared, seen_by, tokens_alike
from tests.engine.lone_transformer import Lone
from tests.engine.lone_update import EVERY_CLIPPING, EVERY_REGULARIZATION, EVERY_SCHEDULE

STEPS, LENGTH, FEATURES = 3, 6, 3


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """Noise of two means, told by the first step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, LENGTH, FEATURES)), rng.integers(0, 3, 200)
    x[np.arange(200), 0, y] += 2.0
    return x, y


FIXED = f"""
architecture = "transformer"
dataset = "{__name__}:sequences"
width = 8
heads = 2
feed_forward = 2
depth = 2
steps = {STEPS}
batch_size = 16
learning_rate = 0.05
"""
TEXT = 'dataset = [{ level = "text", length = 5, rows = 200 }]\n'
# A bias of keys has no gradient but rounding, which Adam with a small epsilon would make steps of.
ADAM, RMSPROP, ADAMW = (
    f'optimizer = [{{ level = "{each}", epsilon = 0.001 }}]\n' for each in ("adam", "rmsprop", "adamw")
)
PLAIN = [f'optimizer = ["{each}"]\n' for each in ("sgd", "momentum", "nesterov")]
EVERY_KIND = (
    "pre_norm", "post_norm", "no_norm", "sandwich", "deepnorm", "admin", "rezero", "layer_scale", "damped", "t_fixup",
    "b2t", "no_skip",
)  # fmt: skip
CASES = [
    'tied = ["yes"]\nz_loss = [0.1]\nembedding_initializer = [{ level = "normal", stddev = 0.5 }]\n' + ADAM + TEXT,
    pytest.param('block = ["b2t"]\ndepth = [1]\nposition = ["sinusoidal"]\n'
                 'bias_initializer = ["zeros", { level = "normal", stddev = 0.3 }]', marks=pytest.mark.traced),
    pytest.param(f'query_key = ["sigma_reparam"]\nblock = ["post_norm"]\ntied = ["yes"]\nz_loss = [0.0, 0.1]\n{TEXT}',
                 marks=pytest.mark.full, id="sigma"),
    *(
        pytest.param(f"query_key = [{each}]\nblock = ['no_norm']\n{TEXT}",
                     marks=pytest.mark.full, id=each.split('"')[1])
        for each in ('"layer_normalized"', '"l2_normalized"', '{ level = "logit_cap", cap = 0.5 }')
    ),
    pytest.param(f'tied = ["yes"]\n{ADAM}dataset = [{{ level = "sort", length = 4, symbols = 5, rows = 200 }}]',
                 marks=pytest.mark.full, id="tied"),
    pytest.param('logit_scale = ["inverse"]\nattention_gain = [0.5, 3.0]', marks=pytest.mark.full, id="inverse"),
    *(
        pytest.param(f'block = ["{kind}"]\n{more}', marks=pytest.mark.full, id=f"{kind}-{place}")
        for kind in EVERY_KIND
        for place, more in enumerate((f"{ADAM}{TEXT}", 'position = ["none"]\nattention_gain = [0.5, 1.5]'))
    ),
    *(
        pytest.param(f'depth = [1]\nactivation = ["{each.name}"]\nheads = [{(1, 4)[place % 2]}]\n'
                     f'feed_forward = [{(1, 3, 4)[place % 3]}]\n{[*PLAIN, RMSPROP, ADAMW][place % 5]}',
                     marks=pytest.mark.full, id=each.name)
        for place, each in enumerate(FACTORS["activation"].levels)
    ),
    pytest.param(f"depth = [1]\nclipping = {EVERY_CLIPPING}\n{PLAIN[1]}", marks=pytest.mark.full, id="clipping"),
    *(
        pytest.param(f"depth = [1]\nregularization = {EVERY_REGULARIZATION}\n{more}", marks=pytest.mark.full,
                     id=f"regularization-{place}")
        for place, more in enumerate((
            f'tied = ["yes"]\n{PLAIN[1]}{TEXT}', f'{ADAMW}query_key = ["sigma_reparam"]\ncausal = ["no"]',
        ))
    ),
    pytest.param(f"depth = [1]\nschedule = {EVERY_SCHEDULE}\nwarmup = [{{ level = \"linear\", steps = 1 }}]\n{ADAM}",
                 marks=pytest.mark.full, id="schedule"),
    *(
        pytest.param(f'sublayers = ["{each}"]\n{more}', marks=pytest.mark.full, id=each)
        for each, more in (("attention_only", 'causal = ["yes"]'), ("feed_forward_only", ""))
    ),
]  # fmt: skip


def cohort_of(factors: str) -> Cohort:
    fixed = "".join(line for line in FIXED.splitlines(keepends=True) if line.partition(" =")[0] + " = [" not in factors)
    idle = {"feed_forward_only": "heads = 2\n", "attention_only": "feed_forward = 2\n"}
    fixed = fixed.replace(next((line for sublayers, line in idle.items() if sublayers in factors), ""), "")
    record = EVALUATED + 'parameter_groups = "every_step"\n'
    record += "" if "feed_forward_only" in factors else 'attention = "every_step"\n'
    (cohort,) = cohorts(factors, fixed, record=record)
    return cohort


@pytest.mark.parametrize("factors", CASES)
def test_a_cohort_of_transformers_trains_as_lone_keras_models_do(factors: str) -> None:
    training = Training(cohort_of(factors))
    x, y = training.data.x.numpy(), training.data.y.numpy()
    judged = training.data.judged_x
    lones = [Lone(training, index) for index in range(len(training.cohort.runs))]
    rows = list(batches(training.cohort.runs, len(y), training.batch, STEPS + 1))  # one more, as the cohort takes
    found = training.ensemble.gradients(tf.gather(x, rows[0]), tf.gather(y, rows[0]), tf.constant(value=True))
    first = [g.numpy() for g in found.gradients]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    for index, lone in enumerate(lones):
        own = of_run(tables, training.cohort.runs[index].run_id)
        compare_heads_and_tokens(own, lone, training.data.probe_x, x[rows[0][index]])
        steps = [lone.step(x[at[index]], y[at[index]]) for at in rows]
        for name in ("loss", "log_z_square", "global_grad_norm"):
            np.testing.assert_allclose(own["loss_curves"][name], [each[name] for each in steps[:-1]], 1e-4)
        for mine, theirs in zip(by_block(training, first, index), steps[0]["gradients"], strict=True):
            np.testing.assert_allclose(mine, theirs.reshape(mine.shape), 1e-4, 1e-4 * np.abs(theirs).max() + 1e-6)
        for mine, theirs in zip(Lone.values(training, index), lone.order, strict=True):
            np.testing.assert_allclose(mine, np.reshape(theirs, mine.shape), 1e-4, 1e-4)
        predicted = lone.model(judged).numpy()
        np.testing.assert_allclose(
            training.ensemble.predict(judged).numpy()[index].reshape(predicted.shape), predicted, 1e-3, 1e-3
        )
        count = sum(int(np.size(variable)) for variable in lone.model.trainable_variables)
        assert own["runs"]["parameter_count"].tolist() == [count]
    rows = estimate_rows(training.cohort)
    for name in ("gradient_norms", "activations", "attention", "parameter_groups"):
        assert len(tables.get(name, ())) == rows[name], name
    for name in ("gradient_norms", *(["attention"] if rows["attention"] else [])):
        columns = tables.get(name, pd.DataFrame()).drop(columns="preactivation_grad_pair_correlation", errors="ignore")
        of_head = columns["layer_index"] == len(training.ensemble.network.names)
        assert columns[~of_head].notna().all(axis=None), name


def test_dropout_is_of_branches_and_the_signal_of_the_stream() -> None:
    training = Training(cohort_of('dropout = [0, 0.3]\nblock = ["sandwich"]'))
    ensemble, rows = training.ensemble, np.arange(32).reshape(2, 16)
    x, y = tf.gather(training.data.x, rows), tf.gather(training.data.y, rows)
    assert ensemble.dropout is not None
    ensemble.dropout.step.assign(1)
    found = ensemble.gradients(x, y, tf.constant(value=True))
    values = [variable.value for variable in ensemble.variables]
    with tf.GradientTape() as tape:
        tape.watch(values)
        left, stream, taps = iter(values), x, []
        for each in ensemble.passes:
            assert isinstance(each, TransformerPass)
            own = [[next(left) for _ in stack.trainable] for stack in each.stacks]
            names = list(each.embedding.shapes()) if each.embedding else []
            if each.embedding:
                embedded = {name: value[0] for name, value in zip(names, own[0], strict=False)}
                stream = each.embedding.forward(stream, embedded, tf.float32)
            own[0] = own[0][len(names) :]
            for place, sublayer in enumerate(each.sublayers * each.stage.count):
                at, j = divmod(place, len(each.sublayers))
                weights = {name: value[at] for name, value in zip(sublayer.shapes(), own[j], strict=True)}
                drop = ensemble.dropout.factors(stream.shape[1:], len(taps))
                taps.append(sublayer(stream, weights, None, drop))
                stream = taps[-1].y
        head = [list(each) for each in zip(*(tf.unstack(next(left)[0]) for _ in ensemble.head.trainable), strict=True)]
        logits = [
            ensemble.network.head.stateless_call(w, [], h)[0] for w, h in zip(head, tf.unstack(stream), strict=True)
        ]
        losses = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.stack(logits)), axis=1)
    expected = tape.gradient(losses, {"w": values, "y": [t.y for t in taps], "branch": [t.branch for t in taps]})
    np.testing.assert_allclose(found.loss, losses, 1e-5)
    for mine, theirs in zip(found.gradients, expected["w"], strict=True):
        np.testing.assert_allclose(mine, theirs, 1e-3, 1e-4 * np.abs(theirs).max() + 1e-6)
    for mine, of in ((found.signal.preactivation, "y"), (found.signal.activation, "branch")):
        norms = [np.sqrt(16 * np.square(each).reshape(2, -1).sum(axis=1)) for each in expected[of]]
        np.testing.assert_allclose(mine[:-1], norms, 1e-4)


@pytest.mark.full
@pytest.mark.parametrize(
    ("kernels", "value", "layer", "tensor"),
    [
        (("ff_in_kernel",), 3e38, 3, "pre-activation"),  # finite, as no sum of products with it is
        (("key_kernel",), 3e38, 2, "pre-activation"),
        (("query_kernel", "key_kernel"), 1e20, 2, "logits"),  # finite queries and keys, and no finite product of both
    ],
)
def test_a_poisoned_sublayer_is_where_a_run_is_lost(
    kernels: tuple[str, ...], value: float, layer: int, tensor: str
) -> None:
    training = Training(cohort_of("learning_rate = [0.01, 0.02]"))
    for name in kernels:
        kernel = training.ensemble.stages[1][layer % 2].weights[name]
        values = kernel.numpy()
        values[:, 1] = np.sign(values[:, 1]) * value
        kernel.assign(values)
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    event = tables["divergence_events"].iloc[0]
    assert (event["run_id"], event["step"], event["layer_index"]) == (training.cohort.runs[1].run_id, 0, layer)
    assert (event["kind"], event["tensor"]) == ("infinity", tensor)


def by_block(training: Training, tensors: list[np.ndarray], index: int) -> list[np.ndarray]:
    """One tensor for each of the ensemble's variables, [N, R, ...], as a run's, block by block."""
    left, found = iter(tensors), []
    for stage, stacks in zip(training.ensemble.network.stages, training.ensemble.stages, strict=True):
        own = [next(left) for stack in stacks for _ in stack.trainable]
        found += [each[block, index] for block in range(stage.count) for each in own]
    return found + [next(left)[0, index] for _ in training.ensemble.head.trainable]


def compare_heads_and_tokens(own: dict[str, pd.DataFrame], lone: Lone, probed: tf.Tensor, batch: np.ndarray) -> None:
    """What the tables of a run say at its first step, against Keras's own layers before it."""
    tokens = own["activations"].query("step == 0")[["token_cosine", "token_distance", "rank_residual"]]
    np.testing.assert_allclose(tokens, tokens_alike(lone.streams(probed)), 1e-3, 1e-5)
    for block, layer in enumerate(each for each in lone.attentions if not isinstance(each, Compared)):
        heads = own["attention"].query("step == 0").set_index(["layer_index", "head"])
        for head, expected in enumerate(seen_by(layer, lone.read_by(layer, batch), causal=lone.causal)):
            place = (block * len(lone.sums) // len(lone.attentions), head)
            np.testing.assert_allclose(heads.loc[place, list(expected)], list(expected.values()), 1e-4)
