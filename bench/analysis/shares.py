"""Shares of runs whose replicates are not independent, with an interval that owns up to it."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

CONFIDENCE = 0.95


def clustered_wilson(hits: int, runs: int, clusters: int) -> tuple[float, float]:
    """Wilson's 95 % interval of hits / runs with as many trials as there are clusters; (nan, nan) without any.

    Replicates of a cell share everything but the draw, so they say little more than one of them does. Counting cells
    takes them as fully alike: the interval is at least as wide as it must be. Formula: Wilson 1927, eq. 7.
    """
    if runs == 0 or clusters == 0:
        return (np.nan, np.nan)
    z = float(norm.ppf(0.5 + CONFIDENCE / 2.0))
    share, n = hits / runs, float(clusters)
    centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * np.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return (max(0.0, float(centre - half)), min(1.0, float(centre + half)))
