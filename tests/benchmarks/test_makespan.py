"""The simulated makespan on cohorts whose schedule is plain."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.makespan import START_SECONDS, costs, makespan


def test_the_longest_goes_first_and_is_the_floor() -> None:
    assert makespan([1, 1, 1, 3], 1) == START_SECONDS + 6
    assert makespan([1, 1, 1, 3], 2) == START_SECONDS + 3
    assert makespan([1, 1, 1, 3], 100) == START_SECONDS + 3


def test_a_split_cohort_pays_for_its_graph_again() -> None:
    times = {"runs": [4, 1], "build_seconds": 1.0, "trace_seconds": 2.0, "train_seconds": 7.0, "measure_seconds": 1.0}
    timings = pd.DataFrame(times)
    assert costs(timings, 1) == [11.0, 11.0]
    assert costs(timings, 2) == [7.0, 7.0, 11.0]
    assert sum(costs(timings, 4)) == pytest.approx(4 * 5.0 + 11.0)
