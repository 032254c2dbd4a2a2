"""Datasets: what is known of each before it is read, and by what those that lie in files are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import file_digest
from math import prod
from pathlib import Path
from typing import NamedTuple

from bench.factors.base import Choice, Factor, Level, Place, Scalar, Setting, above_zero
from bench.factors.topics import SYMBOLS, TOPICS, bigram_entropy, topics_digest

MOST_NUMBERS = 2**28  # of a task's samples, of 4 bytes each: 1 GiB
VALIDATION_ROWS = 1024  # of a task: one draw, the same whatever `rows` is
LONGEST = 1000  # steps of a task's sequence
LOCAL = ("npz", "csv", "parquet")  # datasets that are a file at the setting `path`
TABLES = ("csv", "parquet")  # of these, those with columns that have names
TOKENS = "tokens"  # the kind of a sample that is whole numbers standing for symbols, one a step


class Sizes(NamedTuple):
    """Of a task: one sample's shape, the number of classes, or of values a row, and of tokens where samples are."""

    shape: tuple[int, ...]
    classes: int
    vocabulary: int = 0


class DataKind(StrEnum):
    """What a dataset asks for; a loss and a score follow (bench.engine.objective)."""

    CLASSES = "classes"  # whole numbers, one a row
    CLASSES_EACH = "classes_each"  # whole numbers, several a row: at each step of a sequence
    VALUES = "values"  # real numbers, one or several a row


def sample_kind(shape: tuple[int, ...]) -> str:
    """What a sample of a shape is to an architecture; empty for any other."""
    return {1: "vector", 2: "sequence", 3: "image"}.get(len(shape), "")


def a_kind(*kinds: str) -> str:
    """Kinds of samples for a sentence: a vector, a sequence or an image; tokens are a sequence of their own."""
    named = [kind for kind in kinds if kind != TOKENS]
    return " or ".join(f"an {kind}" if kind[0] in "aeiou" else f"a {kind}" for kind in named)


@dataclass(frozen=True)
class DatasetLevel(Level):
    """A dataset, with what is known of it before it is read.

    `target` is a function of its settings that returns samples and labels, as a pair or as a `Bunch` of scikit-learn,
    or a module of `keras.datasets`, which keeps what it downloads under `keras_file` in Keras's folder.
    `shape` is one sample's; its length says what an architecture must take: 1 a vector, 2 a sequence [steps, features],
    3 an image. With a `vocabulary` a sample is tokens [steps], whole numbers from 0 to that less 1.
    `classes` counts classes, or values a row. Zeros stand for what only the data can tell.
    `learned_share` is how much of the best constant answer's loss must be gone at least before a run counts as learned,
    whatever a suite says; 0 where nothing is known that half of it would not show. `learned_loss` gives the loss that a
    run must get below instead. `zero_loss` is the loss of an answer of 0, near which networks start, over the best
    constant's, where it is known. With `steps_alike` no step of a sample differs from another by its place, so that the
    best constant answer is one for all steps. `blanks` says that most steps are one blank symbol: inputs that stay.
    With `next_tokens` the answer at each step is the token that comes next, which no answer may see; with `both_sides`
    answers rest on what comes behind them too.
    """

    shape: tuple[int, ...] = ()
    classes: int = 0
    train_rows: int = 0
    keras_file: str = ""
    asks: DataKind = DataKind.CLASSES
    vocabulary: int = 0
    learned_share: float = 0.0
    learned_loss: Callable[[], float] | None = None
    zero_loss: float = 1.0
    steps_alike: bool = False
    blanks: bool = False
    next_tokens: bool = False
    both_sides: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One sample's shape as a network takes it: of tokens each step is one-hot."""
        return (*self.shape, self.vocabulary) if self.shape and self.vocabulary else self.shape

    @property
    def steps(self) -> int:
        """Time steps of a sample that is a sequence or tokens; 0 of others, and where only the data can tell."""
        return self.shape[0] if self.shape and self.kind in ("sequence", TOKENS) else 0

    @property
    def outputs(self) -> int:
        """Numbers that a head must give: one a class or value, and with a class at each step, so many for each."""
        return self.classes * (self.shape[0] if self.asks is DataKind.CLASSES_EACH else 1)

    @property
    def offline(self) -> bool:
        """Whether a package that is installed anyway brings it."""
        return bool(self.target) and not self.keras_file

    @property
    def kind(self) -> str:
        """`vector`, `sequence`, `image` or `tokens`; empty where only the data can tell."""
        return TOKENS if self.vocabulary else sample_kind(self.shape)

    def sized(self, settings: Mapping[str, Scalar]) -> DatasetLevel:
        """The level with the sizes that these settings give it."""
        return replace(self, vocabulary=int(settings["tokens"])) if settings.get("tokens") else self


@dataclass(frozen=True)
class TaskLevel(DatasetLevel):
    """A task whose samples are drawn by a rule, as many as `rows` says.

    Sequences are left as the rule makes them; images are scaled as any are (`scaled`). `sizes` has those of its
    settings; the fields hold those of the defaults. `objects` says why its settings do not go together.
    """

    sizes: Callable[[Mapping[str, Scalar]], Sizes] = lambda settings: Sizes((), 0)
    objects: Callable[[Mapping[str, Scalar]], str] = lambda settings: ""

    @property
    def scaled(self) -> bool:
        """Whether its samples are scaled as `preprocessing` says."""
        return self.kind == "image"

    def sized(self, settings: Mapping[str, Scalar]) -> DatasetLevel:
        """The level with the sizes that these settings give it."""
        shape, classes, vocabulary = self.sizes(settings)
        rows = int(settings["rows"])
        return replace(self, shape=shape, classes=classes, vocabulary=vocabulary, train_rows=rows)

    def objection(self, settings: Mapping[str, Scalar]) -> str:
        """Why samples of such settings, or so many, cannot be drawn; empty where they can."""
        sized = self.sized(settings)
        most = MOST_NUMBERS // prod(sized.shape) - VALIDATION_ROWS
        if sized.train_rows <= most:
            return self.objects(settings)
        what = "images" if self.kind == "image" else "sequences"
        return f"so many {what} of {sized.shape} take over 1 GiB: rows can be {most} at most."


def dataset_level(choice: Choice) -> DatasetLevel | None:
    """What is known of a chosen dataset before it is read; None of one from outside."""
    level = DATASET.level(choice.name)
    return level.sized(dict(choice.settings)) if isinstance(level, DatasetLevel) else None


_ROWS = Setting(
    10_000, "Training samples that are drawn; rows / batch_size steps see none twice.", minimum=100, maximum=1_000_000
)  # fmt: skip


def _drawn(length: int, least: int, **more: Setting) -> dict[str, Setting]:
    """A task's settings: its length, what else it has, and how many sequences are drawn."""
    return {"length": Setting(length, "Steps of a sequence.", minimum=least, maximum=LONGEST), **more, "rows": _ROWS}


def _with_blank_and_query(settings: Mapping[str, Scalar]) -> Sizes:
    symbols = int(settings["symbols"])
    return Sizes((int(settings["length"]), symbols + 2), symbols)


def _copied(settings: Mapping[str, Scalar]) -> Sizes:
    delay, items, symbols = (int(settings[name]) for name in ("delay", "items", "symbols"))
    return Sizes((delay + 2 * items, symbols + 2), symbols + 1)


def _rearranged(settings: Mapping[str, Scalar]) -> Sizes:
    symbols = int(settings["symbols"])
    return Sizes((int(settings["length"]),), symbols, symbols)


def _paired(settings: Mapping[str, Scalar]) -> Sizes:
    symbols = int(settings["symbols"])
    return Sizes((2 * int(settings["pairs"]) + 1,), symbols, 2 * symbols)


def _keys_differ(settings: Mapping[str, Scalar]) -> str:
    pairs, symbols = int(settings["pairs"]), int(settings["symbols"])
    return "" if pairs <= symbols else f"{pairs} pairs have different keys: symbols must be {pairs} or more."


_COPIED = {
    "delay": Setting(30, "Steps from the last symbol to the first answer.", minimum=1, maximum=LONGEST),
    "items": Setting(10, "Symbols to be kept.", minimum=1, maximum=100),
    "symbols": Setting(8, "How many symbols there are.", minimum=2, maximum=64),
    "rows": _ROWS,
}

_SYMBOLS = Setting(16, "How many symbols there are.", minimum=2, maximum=256)

_TABLE = {
    "path": Setting("", "The file, relative to where the command runs."),
    "target": Setting("", "The column to predict; all others are inputs."),
    "kind": Setting("auto", "What the target holds; auto: as its entries say.", allowed=("auto", "classes", "values")),
}

DATASET = Factor(
    "dataset", "The data that the networks are trained on.", Place.GRAPH, default="digits", plugins=True,
    levels=(
        DatasetLevel(
            "digits", "Handwritten digits of 8 x 8 pixels, shipped with scikit-learn.", "Alpaydin & Kaynak 1998",
            target="sklearn.datasets:load_digits", shape=(8, 8, 1), classes=10, train_rows=1438,
        ),
        DatasetLevel(
            "mnist1d", "Signals of 40 points in 10 classes, generated on the spot.", "Greydanus & Kobak 2024",
            target="bench.engine.shipped:mnist1d", shape=(40, 1), classes=10, train_rows=4000,
        ),
        DatasetLevel(
            "digits_rows", "The digits as sequences: their 8 rows from the top, 8 numbers each.", "Le et al. 2015",
            target="bench.engine.tasks:digits_rows", shape=(8, 8), classes=10, train_rows=1438,
        ),
        DatasetLevel(
            "digits_pixels", "The digits as sequences of 64 pixels, by rows or in one fixed random order.",
            "Le et al. 2015", target="bench.engine.tasks:digits_pixels", shape=(64, 1), classes=10, train_rows=1438,
            settings={"permuted": Setting(False, "Whether the pixels come in a random order, the same in all.")},
        ),
        TaskLevel(
            "adding", "The sum of two marked numbers; each step is a number from U(0, 1) and a mark, one in each half.",
            "Hochreiter & Schmidhuber 1997", target="bench.engine.tasks:adding", shape=(50, 2), classes=1,
            train_rows=10_000, asks=DataKind.VALUES, learned_share=0.9, zero_loss=7.0, settings=_drawn(50, 2),
            sizes=lambda settings: Sizes((int(settings["length"]), 2), 1),
        ),
        TaskLevel(
            "recall", "The symbol of the first step, asked for at the last; blanks in between.",
            "after Bengio, Simard & Frasconi 1994", target="bench.engine.tasks:recall", shape=(20, 10), classes=8,
            train_rows=10_000, blanks=True, sizes=_with_blank_and_query,
            settings=_drawn(20, 2, symbols=Setting(8, "How many symbols there are.", minimum=2, maximum=64)),
        ),
        TaskLevel(
            "copy_memory", "The first steps' symbols, to be given back at the last steps after a mark; else blanks.",
            "Arjovsky, Shah & Bengio 2016", target="bench.engine.tasks:copy_memory", shape=(50, 10), classes=9,
            train_rows=10_000, asks=DataKind.CLASSES_EACH, learned_share=0.9, blanks=True, sizes=_copied,
            settings=_COPIED,
        ),
        TaskLevel(
            "temporal_order", "Which of X and Y stood at two places, in this order, among four other symbols.",
            "Hochreiter & Schmidhuber 1997", target="bench.engine.tasks:temporal_order", shape=(20, 6), classes=4,
            train_rows=10_000, settings=_drawn(20, 10), sizes=lambda settings: Sizes((int(settings["length"]), 6), 4),
        ),
        TaskLevel(
            "parity", "Whether the number of -1 among steps of -1 and 1 is odd: no part of them tells anything.",
            "Minsky & Papert 1969", target="bench.engine.tasks:parity", shape=(10, 1), classes=2, train_rows=10_000,
            settings=_drawn(10, 2), sizes=lambda settings: Sizes((int(settings["length"]), 1), 2),
        ),
        TaskLevel(
            "text", "Each next character of windows of CPython's own help texts; characters are tokens.",
            "Karpathy 2015", target="bench.engine.tasks:text", shape=(32,), classes=SYMBOLS, train_rows=10_000,
            asks=DataKind.CLASSES_EACH, vocabulary=SYMBOLS, learned_loss=bigram_entropy, steps_alike=True,
            next_tokens=True,
            settings=_drawn(32, 2), sizes=lambda settings: Sizes((int(settings["length"]),), SYMBOLS, SYMBOLS),
        ),
        TaskLevel(
            "associative_recall", "The value of the last token, a key, among pairs of a key and a value shown before.",
            "Ba et al. 2016", target="bench.engine.tasks:associative_recall", shape=(17,), classes=16,
            train_rows=10_000, vocabulary=32, sizes=_paired, objects=_keys_differ,
            settings={
                "pairs": Setting(8, "Pairs of a key and a value; no key comes twice.", minimum=3, maximum=256),
                "symbols": Setting(16, "How many keys there are, and how many values.", minimum=3, maximum=256),
                "rows": _ROWS,
            },
        ),
        TaskLevel(
            "reverse", "The sequence backwards, answered at its own steps; symbols are tokens.",
            "after Sutskever, Vinyals & Le 2014", target="bench.engine.tasks:reverse", shape=(16,), classes=16,
            train_rows=10_000, asks=DataKind.CLASSES_EACH, vocabulary=16, learned_share=0.9, steps_alike=True,
            both_sides=True, sizes=_rearranged, settings=_drawn(16, 2, symbols=_SYMBOLS),
        ),
        TaskLevel(
            "sort", "The sequence in order, answered at its own steps; symbols are tokens.",
            "after Graves, Wayne & Danihelka 2014", target="bench.engine.tasks:sort", shape=(16,), classes=16,
            train_rows=10_000, asks=DataKind.CLASSES_EACH, vocabulary=16, learned_share=0.9,
            both_sides=True, sizes=_rearranged, settings=_drawn(16, 2, symbols=_SYMBOLS),
        ),
        TaskLevel(
            "shapes", "Outlines of a disc, a square, a cross or a triangle, 5 to 11 pixels large, at random places.",
            "this project", target="bench.engine.shapes:shapes", shape=(16, 16, 1), classes=4, train_rows=10_000,
            sizes=lambda settings: Sizes((int(settings["size"]), int(settings["size"]), 1), 4),
            settings={
                "size": Setting(16, "Pixels of an image's side.", minimum=11, maximum=128),
                "noise": Setting(0.2, "Standard deviation of what is added to each pixel.", minimum=0.0, maximum=10.0),
                "rows": _ROWS,
            },
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
            "diabetes", "10 measurements of patients and how far their diabetes went in a year, 25 to 346.",
            "Efron et al. 2004", target="bench.engine.shipped:diabetes", shape=(10,), classes=1, train_rows=354,
            asks=DataKind.VALUES,
            settings={"target_factor": above_zero(1.0, "What the target is multiplied by: 1000 makes it some 10^5.")},
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
            settings={
                "path": Setting("", "The file, relative to where the command runs."),
                "tokens": Setting(
                    0, "How many tokens there are, where samples are tokens: whole numbers from 0 to that less 1.",
                    minimum=0, maximum=100_000, later=True,
                ),
            },
        ),
        DatasetLevel(
            "csv", "A local text file of columns, the first line their names, one of them the target.", "RFC 4180",
            settings=_TABLE | {"separator": Setting(",", "What stands between two columns; tab: a tabulator.")},
        ),
        DatasetLevel(
            "parquet", "A local Parquet file of columns, one of them the target.", "Apache Parquet", settings=_TABLE,
        ),
    ),
)  # fmt: skip


def content_of(choice: Choice) -> str:
    """Of data that may be others elsewhere, what they are read from: a file or a module; empty of the rest."""
    if choice.name in LOCAL:
        return str(choice.setting("path"))
    return TOPICS if choice.name == "text" else ""


def content_digest(content: str | Path) -> str:
    """What `content_of` a dataset is known by, wherever it lies: a SHA-256; empty where it cannot be read."""
    if content == TOPICS:
        return topics_digest()
    try:
        with Path(content).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""
