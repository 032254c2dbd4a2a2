"""The correlation of per-sample gradients, against pairs taken one by one."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.cohorts import cohorts, train

LABELS = np.array([0, 2, 0, 1, 2, 0, 2, 3])


def correlation(gradients: Any, labels: np.ndarray = LABELS, classes: int = 5, steps: int = 0) -> np.ndarray:
    """The entries in so many time steps, which come first; 0: without time."""
    import tensorflow as tf

    from bench.engine.signal import look, measure_signal

    g = tf.constant(np.asarray(gradients, np.float32)[None] if np.ndim(gradients) == 2 else gradients)
    member = tf.one_hot(np.tile(labels, (g.shape[0], 1)), classes)
    if steps:
        g = tf.transpose(tf.reshape(g, [*g.shape[:2], steps, -1]), [2, 0, 1, 3])
    norms, directions = look([g], tf.constant(value=True), member, time_first=steps > 0)
    return measure_signal(norms[None], directions[None], member)[1][0].numpy()


def by_pairs(gradients: np.ndarray) -> float:
    g = np.asarray(gradients, np.float64)
    pairs = [(i, j) for i, j in combinations(range(len(g)), 2) if LABELS[i] == LABELS[j] and g[i].any() and g[j].any()]
    return float(np.mean([g[i] @ g[j] / np.linalg.norm(g[i]) / np.linalg.norm(g[j]) for i, j in pairs]))


@pytest.fixture
def gradients() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(len(LABELS), 6)).astype(np.float32)


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-34, 1e30])
def test_it_is_the_mean_over_pairs_of_one_class_at_any_scale(gradients: np.ndarray, scale: float, steps: int) -> None:
    expected = by_pairs(gradients)
    np.testing.assert_allclose(correlation(gradients * np.float32(scale), steps=steps), [expected], rtol=3e-6)
    assert abs(expected) > 1e-3


def test_a_sample_without_a_gradient_is_in_no_pair(gradients: np.ndarray) -> None:
    gradients[2] = 0.0
    np.testing.assert_allclose(correlation(gradients), [by_pairs(gradients)], rtol=1e-6)
    gradients[[0, 1, 4]] = 0.0  # one sample of each class is left
    assert np.isnan(correlation(gradients)).all()


def test_pairs_of_two_classes_count_for_nothing(gradients: np.ndarray) -> None:
    same = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])[LABELS]
    np.testing.assert_allclose(correlation(same), [1.0], rtol=1e-6)


def test_what_is_not_finite_is_nan_in_its_run_alone(gradients: np.ndarray) -> None:
    both = np.stack([gradients, gradients])
    both[1, 3, 2] = np.inf
    found = correlation(both)
    np.testing.assert_allclose(found[0], by_pairs(gradients), rtol=1e-6)
    assert np.isnan(found[1])


def test_batch_normalized_relu_shatters_and_a_skip_connection_holds_it_off() -> None:
    found = {}
    for skip in ("none", "residual"):
        (cohort,) = cohorts(
            f'skip = [{{ level = "{skip}"{", layers = 1" if skip != "none" else ""} }}]',
            'depth = 24\nwidth = 128\nsteps = 1\nnormalization = "batch_normalization"\ninitializer = "he_normal"\n'
            'preprocessing = "unit_mean_square"',
        )
        rows = train(cohort)["gradient_norms"].query("step == 0").set_index("layer_name")
        found[skip] = rows["preactivation_grad_pair_correlation"]
        assert found[skip]["head"] > 0.5
    assert found["none"]["hidden_0"] < 0.1
    assert found["residual"]["hidden_0"] > 3 * found["none"]["hidden_0"]
