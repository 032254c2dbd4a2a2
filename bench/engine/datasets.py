"""Datasets as arrays: loaded, split once and for all, scaled on the training rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.npz import read_npz
from bench.engine.preprocessing import scaled
from bench.engine.samples import check_labels, check_part, check_steps, check_tokens, kind_in, unequal_lengths
from bench.engine.table_files import read_table
from bench.engine.targets import resolve
from bench.errors import BenchError, DataError, printable
from bench.factors import (
    FACTORS,
    LOCAL,
    TABLES,
    Choice,
    DataKind,
    DatasetLevel,
    TaskLevel,
    content_digest,
    content_of,
    dataset_level,
)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_validation, y_validation

SPLIT_SEED = 0  # the split belongs to the dataset, not to a suite: the same in every result set
VALIDATION_SHARE = 0.2
MOST_LABELS = 8  # labels that a sentence lists


@dataclass(frozen=True)
class Dataset:
    """Samples, x [rows, features...] float32 and y [rows] or [rows, steps] int32, classes from 0; or [rows, k], values.

    `shape` is one sample's as a network takes it; with a `vocabulary` x is tokens [rows, steps] int32, which become
    one-hot in the graph. `classes` is the number of classes, or of values a row; `labels` says what classes are called
    where they are not 0 to K - 1 of themselves, else it is empty. `steps_alike` and `learned_loss` as of a level.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    shape: tuple[int, ...]
    classes: int
    labels: str = ""
    kind: DataKind = DataKind.CLASSES
    vocabulary: int = 0
    steps_alike: bool = False
    learned_loss: float | None = None


@lru_cache(maxsize=2)
def load(choice: Choice, preprocessing: str, targets: str = "none") -> Dataset:
    """The dataset of a choice, scaled; sequences of a task as they were drawn.

    Args:
        choice: the dataset.
        preprocessing: the level's name of `preprocessing`.
        targets: the same of `target_preprocessing`: how values to predict are scaled.

    Raises:
        DataError: it is missing or its arrays are of the wrong shape; the message says what to do.
    """
    where = f'dataset "{choice.label or choice.name}"'
    said, vocabulary, level = said_kind(choice), vocabulary_of(choice), dataset_level(choice)
    x_train, y_train, x_validation, y_validation = load_raw(choice)
    names: tuple[str, ...] = ()
    if choice.name in TABLES and y_train.dtype.kind == "U":
        names, y_train, y_validation = _numbered(y_train, y_validation)
    if choice.name in TABLES:
        kind = DataKind.VALUES if y_train.dtype.kind == "f" else DataKind.CLASSES
    else:
        kind = said or kind_in(x_train, y_train, tokens=bool(vocabulary))
    for name, x, y in (("train", x_train, y_train), ("validation", x_validation, y_validation)):
        check_part(f"{where}, {name} rows", x, y, kind)
        if vocabulary:
            check_tokens(f"{where}, {name} rows", x, vocabulary)
        if kind is DataKind.CLASSES_EACH and (vocabulary or x.ndim == 3):
            check_steps(f"{where}, {name} rows", x, y)
    if x_train.shape[1:] != x_validation.shape[1:]:
        hint = " Pad or cut sequences to one length." if vocabulary or x_train.ndim == 3 else ""
        raise DataError(
            f"{where}: samples of {x_validation.shape[1:]}; the training rows' are {x_train.shape[1:]}.{hint}"
        )
    samples = _samples(choice, [x_train, x_validation], preprocessing)
    shape = (*x_train.shape[1:], vocabulary) if vocabulary else x_train.shape[1:]
    if kind is DataKind.VALUES:
        values = _values(where, [y_train, y_validation], targets)
        count = values[0].shape[1]
        return Dataset(samples[0], values[0], samples[1], values[1], shape, count, kind=kind, vocabulary=vocabulary)
    if targets != "none":
        raise DataError(f"{where}: target_preprocessing {targets} is for values, and the targets are classes.")
    labels = sorted({*np.unique(y_train).tolist(), *np.unique(y_validation).tolist()})
    if isinstance(level, TaskLevel):  # which has its classes, whether or not all of them were drawn
        labels = list(range(level.classes))
    check_labels(where, labels, y_train.size + y_validation.size)
    classes = [_as_classes(y, labels) for y in (y_train, y_validation)]
    return Dataset(
        samples[0], classes[0], samples[1], classes[1], shape, len(labels), _naming(names or labels), kind, vocabulary,
        steps_alike=level is not None and level.steps_alike,
        learned_loss=level.learned_loss() if level is not None and level.learned_loss else None,
    )  # fmt: skip


def _samples(choice: Choice, parts: list[np.ndarray], preprocessing: str) -> list[np.ndarray]:
    """Samples as they are trained on: tokens and a task's sequences as they come, all others scaled."""
    level = dataset_level(choice)
    if vocabulary_of(choice):
        return [x.astype(np.int32, copy=False) for x in parts]
    if isinstance(level, TaskLevel) and not level.scaled:
        return [x.astype(np.float32, copy=False) for x in parts]
    by_feature = parts[0].ndim == 3 and (level is None or choice.name == "npz")
    return scaled(f'dataset "{choice.label or choice.name}": x', parts, preprocessing, by_feature=by_feature)


def _values(where: str, parts: Sequence[np.ndarray], targets: str) -> list[np.ndarray]:
    """Values to predict, [rows, k] float32, as `target_preprocessing` says."""
    values = [y.reshape(len(y), -1) for y in parts]
    if not np.ptp(values[0], axis=0).any():
        raise DataError(f"{where}: y is the same in all {len(values[0])} training rows: there is nothing to predict.")
    return [y.astype(np.float32) for y in values] if targets == "none" else scaled(f"{where}: y", values, targets)


def kind_of(choice: Choice) -> DataKind:
    """What a dataset asks for, as its level says, or the attribute `kind` of a function from outside, or its targets.

    Raises:
        DataError: the attribute is no kind, or the data cannot be loaded.
    """
    return said_kind(choice) or load(choice, "standardize", "none").kind


def said_kind(choice: Choice) -> DataKind | None:
    """The kind that is known before the data are; None of a file, and of a function that does not say."""
    level = FACTORS["dataset"].level(choice.name)
    if isinstance(level, DatasetLevel):
        return None if choice.name in LOCAL else level.asks
    said = getattr(resolve(choice.name), "kind", None)
    try:
        return None if said is None else DataKind(said)
    except ValueError:
        known = ", ".join(DataKind)
        raise DataError(f'dataset "{choice.label}": its kind is {said!r}; allowed are {known}.') from None


def vocabulary_of(choice: Choice) -> int:
    """How many tokens there are, as a dataset's level says, or the attribute `tokens` of a function; 0: no tokens.

    Raises:
        DataError: the attribute is no whole number from 2 on.
    """
    level = dataset_level(choice)
    if level is not None:
        return level.vocabulary
    said = getattr(resolve(choice.name), "tokens", 0)
    if type(said) is not int or said < 0 or said == 1:
        raise DataError(f'dataset "{choice.label}": its tokens are {said!r}; allowed is how many there are, 2 or more.')
    return said


def load_raw(choice: Choice) -> Arrays:
    """The dataset as it comes, split into training and validation rows.

    Raises:
        DataError: it is missing, or is not what it was when the suite was read.
    """
    level = FACTORS["dataset"].level(choice.name)
    if not isinstance(level, DatasetLevel):
        return _from_function(choice, resolve(choice.name))
    if choice.digest and content_digest(content_of(choice)) not in ("", choice.digest):
        raise DataError(f'dataset "{content_of(choice)}" has changed since its suite was read: run the suite again.')
    if choice.name == "npz":
        return read_npz(Path(str(choice.setting("path"))))
    if choice.name in TABLES:
        return _split(*read_table(choice))
    if level.keras_file:
        return _from_keras(choice.name, resolve(level.target))
    return _from_function(choice, resolve(level.target), level.shape)


def describe(choice: Choice) -> str:
    """One line on a dataset: its name, sizes and where it comes from.

    Raises:
        DataError: it cannot be loaded.
    """
    data = load(choice, "standardize", "none")
    level = FACTORS["dataset"].level(choice.name)
    place = choice.label
    if isinstance(level, DatasetLevel) and level.target:
        place = "shipped with a package" if level.offline else str(keras_path(choice.name))
        place = "drawn by its rule" if isinstance(level, TaskLevel) else place
    rows = f"{len(data.y_train)} training and {len(data.y_validation)} validation rows"
    labels = f"; {data.labels}" if data.labels else ""
    asked = f"{data.classes} {data.kind.replace('_', ' ')}"
    asked = "a value" if data.kind is DataKind.VALUES and data.classes == 1 else asked
    sample = f"{data.shape[:-1]} tokens of {data.vocabulary}" if data.vocabulary else str(data.shape)
    return f"{choice.label}: {rows} of {sample}, {asked}; {place}{labels}"


def keras_path(name: str) -> Path:
    """Where Keras keeps a dataset that it downloads: under KERAS_HOME, else `.keras` in the home folder.

    Where it cannot write there, it takes the folder for temporary files.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):
        home = Path(tempfile.gettempdir()) / ".keras"
    level = FACTORS["dataset"].level(name)
    assert isinstance(level, DatasetLevel)
    return home / "datasets" / level.keras_file


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


def _from_function(choice: Choice, function: Callable[..., Any], shape: tuple[int, ...] = ()) -> Arrays:
    """What a function makes: four arrays, or two (or a `Bunch` of scikit-learn), of which a fifth validates."""
    try:
        made = function(**dict(choice.settings))
    except BenchError:
        raise
    except Exception as error:  # the user's own code
        raise DataError(f'dataset "{choice.label}" raised {type(error).__name__}: {error}') from error
    if hasattr(made, "data") and hasattr(made, "target"):
        made = made.data, made.target
    try:
        made = list(made)
        parts = [np.asarray(part) for part in made]
    except (TypeError, ValueError) as error:
        unequal = next((said for part in made if (said := unequal_lengths(part))), "") if type(made) is list else ""
        raise DataError(f"{_wanted(choice)}: {unequal or f'{error}.'}") from error
    if len(parts) == 2 and all(part.ndim for part in parts) and len(parts[0]) == len(parts[1]):
        x, y = parts
        parts = list(_split(x.reshape(-1, *shape) if shape else x, y))
    if len(parts) != 4:
        raise DataError(f"{_wanted(choice)}; it made {len(parts)} parts.")
    return parts[0], parts[1], parts[2], parts[3]


def _wanted(choice: Choice) -> str:
    return f'dataset "{choice.name}" must return (x_train, y_train, x_test, y_test), or (x, y) of equal length'


def _split(x: np.ndarray, y: np.ndarray) -> Arrays:
    """A fixed random fifth of the rows for validation."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    rows = len(x) - round(len(x) * VALIDATION_SHARE)
    train, validation = order[:rows], order[rows:]
    return x[train], y[train], x[validation], y[validation]


def _as_classes(y: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """The place of each label among `labels`, int32 as y is shaped."""
    own, inverse = np.unique(y, return_inverse=True)
    place = {label: number for number, label in enumerate(labels)}
    return np.array([place[label] for label in own.tolist()], np.int32)[inverse].reshape(y.shape)


def _numbered(y_train: np.ndarray, y_validation: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The names of classes in their order, and of each row the number of its own."""
    names, numbers = np.unique(np.concatenate([y_train, y_validation]), return_inverse=True)
    return tuple(names.tolist()), numbers[: len(y_train)], numbers[len(y_train) :]


def _naming(labels: Sequence[int | str]) -> str:
    """What stands for classes 0 to K - 1, where the labels are others."""
    first, last, top = labels[0], labels[-1], len(labels) - 1
    if isinstance(first, str) or isinstance(last, str):
        return f"its labels {_listed([printable(str(label)) for label in labels])} are taken as the classes 0 to {top}"
    if (first, last) == (0, top):
        return ""
    if last - first == top:
        return f"its labels {first} to {last} are taken as the classes 0 to {top}"
    listed = _listed([str(int(label)) for label in labels])
    return f"its labels {listed} have gaps between them and are taken as the classes 0 to {top}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words if len(words) <= MOST_LABELS else [*words[: MOST_LABELS - 1], "…", words[-1]])
