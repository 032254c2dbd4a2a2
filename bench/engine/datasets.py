"""Datasets as arrays: loaded, split once and for all, scaled on the training rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.npz import read_npz
from bench.engine.targets import resolve
from bench.errors import BenchError, DataError
from bench.factors import FACTORS, Choice

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_validation, y_validation

SPLIT_SEED = 0  # the split belongs to the dataset, not to a suite: the same in every result set
VALIDATION_SHARE = 0.2
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Dataset:
    """Scaled samples, x [rows, features...] float32 and y [rows] int32.

    `shape` is one sample's; `classes` the number of classes.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    shape: tuple[int, ...]
    classes: int


@lru_cache(maxsize=2)
def load(choice: Choice, preprocessing: str) -> Dataset:
    """The dataset of a choice, scaled.

    Raises:
        DataError: it is missing or its arrays are of the wrong shape; the message says what to do.
    """
    x_train, y_train, x_validation, y_validation = _checked(choice, load_raw(choice))
    with np.errstate(all="ignore"):  # what overflows is refused below
        mean, std = x_train.mean(axis=0), x_train.std(axis=0)
        # A feature that never varies may have a tiny std by rounding: dividing by it would make noise of it.
        scale = np.where(np.ptp(x_train, axis=0) > 0, std, 1.0)
        scaled = [(x - mean) / scale for x in (x_train, x_validation)]
    if not all(np.abs(x).max() <= np.finfo(np.float32).max for x in (scale, *scaled)):
        raise DataError(f'dataset "{choice.label or choice.name}": x holds numbers that are too large to be scaled.')
    if preprocessing == "unit_mean_square":
        scaled = [_unit_mean_square(x) for x in scaled]
    classes = int(max(y_train.max(), y_validation.max())) + 1
    x_train, x_validation = (np.ascontiguousarray(x, np.float32) for x in scaled)
    return Dataset(x_train, y_train, x_validation, y_validation, x_train.shape[1:], classes)


def load_raw(choice: Choice) -> Arrays:
    """The dataset as it comes, split into training and validation rows."""
    level = FACTORS["dataset"].level(choice.name)
    if level is None:
        return _plugin(choice)
    if choice.name == "npz":
        return read_npz(Path(str(choice.setting("path"))))
    if choice.name in _OFFLINE:
        return _split(*_OFFLINE[choice.name]())
    return _from_keras(choice.name, resolve(level.target))


def check(choice: Choice) -> str | None:
    """What is wrong with a dataset, in a sentence; None if it can be used."""
    try:
        load(choice, "standardize")
    except BenchError as error:
        return str(error)
    return None


def describe(choice: Choice) -> str:
    """One line on a dataset: its name, sizes and where it comes from.

    Raises:
        DataError: it cannot be loaded.
    """
    data = load(choice, "standardize")
    level = FACTORS["dataset"].level(choice.name)
    place = keras_path(choice.name) if choice.name in KERAS_FILES else "shipped with a package"
    if choice.name == "npz" or level is None:
        place = choice.label
    rows = f"{len(data.y_train)} training and {len(data.y_validation)} validation rows"
    return f"{choice.label}: {rows} of {data.shape}, {data.classes} classes; {place}"


def _unit_mean_square(x: np.ndarray) -> np.ndarray:
    """Each row scaled to mean square 1; a row of zeros stays."""
    root = np.sqrt(np.mean(np.square(x), axis=tuple(range(1, x.ndim)), keepdims=True))
    return x / np.where(root > 0, root, 1.0)


def _split(x: np.ndarray, y: np.ndarray) -> Arrays:
    """A fixed random fifth of the rows for validation."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    rows = len(x) - round(len(x) * VALIDATION_SHARE)
    train, validation = order[:rows], order[rows:]
    return x[train], y[train], x[validation], y[validation]


def _sklearn(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets  # slow to import, and only some suites need it

    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data, bunch.target


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = _sklearn("digits")
    return x.reshape(-1, 8, 8, 1), y


def _mnist1d() -> tuple[np.ndarray, np.ndarray]:
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return np.concatenate([made["x"], made["x_test"]])[..., None], np.concatenate([made["y"], made["y_test"]])


_OFFLINE: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "digits": _digits,
    "mnist1d": _mnist1d,
    "breast_cancer": lambda: _sklearn("breast_cancer"),
    "wine": lambda: _sklearn("wine"),
}

# What Keras looks for in its folder: a file, a folder of files, or an archive, which it unpacks at each load.
KERAS_FILES = {
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist",
    "cifar10": "cifar-10-batches-py-target_archive",
    "cifar100": "cifar-100-python-target_archive",
}


def keras_path(name: str) -> Path:
    """Where Keras keeps a dataset that it downloads: under KERAS_HOME, else `.keras` in the home folder.

    Where it cannot write there, it takes the folder for temporary files.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):
        home = Path(tempfile.gettempdir()) / ".keras"
    return home / "datasets" / KERAS_FILES[name]


def _from_keras(name: str, module: Any) -> Arrays:
    """A dataset of `keras.datasets`, which downloads it where it is not on disk.

    Keras's own test rows are the validation rows.
    """
    try:
        (x_train, y_train), (x_test, y_test) = module.load_data()
    except Exception as error:  # urllib, tarfile and Keras each raise their own
        raise DataError(
            f'dataset "{name}" could not be loaded: {error}. Keras looks for it in {keras_path(name)}. '
            f"Fetch it where there is a network with `bench data {name}`, or put the file there."
        ) from error
    images = [x if x.ndim == 4 else x[..., None] for x in (x_train, x_test)]
    return images[0], np.ravel(y_train), images[1], np.ravel(y_test)


def _plugin(choice: Choice) -> Arrays:
    function = resolve(choice.name)
    try:
        made = function(**dict(choice.settings))
    except BenchError:
        raise
    except Exception as error:  # the user's own code
        raise DataError(f'dataset "{choice.label}" raised {type(error).__name__}: {error}') from error
    try:
        x_train, y_train, x_test, y_test = (np.asarray(part) for part in made)
    except (TypeError, ValueError) as error:
        raise DataError(f'dataset "{choice.name}" must return (x_train, y_train, x_test, y_test): {error}.') from error
    return x_train, y_train, x_test, y_test


def _checked(choice: Choice, arrays: Arrays) -> Arrays:
    """Float samples and integer classes of matching length, all finite.

    Raises:
        DataError: they are not; the message says which array and what it holds.
    """
    x_train, y_train, x_validation, y_validation = arrays
    for name, x, y in (("train", x_train, y_train), ("validation", x_validation, y_validation)):
        where = f'dataset "{choice.label or choice.name}", {name} rows'
        if x.dtype.kind not in "fiub" or y.dtype.kind not in "iub":
            raise DataError(f"{where}: x is {x.dtype} and y is {y.dtype}; allowed are numbers for x, integers for y.")
        if x.ndim < 2 or y.shape != (len(x),) or not len(x):
            raise DataError(f"{where}: x has shape {x.shape} and y {y.shape}; allowed are [rows, ...] and [rows].")
        if not x[0].size:
            raise DataError(f"{where}: x has shape {x.shape}: a sample holds no number.")
        if not np.isfinite(x).all():
            raise DataError(f"{where}: x holds {int((~np.isfinite(x)).sum())} NaN or infinite numbers.")
        if y.min() < 0 or y.max() >= MAX_CLASSES:
            wrong = y.min() if y.min() < 0 else y.max()
            raise DataError(f"{where}: y holds the class {wrong}; classes count from 0, to {MAX_CLASSES - 1} at most.")
    if x_train.shape[1:] != x_validation.shape[1:]:
        raise DataError(f"{where}: samples of {x_validation.shape[1:]}; the training rows' are {x_train.shape[1:]}.")
    if len(np.union1d(y_train, y_validation)) < 2:
        raise DataError(f'dataset "{choice.label or choice.name}": y holds one class only; it takes two or more.')
    x_train, x_validation = (x.astype(np.float64) for x in (x_train, x_validation))
    y_train, y_validation = (y.astype(np.int32) for y in (y_train, y_validation))
    return x_train, y_train, x_validation, y_validation
