"""How much a suite's numbers vary without any change: between replicates of a cell. Margins follow from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.analysis.compare.model import Margin
from bench.analysis.compare.responses import Response
from bench.analysis.tables import Indices, Reals


def margin_of(response: Response, values: Reals, cell: Indices, given: Mapping[str, float]) -> Margin:
    """A response's margin: the larger of its own least one and the noise of BASE's `values`, or the one that is given.

    The noise is the standard deviation between replicates of a cell, median over cells: half of them vary by less
    although nothing changed. A mean would be that of the few cells in which some runs learn and others do not.
    """
    known = ~np.isnan(values)
    grouped = pd.Series(values[known]).groupby(cell[known], sort=False)
    several = grouped.count() > 1
    noise = float(grouped.std()[several].median()) if several.any() else np.nan
    margin = given.get(response.name, response.margin if np.isnan(noise) else max(response.margin, noise))
    apart = float((grouped.max() - grouped.min())[several].max()) if several.any() else response.most
    return Margin(response.name, margin, noise, max(apart, margin), response.name in given)
