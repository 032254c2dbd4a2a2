"""Data that installed packages bring and that take a line or two to get."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache  # it takes seconds, and each preprocessing begins with it
def mnist1d() -> tuple[np.ndarray, np.ndarray]:
    """MNIST-1D as its package makes it: samples [5000, 40, 1] and labels [5000]."""
    from mnist1d.data import get_dataset_args, make_dataset  # slow to import, and only some suites need it

    made = make_dataset(get_dataset_args())
    return np.concatenate([made["x"], made["x_test"]])[..., None], np.concatenate([made["y"], made["y_test"]])


def diabetes(target_factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The diabetes data of scikit-learn, unscaled: [442, 10], and the progression times a factor, [442]."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return x, y * target_factor
