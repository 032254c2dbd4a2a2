"""Rows are scaled by their training rows, exactly as scikit-learn does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from bench.engine.datasets import load
from bench.engine.preprocessing import scaled
from bench.errors import DataError
from bench.factors import FACTORS, choose

SCALERS = {"scale": MinMaxScaler, "standardize": StandardScaler, "robust": RobustScaler}
RNG = np.random.default_rng(0)
# A skewed feature, one that never varies, one with an outlier, one that is mostly 0, and one far from 0.
TRAIN = np.stack(
    [RNG.exponential(9.0, 60), np.full(60, 0.1), np.r_[1e6, RNG.normal(size=59)], np.arange(60) == 7,
     1e5 + RNG.normal(size=60)], axis=1,
)  # fmt: skip
VALIDATION = 3.0 * TRAIN[::7] + 1.0  # outside the training rows' range


@pytest.mark.parametrize("name", SCALERS)
def test_each_feature_is_scaled_as_scikit_learn_scales_it(name: str) -> None:
    scaler = SCALERS[name]().fit(TRAIN)
    for found, given in zip(scaled("x", [TRAIN, VALIDATION], name), (TRAIN, VALIDATION), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, scaler.transform(given), rtol=1e-6, atol=1e-6)


def test_none_leaves_rows_as_they_come_and_other_rows_change_no_statistic() -> None:
    np.testing.assert_array_equal(scaled("x", [TRAIN], "none")[0], TRAIN.astype(np.float32))
    for name in (*SCALERS, "unit_mean_square"):
        alone, with_others = scaled("x", [TRAIN], name), scaled("x", [TRAIN, VALIDATION * 1e3], name)
        np.testing.assert_array_equal(alone[0], with_others[0])
    images = RNG.integers(-128, 128, (500, 4, 4, 1)).astype(np.int8)  # whose quartiles overflow in their own type
    by_hand = (images - np.median(images, axis=0)) / np.subtract(*np.percentile(images.astype(float), (75, 25), axis=0))
    np.testing.assert_allclose(scaled("x", [images], "robust")[0], by_hand, rtol=1e-6)


@pytest.mark.parametrize("name", SCALERS)
def test_sequences_are_scaled_by_feature_over_rows_and_steps(name: str) -> None:
    series = RNG.normal(3.0, [1.0, 5.0], (40, 6, 2))
    flat = SCALERS[name]().fit_transform(series.reshape(-1, 2)).reshape(series.shape)
    np.testing.assert_allclose(scaled("x", [series], name, by_feature=True)[0], flat, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*SCALERS, "none"])
def test_values_to_predict_are_scaled_like_inputs_and_classes_are_not(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    y = RNG.normal(1e5, 3e4, (60, 2))
    np.savez(path, x_train=TRAIN, y_train=y, x_test=VALIDATION, y_test=y[:9] * 2)
    data = load(choose(FACTORS["dataset"], str(path)), "none", name)
    np.testing.assert_array_equal(data.x_train, TRAIN.astype(np.float32))
    made = [y, y[:9] * 2]
    if name != "none":
        scaler = SCALERS[name]().fit(y)
        made = [scaler.transform(each) for each in made]
    np.testing.assert_allclose(data.y_train, made[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.y_validation, made[1], rtol=1e-5, atol=1e-6)
    if name != "none":
        with pytest.raises(DataError, match=f"target_preprocessing {name} is for values, and the targets are classes"):
            load(choose(FACTORS["dataset"], "wine"), "none", name)


def test_values_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=TRAIN, y_train=np.full(60, 0.5), x_test=VALIDATION, y_test=np.full(9, 0.5))
    with pytest.raises(DataError, match="y is the same in all 60 training rows: there is nothing to predict"):
        load(choose(FACTORS["dataset"], str(path)), "none")
