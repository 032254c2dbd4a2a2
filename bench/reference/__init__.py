"""Reference results: the runs of shipped suites, as they came out on the machine and the versions named with them.

They ship with the package, so that a network from elsewhere can be set beside them. A row is a run, not a cell: pairs
of runs with one draw and one order of data are what remedies and comparisons count. docs/design.md says more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import ResultsError, nearest
from bench.factors import FACTORS

DATA = Path(__file__).with_name("data")
# In which what to try is counted: the others ask for something else, in few steps, or of one kind of data.
ADVISING = ("default", "recurrent", "conv", "transformer")
VERDICTS = ("status", "outcome", "symptom_start", "severe_start", "symptom_end", "symptom_in_time")
MEASURED = (
    "naive_loss", "chance_accuracy", "final_validation_accuracy", "final_validation_loss", "final_train_loss",
    "best_validation_accuracy", "signal_ratio_start", "signal_ratio_end", "decay_rate_start", "weight_ratio_start",
    "update_ratio_start", "time_ratio_start", "steps_to_divergence", "loss_area", "seconds_per_step",
)  # fmt: skip
COLUMNS = ("cell_key", "replicate", *FACTORS, *VERDICTS, *MEASURED)
SECONDS = "seconds_per_step"
_WORDS = b"gradtrial"


@dataclass(frozen=True)
class Reference:
    """A suite's runs as judged, and what made them.

    Attributes:
        suite: its name.
        runs: one row a run: `COLUMNS`, of which those are left out that the suite does not have. `seconds_per_step` is
            training time per run and step: NaN where none was kept, as of a machine that had other work.
        title, question: the suite's.
        sha256: of the suite's file.
        versions, machine: as the manifest of its results has them.
    """

    suite: str
    runs: pd.DataFrame
    title: str
    question: str
    sha256: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]

    @property
    def timed(self) -> bool:
        """Whether times were kept."""
        return SECONDS in self.runs and bool(self.runs[SECONDS].notna().any())


def write(reference: Reference, folder: Path = DATA) -> Path:
    """Write a reference as FOLDER/SUITE.parquet and return its path; the same runs give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    words = {name: getattr(reference, name) for name in ("title", "question", "sha256", "versions", "machine")}
    columns = [name for name in COLUMNS if name in reference.runs and (name != SECONDS or reference.timed)]
    table = pa.Table.from_pandas(reference.runs[columns], preserve_index=False)
    path = folder / f"{reference.suite}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({_WORDS: json.dumps(words)}), path, compression="zstd")
    return path


def names(folder: Path = DATA) -> tuple[str, ...]:
    """The suites that have reference results, in order of name."""
    return tuple(sorted(path.stem for path in folder.glob("*.parquet")))


@cache
def read(suite: str, folder: Path = DATA) -> Reference:
    """The reference results of a suite.

    Raises:
        ResultsError: it has none, or the file is not one of ours.
    """
    if suite not in names(folder):
        raise ResultsError(f"{suite}: no reference results. {nearest(suite, names(folder))}")
    path = folder / f"{suite}.parquet"
    try:
        table = pq.read_table(path)
        words = json.loads((table.schema.metadata or {})[_WORDS])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise ResultsError(f"{path}: not a reference of gradtrial ({type(error).__name__}).") from None
    runs = table.to_pandas()
    return Reference(suite, runs if SECONDS in runs else runs.assign(**{SECONDS: float("nan")}), **words)
