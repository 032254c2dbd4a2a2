"""By how much recording makes people's own training longer: a step recorded or guarded, `every="auto"` over a fit.

Run as `python -m benchmarks.recorder_cost [NETWORK ...]`, on a machine that does nothing else; one thread. Each
number is a median of pairs, of steps or fits side by side, by the processor's time of this process.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

import keras
import numpy as np

from bench import Recorder
from bench.recorder.dispatch import Dispatch
from bench.recorder.dispatching import Taken
from bench.recorder.rows import Rows, Step
from bench.results import read_tables

PAIRS_OF_STEPS = 60
PAIRS_OF_FITS = 3
SECONDS_OF_FIT = 3.0
BEGINNING = 30  # steps of a fit that are not timed: the first are all recorded, and two functions are traced
layers = keras.layers


@dataclass(frozen=True)
class Network:
    """One to be recorded: what makes it, the shape of its batches [B, ...], and what it is called."""

    said: str
    make: Callable[[tuple[int, ...]], Any]
    batch: tuple[int, ...]


def perceptron(shape: tuple[int, ...], depth: int) -> keras.Model:
    """Hidden layers as wide as the input."""
    hidden = [layers.Dense(shape[0], activation="relu") for _ in range(depth)]
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(10)])


def convolutions(shape: tuple[int, ...]) -> keras.Model:
    """Four residual blocks of two convolutions with batch normalization."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(32, 3, padding="same")(inputs)
    for _ in range(4):
        y = x
        for last in (False, True):
            y = layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(y))
            y = layers.add([x, y]) if last else y
            y = layers.ReLU()(y)
        x = y
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def attention(shape: tuple[int, ...]) -> keras.Model:
    """Two pre-norm blocks of four heads."""
    inputs = x = keras.Input(shape)
    width = shape[-1]
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.add([x, layers.MultiHeadAttention(4, width // 4)(y, y)])
        y = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.add([x, layers.Dense(width)(y)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def recurrence(shape: tuple[int, ...]) -> keras.Model:
    """One LSTM layer."""
    return keras.Sequential([keras.Input(shape), layers.LSTM(64), layers.Dense(10)])


NETWORKS = {
    "small": Network("6 layers of 64 units, 64 samples", lambda shape: perceptron(shape, 6), (64, 64)),
    "wide": Network("4 layers of 512 units, 128 samples", lambda shape: perceptron(shape, 4), (128, 512)),
    "conv": Network("9 convolutions of 32 filters, 32 images of 16 × 16", convolutions, (32, 16, 16, 3)),
    "attention": Network("2 blocks of width 128, 16 sequences of 32", attention, (16, 32, 128)),
    "lstm": Network("1 LSTM of 64 units, 32 sequences of 50", recurrence, (32, 50, 8)),
}


def ready(network: Network) -> keras.Model:
    """The network, compiled, from the same weights each time."""
    keras.utils.set_random_seed(0)
    model = network.make(network.batch[1:])
    model.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def drawn(network: Network, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels without a meaning."""
    chance = np.random.default_rng(0)
    rows = batches * network.batch[0]
    return chance.normal(size=(rows, *network.batch[1:])).astype(np.float32), chance.integers(0, 10, rows)


def recorded_step(network: Network) -> tuple[float, float, float]:
    """Seconds of a plain step, and by which share a recorded one with its rows is longer, and one that is guarded."""
    model = ready(network)
    model.optimizer.build(model.trainable_variables)
    data = tuple(keras.ops.convert_to_tensor(each) for each in drawn(network, 1))
    found: list[Taken] = []

    def failed(error: BaseException) -> None:
        raise error

    dispatch, rows = Dispatch(model, found.append, failed), Rows()
    guard = Dispatch(model, found.append, failed, lambda held: None)
    guard.looks = False
    model.make_train_function()
    own = model.train_function

    def plain() -> None:
        own(iter([data]))

    def recorded() -> None:
        dispatch.once(data)
        rows.add(Step(len(rows.steps), found[-1].numbers, found[-1].layout, skips=False, accumulates=False))

    kinds = (plain, recorded, lambda: guard.once(data))
    for step in kinds * 2:
        step()
    pairs = []
    for _ in range(PAIRS_OF_STEPS):
        seconds = []
        for step in kinds:
            began = time.process_time()
            for _ in range(5):
                step()
            seconds.append((time.process_time() - began) / 5)
        pairs.append(seconds)
    longer = [median(each[kind] / each[0] for each in pairs) - 1.0 for kind in (1, 2)]
    return median(each[0] for each in pairs), longer[0], longer[1]


class Clock(keras.callbacks.Callback):
    """The process's seconds from a fit's step `BEGINNING` to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.began, self.ended = 0, 0.0, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note when."""
        self.steps += 1
        self.ended = time.process_time()
        if self.steps == BEGINNING:
            self.began = self.ended


def whole_fit(network: Network, step: float, folder: Path) -> tuple[float, list[float]]:
    """By which share `every="auto"` made fits longer, the first steps apart, and what each record itself says."""
    batches = BEGINNING + max(200, round(SECONDS_OF_FIT / step))
    x, y = drawn(network, 20)
    shares, said = [], []
    for number in range(PAIRS_OF_FITS):
        seconds = []
        for records in (False, True) if number % 2 else (True, False):
            clock, model = Clock(), ready(network)
            callbacks = [clock, Recorder(folder / f"{number}", report=False, live=False)] if records else [clock]
            model.fit(x, y, network.batch[0], epochs=-(-batches // 20), verbose=0, callbacks=callbacks)
            seconds.append((records, clock.ended - clock.began))
            if records:
                timings = read_tables(folder / f"{number}")["timings"]
                said.append(float(timings["measure_seconds"].iloc[0] / timings["train_seconds"].iloc[0]))
        taken = dict(seconds)
        shares.append(taken[True] / taken[False] - 1.0)
    return median(shares), said


def main(wanted: list[str]) -> None:
    """Print a row for each network."""
    print('| network | a step, ms | recorded, longer by | guarded alone | every="auto", longer by | it says |')
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, network in NETWORKS.items():
            if wanted and name not in wanted:
                continue
            step, longer, guarded = recorded_step(network)
            share, said = whole_fit(network, step, Path(folder) / name)
            print(
                f"| {network.said} | {1e3 * step:.1f} | {100 * longer:.0f} % | {100 * guarded:.0f} % | "
                f"{100 * share:.1f} % | "
                f"{100 * median(said):.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
