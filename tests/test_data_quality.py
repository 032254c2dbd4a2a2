"""What is odd about data is found, with a remedy, and sound data are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.data_quality import Data, look
from bench.finding import FindingKind

RNG = np.random.default_rng(0)
ROWS = 400
X = RNG.normal(size=(ROWS, 5))
CLASSES = np.arange(ROWS) % 3
VALUES = RNG.normal(size=ROWS)


def changed(array: np.ndarray, at: Any, value: Any) -> np.ndarray:
    copy = array.copy()
    copy[at] = value
    return copy


def kinds(data: Data) -> list[str]:
    return [str(each.kind) for each in look(data)]


@pytest.mark.parametrize(
    "data",
    [
        Data(X, CLASSES, RNG.normal(size=(90, 5)), np.arange(90) % 3),
        Data(X, VALUES),
        Data(X, np.stack([VALUES, -VALUES], axis=1)),
        Data(X, np.eye(3)[CLASSES]),  # one-hot
        Data(X),
        Data(X * 1e6, CLASSES, scaled=True),
        Data(X, VALUES * 1e5, target_scaled=True),
        Data(RNG.standard_t(3, size=(ROWS, 5)), CLASSES),  # heavy tails
        Data(RNG.integers(0, 50, (ROWS, 12)), CLASSES, tokens=True),
        Data(np.array([["a", "b"]] * ROWS), CLASSES),  # is refused elsewhere
        Data(np.zeros((0, 5)), np.zeros(0)),
    ],
)
def test_sound_data_are_left_alone(data: Data) -> None:
    assert kinds(data) == []


PHOTOS = RNG.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("data", "found", "says", "mends"),
    [
        (Data(changed(X, (7, 2), np.nan), CLASSES), ["nonfinite"],
         "1 of the inputs is NaN or infinite, all in feature 2, in 1 row, the first in row 7", "np.nan_to_num"),
        (Data(X, changed(VALUES, 3, np.inf)), ["nonfinite"], "1 of the targets is NaN or infinite", "leave such rows"),
        (Data(PHOTOS, np.arange(60) % 3), ["input_scale"], "root mean square of 14", 'preprocessing = "standardize"'),
        (Data(X * 0.001, CLASSES), ["input_scale"], "root mean square of 0.001", "std of the training rows"),
        (Data(X * [1.0, 1.0, 0.001, 1.0, 2.0], CLASSES, features=list("abcde")), ["feature_scales"],
         'column "c" has a standard deviation of 0.00', "Scale each by itself"),
        (Data(changed(X, (slice(10, 14), 1), -999.0), CLASSES, scaled=True), ["outliers"],
         "Feature 1 lies up to", "-999 is there 4 times: does it stand for a missing entry?"),
        (Data(changed(X, (slice(None), [0, 3]), 4.0), CLASSES), ["constant"],
         "2 of 5 features never vary over the training rows: feature 0, feature 3.", "leave them out"),
        (Data(X, 1e5 + VALUES), ["target_scale"], "root mean square of 1e+05", 'target_preprocessing = "standardize"'),
        (Data(X, changed(VALUES, 5, 90.0)), ["outliers"], "the first in row 5 (counted from 0): 90", 'loss = "huber"'),
        (Data(X, 3.0 * X[:, 4] - 1.0), ["telling"], "Feature 4 alone tells the target: a correlation of 1.00", "known"),
        (Data(X, (np.arange(ROWS) % 40 == 0).astype(int)), ["class_shares"],
         "Class 0 has 97.5 % of the training rows", 'class_weight = "balanced"'),
        (Data(X, np.where(np.arange(ROWS) < 4, 1, 0)), ["class_shares"], "class 1 has 4 rows, too few", "balanced_acc"),
        (Data(X, CLASSES, X[:0], np.zeros(0, int)), ["class_shares"], "No validation row has class 0, 1, 2", "Shuffle"),
        (Data(X, CLASSES + 1), ["label_gaps"], "Labels are 1 to 3, not 0 to 2.", "return_inverse=True"),
        (Data(X, np.array([0, 1, 3])[CLASSES]), ["label_gaps"], "Labels are 0, 1, 3, not 0 to 2.", "return_inverse"),
        (Data(np.concatenate([X, X[:40]]), np.arange(440) % 3), ["duplicates"], "40 of 440 training rows", "Drop them"),
        (Data(X, CLASSES, np.concatenate([X[:30], X[30:60] + 0.1]), np.arange(60) % 3), ["overlap"],
         "30 of 60 validation rows are training rows too", "before the split"),
        (Data(np.where((np.arange(ROWS)[:, None] % 40 == 0) & (np.arange(5) == 1), -99999.0, X), CLASSES), ["outliers"],
         "the first row 0 (counted from 0): -99999", "stand for a missing entry"),
        (Data(X, CLASSES, X[:60] + 0.1, np.full(60, 2)), ["other_classes", "class_shares"],
         "Class 2 has 100 % of the validation rows, and 33", "validation_split takes the last"),
        (Data(X, CLASSES, 255.0 * X[:60] + 0.1, CLASSES[:60]), ["other_scale"],
         "Validation inputs have a root mean square of", "by the mean and std of the training rows"),
        (Data(X * [[1.0, 1.0, 1.0, 1.0, 1e4]], 1e6 + VALUES), ["input_scale", "feature_scales", "target_scale"],
         "Inputs have a root mean square of", "preprocessing"),
    ],
)  # fmt: skip
def test_what_is_odd_is_said_with_its_numbers_and_what_mends_it(
    data: Data, found: list[str], says: str, mends: str
) -> None:
    assert kinds(data) == found
    first = look(data)[0]
    assert says in first.found and mends in first.remedy
    assert str(first) == f"{first.found} {first.remedy}" and "\n" not in str(first)


def test_rows_are_the_same_by_their_numbers_and_no_other_is() -> None:
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(50)), axis=-1).reshape(-1, 2)  # small whole numbers
    assert "duplicates" not in kinds(Data(grid, scaled=True))
    assert "duplicates" in kinds(Data(np.concatenate([grid, -0.0 * grid]), scaled=True))


def test_of_many_rows_statistics_are_of_a_sample_and_the_rest_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data_quality.SAMPLED_ROWS", 50)
    odd = changed(X, (ROWS - 1, 3), 1e4)
    found = look(Data(odd, X[:, 0] + X[:, 1], X[:100], X[:100, 0], scaled=True))
    assert [each.kind for each in found] == [FindingKind.OUTLIERS, FindingKind.OVERLAP]
    assert f"the first row {ROWS - 1}" in found[0].found
