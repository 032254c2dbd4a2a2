"""Public problems: training is the same, and what is named first is what those who had them were told to mend.

docs/own.md counts these: what `NOT_NAMED` has is honest about the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from bench import Recorder
from bench.report import dump_report
from tests.recorder.problems import of_data, of_networks, of_settings, that_learn
from tests.recorder.problems.parts import Problem


class Named(NamedTuple):
    """What the page calls the first sign, a part of what else it says, and a part of a line on the terminal."""

    first: str = ""
    page: str = ""
    line: str = ""
    error: type[Exception] | None = None  # that Keras itself raises


IN_LOSS, IN_GRADIENT = "a logarithm, root or division of the loss", "their gradient at 0 is infinite"
START = "non-finite numbers from the start"
PROBLEMS: dict[Callable[[], Problem], Named] = {
    of_data.house_prices: Named("data out of range", "target_preprocessing standardize", "Standardize them"),
    of_data.raw_features: Named("inputs out of range", "Scale them"),
    of_data.raw_features_sigmoid: Named("inputs out of range", "Scale them"),
    of_data.pixels_to_255: Named("inputs out of range", "Scale them"),
    of_data.scaled_twice: Named("inputs out of range", "Scale them"),
    of_data.nan_in_inputs: Named("data that are not finite", "in row 217"),
    of_data.nan_in_targets: Named("data that are not finite", "in row 11"),
    of_data.labels_from_one: Named(line="Subtract 1 from the labels", error=Exception),
    of_data.too_few_units: Named(line="Give the last layer 10 units", error=Exception),
    of_data.softmax_on_one_unit: Named("an answer that cannot vary", "sigmoid"),
    of_data.one_unit_categorical: Named("an answer that cannot vary", "sigmoid"),
    of_data.logits_taken_for_probabilities: Named("logits taken for probabilities", "from_logits=True"),
    of_data.logits_taken_for_probability: Named(line="from_logits=True"),  # it learns all the same
    of_data.relu_before_crossentropy: Named("logits taken for probabilities", "from_logits=True"),
    of_data.relu_output_of_regression: Named("targets out of the answer's reach", "activation out"),
    of_data.sigmoid_output_of_regression: Named("targets out of the answer's reach", "activation out"),
    of_data.regression_by_binary_crossentropy: Named("targets that are no probabilities", "mean_squared_error"),
    of_data.labels_minus_one_and_one: Named("targets that are no probabilities", "0 and 1"),
    of_data.class_imbalance: Named("one class nearly alone", "class_weight"),
    of_data.random_labels: Named("memorized training rows"),
    of_data.sorted_rows: Named("validation of other classes", "Shuffle rows"),
    of_data.validation_not_scaled: Named(line="Scale both alike"),  # it learns all the same
    of_data.sentinel_entries: Named("outliers in the data", "stand for a missing entry"),
    of_data.token_outside_vocabulary: Named(line="input_dim=51", error=Exception),
    of_data.onehot_for_sparse: Named(line="y.argmax(axis=1)", error=ValueError),
    of_data.all_zero_sequences: Named(START, IN_GRADIENT),
    of_networks.deep_sigmoid: Named("vanishing gradient", "batch normalization"),
    of_networks.deep_tanh_small_weights: Named("vanishing gradient", "glorot"),
    of_networks.dying_relu: Named("rate too large", "Dead units"),
    of_networks.zero_weights: Named("weights that start alike", "glorot_uniform"),
    of_networks.ones_weights: Named("weights that start alike", "glorot_uniform"),
    of_networks.high_rate_sgd: Named("rate too large", "learning_rate of a tenth"),
    of_networks.high_rate_adam: Named("rate too large", "learning_rate of a tenth"),
    of_networks.low_rate: Named("rate too small", "ten times as high"),
    of_networks.low_rate_schedule: Named("a schedule that ends the rate", "not epochs"),
    of_networks.clipped_away: Named("gradient clipped away", "clipping none"),
    of_networks.strong_l2: Named("penalties that outweigh the loss", "a hundredth"),
    of_networks.heavy_dropout: Named("most units dropped", "0.5 or less"),
    of_networks.no_activation: Named("a linear network", "an activation"),
    of_networks.wide_start: Named("values too large at the start"),
    of_networks.wide_start_tanh: Named("saturated units", "glorot"),
    of_networks.recurrent_relu: Named("a recurrent cell without bounds", "tanh"),
    of_networks.lstm_relu: Named("a recurrent cell without bounds", "tanh"),
    of_networks.long_lag: Named("perhaps a gradient that vanishes through time", "attention"),
    of_networks.simple_rnn_long_lag: Named("perhaps a gradient that vanishes through time", "attention"),
    of_networks.root_at_zero: Named(START, IN_GRADIENT),
    of_networks.rmse_loss: Named(START, IN_GRADIENT),
    of_networks.logarithm_of_zero: Named(START, IN_LOSS),
    of_networks.percentage_error_of_zero: Named("left the finite numbers", IN_LOSS),
    of_networks.lagging_batch_normalization: Named("lagging moving averages", "momentum"),
    of_networks.batch_of_one: Named("normalization over a batch of one", "more rows"),
    of_networks.frozen_base: Named("frozen layers", "trainable = True"),
    of_networks.all_frozen: Named(line="nothing that trains"),
    of_networks.sigmoid_and_squared_error: Named("inputs out of range", "Scale them"),
    of_networks.post_norm: Named("post-norm blocks without a warmup", "Warm the rate up"),
    of_networks.epsilon_in_half: Named("an epsilon that float16 rounds to 0", "1e-4 or more"),
    of_networks.shapes_that_broadcast: Named("shapes that broadcast", "y[:, None]"),
    of_settings.one_unit_sparse: Named(line="Take binary_crossentropy", error=Exception),
    of_settings.one_sigmoid_categorical: Named("a loss that cannot vary", "Take binary_crossentropy"),
    of_settings.softmax_twice: Named("probabilities taken twice", "Leave one of them out"),
    of_settings.softmax_over_time: Named("a softmax over another axis", "axis at -1"),
    of_settings.strong_weight_decay: Named("a weight decay that is too strong", "a hundredth"),
    of_settings.strong_activity_penalty: Named("penalties that outweigh the loss", "a hundredth"),
    of_settings.narrow_constraint: Named("a constraint that leaves no weights", "MaxNorm(3)"),
    of_settings.rescaled_twice: Named("inputs out of range", "Scale once"),
    of_settings.normalization_without_adapt: Named("inputs out of range", "adapt"),
    of_settings.logarithm_of_counts: Named(START, "it is given what log made"),
    of_settings.weights_in_float16: Named("weights kept in float16", "mixed_float16"),
    of_settings.sample_weights_of_zero: Named("weights of rows out of range", "no row counts"),
    of_settings.huge_class_weights: Named("weights of rows out of range", "by their mean"),
    of_settings.inputs_of_zero: Named("inputs that are all the same", "how the inputs are read"),
    of_settings.poisson_without_bounds: Named("an answer that may be negative", "softplus"),
    of_settings.divergence_of_logits: Named("logits taken for probabilities", "softmax"),
    of_settings.stopped_gradient: Named("weights that no gradient reaches", "stop_gradient"),
    of_settings.layer_normalization_of_one: Named("normalization over a single number", "Leave it out"),
    of_settings.few_updates: Named("few steps in all", "smaller batches"),
    of_settings.rate_lowered_at_once: Named("a rate that fell early", "patience"),
    of_settings.adadelta: Named("rate too small", "ten times as high"),
    of_settings.dropout_of_each_layer: Named("most units dropped", "0.5 or less"),
    of_settings.labels_smoothed_away: Named("labels smoothed away", "Take 0.1"),
    of_settings.rate_by_inverse_time: Named("a rate that fell early", "nearer to 1"),
    of_settings.rate_by_epoch: Named("a rate that fell early", "nearer to 1"),
    of_settings.biases_far_below_zero: Named("dead units"),
    of_settings.classes_by_binary_crossentropy: Named("targets that are no probabilities", "categorical"),
    of_settings.large_inputs_in_half: Named("inputs out of range", "Scale them"),
    of_settings.deep_plain_convolution: Named("vanishing gradient", "batch normalization"),
}
# What was to be named and is not: labels that nothing tells, and an exponential within a layer without weights.
NOT_NAMED = (of_data.inputs_tell_nothing, of_networks.variational)
PLAIN = (of_data.labels_from_one, of_networks.rmse_loss)
LEARN = [each for each in vars(that_learn).values() if callable(each) and each.__module__ == that_learn.__name__]
LEARN = [each for each in LEARN if not each.__name__.startswith("_")]


def trained(make: Callable[[], Problem], *callbacks: keras.callbacks.Callback) -> tuple[list[np.ndarray], str, str]:
    """All variables after training, its history, and the error that ended it."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    problem = make()
    given = (problem.x,) if problem.y is None else (problem.x, problem.y)
    history, error = "", ""
    try:
        own = problem.more.pop("callbacks", [])
        fit = problem.model.fit(*given, verbose=0, callbacks=[*own, *callbacks], **problem.more)
        history = str(fit.history)
    except Exception as raised:  # Keras's own, which must be the same
        error = type(raised).__name__
    optimizer = problem.model.optimizer.variables if problem.model.optimizer else []
    return [np.asarray(each) for each in [*problem.model.variables, *optimizer]], history, error


def recorded(make: Callable[[], Problem], folder: Path) -> str:
    """Train with and without; the error that ended both, "" for none."""
    plain, plain_history, plain_error = trained(make)
    found, history, error = trained(make, Recorder(folder, every=1, report=False))
    assert (plain_history, plain_error) == (history, error)
    for one, other in zip(plain, found, strict=not error):  # without a step Keras had not made the optimizer's moments
        np.testing.assert_array_equal(one, other)
    return error


def first_sign(folder: Path) -> tuple[str, str]:
    """What the page calls the first sign, "" for none, and all that it says."""
    said = str(dump_report(folder))
    found = re.search(r"[Ff]irst sign: ([^,.;]+)", said)
    return found.group(1) if found else "", said


@pytest.mark.parametrize(
    "make",
    [pytest.param(each, id=each.__name__, marks=[] if each in PLAIN else pytest.mark.full) for each in PROBLEMS],
)
def test_a_public_problem_is_named_as_its_answer_names_it(
    make: Callable[[], Problem], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = PROBLEMS[make]
    assert bool(recorded(make, tmp_path)) == (named.error is not None)
    assert named.line in capfd.readouterr().err
    if named.first:
        first, said = first_sign(tmp_path)
        assert first == named.first
        assert named.page in said


@pytest.mark.full
@pytest.mark.parametrize("make", NOT_NAMED, ids=lambda each: each.__name__)
def test_what_is_not_named_rightly_is_recorded_all_the_same(make: Callable[[], Problem], tmp_path: Path) -> None:
    assert recorded(make, tmp_path) == ""
    assert "it learned" not in first_sign(tmp_path)[1].replace("Whether it learned is not judged", "")


@pytest.mark.full
@pytest.mark.parametrize("make", LEARN, ids=lambda each: each.__name__)
def test_of_what_learns_nothing_is_named(make: Callable[[], Problem], tmp_path: Path) -> None:
    assert recorded(make, tmp_path) == ""
    first, said = first_sign(tmp_path)
    assert first == ""
    assert "did not learn" not in said
