"""Rows scaled by what the training rows say of them, and never by the validation rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import numpy as np

from bench.errors import DataError

UNIT = "unit_mean_square"
BLOCK_ROWS = 8192  # rows that are held in double precision at once: images would take several GB
QUARTILES = (25.0, 50.0, 75.0)


def scaled(
    where: str, parts: Sequence[np.ndarray], preprocessing: str, *, by_feature: bool = False
) -> list[np.ndarray]:
    """Each part [rows, features...] as float32, scaled by the first, in double precision block by block.

    `by_feature`: sequences [rows, steps, features], each feature over rows and steps. The catalogue's own are
    scaled step by step, as ever: their runs stay what they are. A feature that does not vary over the training rows
    becomes 0, one whose quartiles alone are equal is divided by 1 (as by scikit-learn's RobustScaler).

    Args:
        where: the data, for a message: "dataset ...: x".
        parts: the training rows first.
        preprocessing: a level of `preprocessing` or of `target_preprocessing`.

    Raises:
        DataError: a number is too large for it.
    """
    train = parts[0]
    axes = (0, 1) if by_feature else (0,)
    limit = np.finfo(np.float32).max
    with np.errstate(all="ignore"):  # what overflows is refused below
        center, spread = _statistics(train, preprocessing, axes)
        made = [np.empty(x.shape, np.float32) for x in parts]
        fits = bool(np.max(np.abs(spread), initial=0.0) <= limit)
        for x, out in zip(parts, made, strict=True):
            for start, block in zip(range(0, len(x), BLOCK_ROWS), _blocks(x), strict=True):
                each = (block - center) / spread
                fits = fits and bool(np.abs(each).max() <= limit)
                out[start : start + len(block)] = _unit_mean_square(each) if preprocessing == UNIT else each
    if not fits:
        raise DataError(f"{where} holds numbers that are too large to be scaled.")
    return made


def _statistics(train: np.ndarray, preprocessing: str, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What is taken from each feature, and what the rest is divided by, in double precision."""
    if preprocessing == "none":
        return np.zeros(()), np.ones(())
    low, high = (np.asarray(edge, np.float64) for edge in (train.min(axis=axes), train.max(axis=axes)))
    # A feature that never varies may have a tiny spread by rounding: dividing by it would make noise of it.
    varies = high - low > 0
    if preprocessing == "scale":
        return low, np.where(varies, high - low, 1.0)
    if preprocessing == "robust":
        first, median, third = _quartiles(train, axes)
        return median, np.where(varies & (third > first), third - first, 1.0)
    count = int(np.prod([train.shape[axis] for axis in axes]))
    mean = _sum(_blocks(train), axes) / count
    std = np.sqrt(_sum((np.square(block - mean) for block in _blocks(train)), axes) / count)
    return mean, np.where(varies, std, 1.0)


def _quartiles(train: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The quartiles of each feature, [3, features...], a few features in double precision at once."""
    shape = train.shape[len(axes) :]
    columns = train.reshape(-1, int(np.prod(shape)))
    at_once = max(1, BLOCK_ROWS * 256 // len(columns))
    starts = range(0, columns.shape[1], at_once)
    parts = [np.percentile(columns[:, k : k + at_once].astype(np.float64), QUARTILES, axis=0) for k in starts]
    return np.concatenate(parts, axis=1).reshape(3, *shape)


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
