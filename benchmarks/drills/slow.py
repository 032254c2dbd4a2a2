"""`bench`, but a dry cohort takes a while, so that there is something to disturb."""

from __future__ import annotations

import os
import time

import pyarrow as pa

from bench import cli
from bench.commands import run
from bench.engine import dry
from bench.executors import child
from bench.plan import Cohort

SECONDS = float(os.environ.get("DRILL_SECONDS", "0.15"))


def train_cohort(cohort: Cohort) -> dict[str, pa.Table]:
    """What the dry engine gives, later."""
    time.sleep(SECONDS)
    return dry.train_cohort(cohort)


if __name__ == "__main__":
    child.GRACE_SECONDS = float(os.environ.get("DRILL_GRACE", child.GRACE_SECONDS))
    run.DRY = "benchmarks.drills.slow:train_cohort"
    cli.main()
