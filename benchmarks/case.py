"""A case: the network, batch and runs that every contestant trains, from the same weights on the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np

from bench.engine.datasets import Dataset, load
from bench.plan import Cohort, make_plan
from bench.suite import load_suite

SUITE = """
[suite]
name = "step"
question = "How long is a step?"
replicates = {case.runs}

[factors]
activation = ["relu"]

[fixed]
depth = {case.depth}
width = {case.width}
batch_size = {case.batch}
normalization = "{case.normalization}"
optimizer = "momentum"
learning_rate = {rate}
clipping = {{ level = "global_norm", threshold = {limit} }}
"""
RECURRENT = SUITE.replace("relu", "tanh").replace(
    'normalization = "{case.normalization}"',
    'architecture = "recurrent"\ncell = "{case.cell}"\n'
    'dataset = {{ level = "recall", length = {case.length}, rows = 2000 }}',
)
CONVOLUTIONAL = SUITE.replace('normalization = "{case.normalization}"', 'architecture = "conv"')
TRANSFORMER = SUITE.replace(
    'normalization = "{case.normalization}"',
    'architecture = "transformer"\nblock = "pre_norm"\nheads = {heads}\nfeed_forward = {multiple}\n'
    'dataset = {{ level = "reverse", length = {case.length}, symbols = {tokens}, rows = 2000 }}',
)
FEATURES, CLASSES, SIDE = 64, 10, 8  # of the digits
KERNEL = 3  # positions along each axis
SYMBOLS, ASKED = 10, 8  # features of a step of `recall`, and its classes
HEADS, MULTIPLE, TOKENS = 4, 4, 16  # of transformers; hidden units in widths; the symbols that they reverse
EMBEDDED = 0.05  # how large an embedding's numbers are at the start, as Keras's uniform ones
GATES = {"simple": 1, "lstm": 4, "gru": 3}
LEARNING_RATE, MOMENTUM, CLIPPING_LIMIT = 0.02, 0.9, 1.0
FIRST_STEPS = 10  # whose mean loss every contestant reports
BATCHES = 40  # different ones, over and over
PRODUCTS = 24  # matrices in a batch of products


@dataclass(frozen=True)
class Case:
    """One network in so many runs. Relu, momentum, and a limit on each run's global gradient norm.

    With a cell it is recurrent, one layer of tanh on sequences of `length` steps, and the head reads the last state;
    `conv` in its place makes convolutions over the digits as images, `transformer` blocks over `length` tokens.
    """

    depth: int = 16
    width: int = 64
    runs: int = 24
    normalization: str = "none"
    batch: int = 64
    cell: str = ""
    length: int = 1

    @classmethod
    def recurrent(cls, cell: str, length: int = 50) -> Case:
        """A recurrent layer of 32 units, 32 sequences a batch."""
        return cls(depth=1, width=32, batch=32, cell=cell, length=length)

    @classmethod
    def convolutional(cls, depth: int = 8) -> Case:
        """Convolutions of 8 filters, 32 images a batch."""
        return cls(depth=depth, width=8, batch=32, cell="conv")

    @classmethod
    def transformer(cls, depth: int = 4) -> Case:
        """Pre-norm blocks of width 32 over 16 tokens with an answer each, 16 sequences a batch."""
        return cls(depth=depth, width=32, batch=16, cell="transformer", length=16)

    @property
    def attends(self) -> bool:
        """Whether it is a transformer."""
        return self.cell == "transformer"

    @property
    def convolves(self) -> bool:
        """Whether it is convolutional."""
        return self.cell == "conv"

    @cached_property
    def cohort(self) -> Cohort:
        """The engine's cohort of these runs."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "step.toml"
            text = {"conv": CONVOLUTIONAL, "transformer": TRANSFORMER, "": SUITE}.get(self.cell, RECURRENT)
            sizes = {"heads": HEADS, "multiple": MULTIPLE, "tokens": TOKENS}
            told = text.format(case=self, rate=LEARNING_RATE, limit=CLIPPING_LIMIT, **sizes)
            path.write_text(told, encoding="utf-8")
            plan = make_plan(load_suite(path))
        return replace(plan.cohorts[0], runs=plan.runs)

    @cached_property
    def data(self) -> Dataset:
        """The digits, standardized, or what a recurrent network recalls, or tokens to reverse."""
        choices = self.cohort.runs[0].choices
        return load(choices["dataset"], choices["preprocessing"].name, choices["target_preprocessing"].name)

    def kernels(self) -> list[np.ndarray]:
        """Every layer's kernels at the start, [runs, inputs, units], the head's last; biases are Keras's own.

        Of a recurrent layer the kernel, then the recurrent kernel; of convolutions [runs, rows, columns, ...]. Of a
        transformer the embeddings of tokens and places first, then each block's of query, key, value, output and
        feed-forward.
        """
        rng = np.random.default_rng(0)
        if self.attends:
            d, wide = self.width, MULTIPLE * self.width
            block = [(d, d)] * 4 + [(d, wide), (wide, d)]
            return [
                (rng.normal(size=(self.runs, *shape)) * scale).astype(np.float32)
                for shape, scale in [
                    ((TOKENS, d), EMBEDDED), ((self.length, d), EMBEDDED),
                    *[(each, each[0] ** -0.5) for each in [*block * self.depth, (d, TOKENS)]],
                ]
            ]  # fmt: skip
        sizes, gain = list(pairwise([FEATURES, *[self.width] * self.depth, CLASSES])), 2.0
        if self.convolves:
            spans = (KERNEL, KERNEL)
            shapes = [(*spans, 1, self.width), *[(*spans, self.width, self.width)] * (self.depth - 1)]
            return [
                (rng.normal(size=(self.runs, *shape)) * np.sqrt(gain / np.prod(shape[:-1]))).astype(np.float32)
                for shape in [*shapes, (self.width, CLASSES)]
            ]
        if self.cell:
            wide, gain = GATES[self.cell] * self.width, 1.0
            sizes = [(SYMBOLS, wide), (self.width, wide), (self.width, ASKED)]
        return [
            (rng.normal(size=(self.runs, inputs, units)) * np.sqrt(gain / inputs)).astype(np.float32)
            for inputs, units in sizes
        ]

    def rows(self) -> Iterator[np.ndarray]:
        """Training rows of each run for one step after the other, [runs, batch], without end."""
        rng, count = np.random.default_rng(1), len(self.data.y_train)
        return cycle(rng.integers(0, count, (BATCHES, self.runs, self.batch)).astype(np.int32))

    @property
    def flops(self) -> float:
        """Operations of one run's step in products: forward, the weights' gradient, and the signal to all layers."""
        if self.convolves:
            of_layer = FEATURES * KERNEL**2 * self.width
            return 2.0 * self.batch * of_layer * (3 * self.width * (self.depth - 1) + 2)
        inner = (self.depth - 1) * self.width**2 + self.width * CLASSES
        return 2.0 * self.batch * (3 * inner + 2 * FEATURES * self.width)

    @property
    def product_flops(self) -> float:
        """Operations of one batch of square products of the network's width."""
        return 2.0 * PRODUCTS * self.width**3
