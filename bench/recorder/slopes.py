"""What an activation is, on whichever backend: its name, its largest slope, and of how many numbers it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

LOOKED = 2**13  # numbers of a layer that are looked at, about
FEWEST = 4  # samples at least, if there are as many
INNER, GROWS = 4.0, 1.5  # a slope beyond ±4 that is as many times the largest within
GRID = np.linspace(-8.0, 8.0, 401, dtype=np.float32)
RELU = ("relu",)


def largest_slope(computed: Callable[[np.ndarray], Any]) -> float | None:
    """The largest slope on [-8, 8] of what computes an activation of numbers [1, n], on whichever backend.

    None where it is not a function of each number alone, and where it grows without bound, as exp's: any slope is small
    beside one further out.
    """
    try:
        value = np.ravel(computed(GRID[None]))
        parts = [np.ravel(computed(part[None])) for part in (GRID[:150], GRID[150:])]
    except Exception:  # an activation of a user's own: nothing is said of its slope
        return None
    if value.shape != GRID.shape or not np.allclose(value, np.concatenate(parts), rtol=1e-4, atol=1e-6):
        return None
    slopes = np.abs(np.diff(value) / np.diff(GRID))
    slope, inner = float(slopes.max()), float(slopes[np.abs(GRID[1:]) <= INNER].max())
    return slope if 0.0 < slope <= GROWS * inner else None


def name_of(activation: Any) -> str:
    """An activation by the name of its function; of a layer `relu` if it is that, else nothing."""
    if isinstance(activation, keras.layers.ReLU):
        return "" if _bent(activation) else "relu"
    return str(getattr(activation, "__name__", ""))


def is_own(activation: Any) -> bool:
    """Whether it is a layer's own, so that its input is the pre-activation, and not a layer behind a normalization."""
    return not isinstance(activation, keras.layers.Layer)


def _bent(layer: Any) -> bool:
    """Whether a ReLU layer is another function than relu."""
    return bool(layer.negative_slope or layer.threshold or layer.max_value)
