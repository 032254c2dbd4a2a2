"""A factor's levels in order: runs are stored the largest cohort first, so the order of rows is not the suite's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def coded_levels(column: pd.Series) -> tuple[NDArray[np.int64], list[object]]:
    """Each row's level as a number from 0, and the levels that occur, in order.

    An ordered or plain category has its own order, numbers ascend, and words come as the rows do. Give words as
    categories where the suite's order matters.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories()
        return used.cat.codes.to_numpy(np.int64), used.cat.categories.tolist()
    code, found = pd.factorize(column, sort=pd.api.types.is_numeric_dtype(column.dtype))
    return code.astype(np.int64), list(found)
