"""What the problems are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from sklearn.datasets import load_digits

layers = keras.layers
SPARSE = "sparse_categorical_crossentropy"
SPLIT: dict[str, Any] = {"validation_split": 0.2, "epochs": 5}


class Problem(NamedTuple):
    """A compiled model and what its `fit` is given."""

    model: keras.Model
    x: Any
    y: Any
    more: dict[str, Any]


def dense(*units: int, activation: str | None = "relu", **more: Any) -> list[Any]:
    return [layers.Dense(number, activation, **more) for number in units]


def stack(shape: tuple[int, ...], *parts: Any) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts], name="model")


def digits(rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x[:rows] / 16.0).astype("float32"), y[:rows].astype("int32")


def standard(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-7), "float32")
