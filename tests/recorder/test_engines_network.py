"""The engine's own network as a Keras model, trained by `fit` under the recorder: the rows that the engine records."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from bench import Recorder
from bench.engine.batches import batches
from bench.engine.train import Training
from bench.results import read_tables
from tests.engine.lone import Lone
from tests.engine.test_engine_parity import ROUNDED_CHANGE, cohort_of, lone_of

CURVES = ("loss", "global_grad_norm", "clipped_grad_norm")
NORMS = ("weight_grad_norm", "weight_grad_mean_abs", "preactivation_grad_norm", "weight_norm", "weight_count")
CASES = [
    'activation = ["tanh"]\ndepth = [5]\nclipping = [{ level = "global_norm", threshold = 0.2 }]',
    'activation = ["relu"]\noptimizer = ["adam"]\nlearning_rate = [0.003]\nnormalization = ["batch_normalization"]\n'
    'regularization = [{ level = "l2", strength = 1e-2 }]',
    'activation = ["sigmoid"]\ndepth = [6]\nskip = ["residual"]\nclipping = [{ level = "norm", threshold = 0.1 }]',
]


@pytest.mark.parametrize(
    "factors", [CASES[0], *(pytest.param(each, marks=pytest.mark.full) for each in CASES[1:])], ids=range(len(CASES))
)
def test_the_recorders_rows_are_the_engines(factors: str, tmp_path: Path) -> None:
    training = Training(cohort_of(factors))
    (run,) = training.cohort.runs
    lone = lone_of(Lone, training, 0)
    x, y = training.data.x.numpy(), training.data.y.numpy()
    rows = np.concatenate([indices for (indices,) in batches((run,), len(y), training.batch, training.steps)])
    engine = {name: table.to_pandas() for name, table in training.run().items()}

    model = keras.Model(lone.model.inputs, lone.model.outputs[0], name="twin")
    model.compile(lone.optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    recorder = Recorder(tmp_path, every=1, live=False, report=False)
    model.fit(x[rows], y[rows], batch_size=training.batch, shuffle=False, verbose=0, callbacks=[recorder])
    found = read_tables(tmp_path)
    for name in CURVES:
        np.testing.assert_allclose(found["loss_curves"][name], engine["loss_curves"][name], rtol=1e-4, err_msg=name)
    own, theirs = (frames["gradient_norms"].sort_values(["step", "layer_index"]) for frames in (found, engine))
    for name in NORMS:
        np.testing.assert_allclose(own[name].astype(float), theirs[name].astype(float), rtol=1e-4, err_msg=name)
    apart = np.abs(own["update_norm"].to_numpy() - theirs["update_norm"].to_numpy())
    assert (apart <= ROUNDED_CHANGE * theirs["weight_norm"].to_numpy() + 1e-4 * theirs["update_norm"].to_numpy()).all()
    assert (own["layer_name"] == "head").to_numpy().nonzero()[0].tolist() == (
        theirs["layer_name"] == "head"
    ).to_numpy().nonzero()[0].tolist()
    said, planned = found["runs"].iloc[0], engine["runs"].iloc[0]
    for factor in ("optimizer", "learning_rate", "clipping", "depth", "width", "activation", "normalization", "steps"):
        assert said[factor] == planned[factor], factor
