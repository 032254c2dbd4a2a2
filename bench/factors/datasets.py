"""Datasets and how their rows are scaled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path

from bench.factors.base import Factor, Level, Place, Setting


class DataKind(StrEnum):
    """What a dataset asks for; a loss and a score follow (bench.engine.objective)."""

    CLASSES = "classes"  # whole numbers, one a row
    VALUES = "values"  # real numbers, one or several a row, left as they come


@dataclass(frozen=True)
class DatasetLevel(Level):
    """A dataset, with what is known of it before it is read.

    `target` is a function without arguments that returns samples and labels, as a pair or as a `Bunch` of scikit-learn,
    or a module of `keras.datasets`, which keeps what it downloads under `keras_file` in Keras's folder.
    `shape` is one sample's; its length says what an architecture must take: 1 a vector or a signal, 3 an image.
    Zeros stand for what only the data can tell.
    """

    shape: tuple[int, ...] = ()
    classes: int = 0
    train_rows: int = 0
    keras_file: str = ""

    @property
    def offline(self) -> bool:
        """Whether a package that is installed anyway brings it."""
        return bool(self.target) and not self.keras_file

    @property
    def kind(self) -> str:
        """`vector`, `signal` or `image`; empty where only the data can tell."""
        return {1: "vector", 2: "signal", 3: "image"}.get(len(self.shape), "")


DATASET = Factor(
    "dataset", "The data that the networks classify.", Place.GRAPH, default="digits", plugins=True,
    levels=(
        DatasetLevel(
            "digits", "Handwritten digits of 8 x 8 pixels, shipped with scikit-learn.", "Alpaydin & Kaynak 1998",
            target="sklearn.datasets:load_digits", shape=(8, 8, 1), classes=10, train_rows=1438,
        ),
        DatasetLevel(
            "mnist1d", "Signals of 40 points in 10 classes, generated on the spot.", "Greydanus & Kobak 2024",
            target="bench.engine.datasets:mnist1d", shape=(40, 1), classes=10, train_rows=4000,
        ),
        DatasetLevel(
            "breast_cancer", "30 measurements of cell nuclei in 2 classes, shipped with scikit-learn.",
            "Wolberg et al. 1993", target="sklearn.datasets:load_breast_cancer", shape=(30,), classes=2, train_rows=455,
        ),
        DatasetLevel(
            "wine", "13 chemical measurements of wines in 3 classes, shipped with scikit-learn.",
            "Aeberhard & Forina 1992", target="sklearn.datasets:load_wine", shape=(13,), classes=3, train_rows=142,
        ),
        DatasetLevel(
            "mnist", "Handwritten digits of 28 x 28 pixels; downloaded once.", "LeCun et al. 1998",
            target="keras.datasets:mnist", keras_file="mnist.npz", shape=(28, 28, 1), classes=10, train_rows=60_000,
        ),
        DatasetLevel(
            "fashion_mnist", "Clothes of 28 x 28 pixels in 10 classes; downloaded once.", "Xiao, Rasul & Vollgraf 2017",
            target="keras.datasets:fashion_mnist", keras_file="fashion-mnist", shape=(28, 28, 1), classes=10,
            train_rows=60_000,
        ),
        DatasetLevel(
            "cifar10", "Photographs of 32 x 32 pixels in 10 classes; downloaded once.", "Krizhevsky 2009",
            target="keras.datasets:cifar10", keras_file="cifar-10-batches-py-target_archive", shape=(32, 32, 3),
            classes=10, train_rows=50_000,
        ),
        DatasetLevel(
            "cifar100", "Photographs of 32 x 32 pixels in 100 classes; downloaded once.", "Krizhevsky 2009",
            target="keras.datasets:cifar100", keras_file="cifar-100-python-target_archive", shape=(32, 32, 3),
            classes=100, train_rows=50_000,
        ),
        DatasetLevel(
            "npz", "A local file with the arrays x_train, y_train, x_test, y_test.", "Keras's own layout",
            settings={"path": Setting("", "The file, relative to where the command runs.")},
        ),
    ),
)  # fmt: skip

PREPROCESSING = Factor(
    "preprocessing", "How the inputs are scaled.", Place.GRAPH, default="standardize",
    levels=(
        Level("standardize", "Each feature to mean 0 and variance 1 over the training rows.", "LeCun et al. 1998"),
        Level(
            "unit_mean_square", "Standardized, then each row to mean square 1, as mean-field theory assumes.",
            "Poole et al. 2016",
        ),
    ),
)  # fmt: skip


def content_digest(path: str | Path) -> str:
    """What a local dataset is known by, wherever it lies: the SHA-256 of its bytes; empty where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""
