"""Dry results made as hard to compress as measured ones: formulas repeat themselves, trained networks do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CURVES = ("gradient_norms", "activations", "loss_curves", "evaluations")
SMALLEST_FACTOR = 0.8  # a tenth of a decade: about what replicates of a trained network differ by


def add_noise(results: Path) -> None:
    """Multiply every real number of the curves' tables by a factor of its own, even on 0.8 to 1, always the same."""
    rng = np.random.default_rng(0)
    for table in CURVES:
        for path in sorted((results / "tables" / table).glob("*.parquet")):
            pq.write_table(_noisy(pq.read_table(path), rng), path, compression="zstd", store_schema=True)
    shutil.rmtree(results / "digests", ignore_errors=True)  # they are of the tables before


def _noisy(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            factors = pa.array(rng.uniform(SMALLEST_FACTOR, 1.0, len(table)), field.type)
            table = table.set_column(index, field, pc.multiply(table.column(index), factors))
    return table
