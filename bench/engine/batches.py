"""Which training rows each step of each run sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.engine.initial import derive_seed
from bench.plan import Run


def batches(runs: Sequence[Run], rows: int, batch: int, steps: int) -> Iterator[np.ndarray]:
    """Row indices [R, batch] for each step. Runs of one replicate see the same rows in the same order.

    Each epoch is a new permutation without replacement; the rows left over at its end are not used in it.
    """
    seeds = list(dict.fromkeys(run.seed for run in runs))
    position = np.array([seeds.index(run.seed) for run in runs])
    orders = [_endless(seed, rows, batch) for seed in seeds]
    for _ in range(steps):
        yield np.stack([next(order) for order in orders])[position].astype(np.int32)


def _endless(seed: int, rows: int, batch: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(derive_seed(seed, "batches", 0))
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows - batch + 1, batch):
            yield order[start : start + batch]


def sample_rows(rows: int, count: int) -> np.ndarray:
    """A fixed sample of the training rows, the same in every run: probes and `train` evaluations look at it."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])
