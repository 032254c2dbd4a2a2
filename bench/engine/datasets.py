"""Datasets as arrays: loaded, split once and for all, scaled on the training rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.npz import read_npz
from bench.engine.samples import check_labels, check_part, check_steps, check_tokens, kind_in, unequal_lengths
from bench.engine.targets import resolve
from bench.errors import BenchError, DataError
from bench.factors import (
    FACTORS,
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
BLOCK_ROWS = 8192  # rows that are held in double precision at once: images would take several GB


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
def load(choice: Choice, preprocessing: str) -> Dataset:
    """The dataset of a choice, scaled; sequences of a task as they were drawn.

    Raises:
        DataError: it is missing or its arrays are of the wrong shape; the message says what to do.
    """
    where = f'dataset "{choice.label or choice.name}"'
    said, vocabulary, level = said_kind(choice), vocabulary_of(choice), dataset_level(choice)
    x_train, y_train, x_validation, y_validation = load_raw(choice)
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
    samples = [x_train, x_validation]
    if vocabulary:
        samples = [x.astype(np.int32, copy=False) for x in samples]
    elif isinstance(level, TaskLevel) and not level.scaled:
        samples = [x.astype(np.float32, copy=False) for x in samples]
    else:
        by_feature = x_train.ndim == 3 and (level is None or choice.name == "npz")
        unit = preprocessing == "unit_mean_square"
        samples = _scaled(where, samples, unit_mean_square=unit, by_feature=by_feature)
    shape = (*x_train.shape[1:], vocabulary) if vocabulary else x_train.shape[1:]
    if kind is DataKind.VALUES:
        targets = [y.reshape(len(y), -1).astype(np.float32) for y in (y_train, y_validation)]
        count = targets[0].shape[1]
        return Dataset(samples[0], targets[0], samples[1], targets[1], shape, count, kind=kind, vocabulary=vocabulary)
    labels = sorted({*np.unique(y_train).tolist(), *np.unique(y_validation).tolist()})
    if isinstance(level, TaskLevel):  # which has its classes, whether or not all of them were drawn
        labels = list(range(level.classes))
    check_labels(where, labels, y_train.size + y_validation.size)
    classes = [_as_classes(y, labels) for y in (y_train, y_validation)]
    return Dataset(
        samples[0], classes[0], samples[1], classes[1], shape, len(labels), _naming(labels), kind, vocabulary,
        steps_alike=level is not None and level.steps_alike,
        learned_loss=level.learned_loss() if level is not None and level.learned_loss else None,
    )  # fmt: skip


def kind_of(choice: Choice) -> DataKind:
    """What a dataset asks for, as its level says, or the attribute `kind` of a function from outside, or its targets.

    Raises:
        DataError: the attribute is no kind, or the data cannot be loaded.
    """
    return said_kind(choice) or load(choice, "standardize").kind


def said_kind(choice: Choice) -> DataKind | None:
    """The kind that is known before the data are; None of a file, and of a function that does not say."""
    level = FACTORS["dataset"].level(choice.name)
    if isinstance(level, DatasetLevel):
        return None if choice.name == "npz" else level.asks
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
    if level.keras_file:
        return _from_keras(choice.name, resolve(level.target))
    return _from_function(choice, resolve(level.target), level.shape)


def describe(choice: Choice) -> str:
    """One line on a dataset: its name, sizes and where it comes from.

    Raises:
        DataError: it cannot be loaded.
    """
    data = load(choice, "standardize")
    level = FACTORS["dataset"].level(choice.name)
    place = choice.label
    if isinstance(level, DatasetLevel) and level.target:
        place = "shipped with a package" if level.offline else str(keras_path(choice.name))
        place = "drawn by its rule" if isinstance(level, TaskLevel) else place
    rows = f"{len(data.y_train)} training and {len(data.y_validation)} validation rows"
    labels = f"; {data.labels}" if data.labels else ""
    asked = data.kind.replace("_", " ")
    sample = f"{data.shape[:-1]} tokens of {data.vocabulary}" if data.vocabulary else str(data.shape)
    return f"{choice.label}: {rows} of {sample}, {data.classes} {asked}; {place}{labels}"


def mnist1d() -> tuple[np.ndarray, np.ndarray]:
    """MNIST-1D as its package makes it: samples [5000, 40, 1] and labels [5000]."""
    from mnist1d.data import get_dataset_args, make_dataset  # slow to import, and only some suites need it

    made = make_dataset(get_dataset_args())
    return np.concatenate([made["x"], made["x_test"]])[..., None], np.concatenate([made["y"], made["y_test"]])


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


def _naming(labels: Sequence[int]) -> str:
    """What stands for classes 0 to K - 1, where the labels are others."""
    first, last, top = labels[0], labels[-1], len(labels) - 1
    if (first, last) == (0, top):
        return ""
    if last - first == top:
        return f"its labels {first} to {last} are taken as the classes 0 to {top}"
    shown = [str(int(label)) for label in labels]
    listed = ", ".join(shown if top < MOST_LABELS else [*shown[: MOST_LABELS - 1], "…", shown[-1]])
    return f"its labels {listed} have gaps between them and are taken as the classes 0 to {top}"


def _scaled(where: str, parts: Sequence[np.ndarray], *, unit_mean_square: bool, by_feature: bool) -> list[np.ndarray]:
    """Each part [rows, features...] as float32, standardized by the first, in double precision block by block.

    `by_feature`: sequences [rows, steps, features], each feature over rows and steps. The catalogue's own are
    standardized step by step, as ever: their runs stay what they are.

    Raises:
        DataError: a number is too large for it.
    """
    train = parts[0]
    axes, count = ((0, 1), len(train) * train.shape[1]) if by_feature else ((0,), len(train))
    with np.errstate(all="ignore"):  # what overflows is refused below
        mean = _sum(_blocks(train), axes) / count
        std = np.sqrt(_sum((np.square(block - mean) for block in _blocks(train)), axes) / count)
        low, high = (np.asarray(edge, np.float64) for edge in (train.min(axis=axes), train.max(axis=axes)))
        # A feature that never varies may have a tiny std by rounding: dividing by it would make noise of it.
        scale = np.where(high - low > 0, std, 1.0)
        scaled = [np.empty(x.shape, np.float32) for x in parts]
        fits = np.abs(scale).max() <= np.finfo(np.float32).max
        for x, out in zip(parts, scaled, strict=True):
            for start, block in zip(range(0, len(x), BLOCK_ROWS), _blocks(x), strict=True):
                standard = (block - mean) / scale
                fits = fits and np.abs(standard).max() <= np.finfo(np.float32).max
                out[start : start + len(block)] = _unit_mean_square(standard) if unit_mean_square else standard
    if not fits:
        raise DataError(f"{where}: x holds numbers that are too large to be scaled.")
    return scaled


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of x in double precision, BLOCK_ROWS at a time."""
    for start in range(0, len(x), BLOCK_ROWS):
        yield x[start : start + BLOCK_ROWS].astype(np.float64)


def _sum(blocks: Iterable[np.ndarray], axes: tuple[int, ...]) -> np.ndarray:
    """The sum over these axes of all blocks, rows among them."""
    return reduce(np.add, (block.sum(axis=axes) for block in blocks))


def _unit_mean_square(x: np.ndarray) -> np.ndarray:
    """Each row scaled to mean square 1; a row of zeros stays."""
    root = np.sqrt(np.mean(np.square(x), axis=tuple(range(1, x.ndim)), keepdims=True))
    return x / np.where(root > 0, root, 1.0)
