"""The task `shapes`: images of outlines whose kind is asked for, wherever they stand and however large they are."""

from __future__ import annotations

import numpy as np

from bench.engine.tasks import Arrays, both

SMALLEST, LARGEST = 5, 11  # pixels of an outline's side
KINDS = 4  # disc, square, cross, triangle


def shapes(size: int, noise: float, rows: int) -> Arrays:
    """Images [rows, size, size, 1] of one outline each, 1 on 0, and its kind [rows]: disc, square, cross, triangle.

    An outline's side is 5 to 11 pixels, its place anywhere within the image, all equally likely; to each pixel a
    normal number of standard deviation `noise` is added.
    """
    outlines = [[outline(kind, side) for side in range(SMALLEST, LARGEST + 1)] for kind in range(KINDS)]

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        kind, side = rng.integers(0, KINDS, count), rng.integers(SMALLEST, LARGEST + 1, count)
        top, left = rng.integers(0, size - side + 1, (2, count))
        x = rng.standard_normal((count, size, size, 1), np.float32)
        x *= noise
        for row, (k, s, a, b) in enumerate(zip(kind, side, top, left, strict=True)):
            x[row, a : a + s, b : b + s, 0] += outlines[k][s - SMALLEST]
        return x, kind

    return both(draw, rows)


def outline(kind: int, side: int) -> np.ndarray:
    """Ones where the outline of a kind is in its square of side pixels, else zeros: [side, side] float32."""
    row, column = np.indices((side, side))
    last, half = side - 1, (side - 1) / 2
    if kind == 0:
        drawn = np.abs(np.hypot(row - half, column - half) - half) < 0.5
    elif kind == 1:
        drawn = (row % last == 0) | (column % last == 0)
    elif kind == 2:
        drawn = (row == side // 2) | (column == side // 2)
    else:  # from the middle of the top to the ends of the bottom
        drawn = (row == last) | (np.abs(np.abs(column - half) - row / 2) <= 0.5)
    return drawn.astype(np.float32)
