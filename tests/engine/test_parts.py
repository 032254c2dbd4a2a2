"""The guarantee on which splitting rests: in training, a run's numbers do not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from bench.environment import machine, worker_settings
from bench.executors.child import Status
from bench.executors.driver import Driver, Outcome
from bench.executors.local import LocalExecutor
from bench.executors.tables import join, without
from tests.cohorts import EVALUATED, cohorts
from tests.inline import InlineExecutor

FACTORS = 'clipping = ["value", "global_norm"]'
FIXED = 'depth = 3\nwidth = 24\nsteps = 8\noptimizer = "adam"'


@pytest.mark.full
@pytest.mark.parametrize(
    ("normalization", "kind"), [("none", InlineExecutor), ("batch_normalization", lambda: LocalExecutor(2))]
)
def test_a_cohort_that_failed_in_one_run_holds_all_others_bit_for_bit(
    normalization: str, kind: Callable[[], Any]
) -> None:
    (planned,) = cohorts(FACTORS, f'{FIXED}\nnormalization = "{normalization}"', 2, EVALUATED)
    with kind() as executor:
        undisturbed = executor.submit("bench.engine.train:train_cohort", planned).result().value
        events = Driver(executor, "tests.executors.targets:raise_in_training_if_poisoned").events([planned])
        outcomes = [event for event in events if isinstance(event, Outcome)]
    lost = [outcome for outcome in outcomes if outcome.answer.status is not Status.OK]
    assert [len(outcome.cohort.runs) for outcome in lost] == [1]
    gone = [run.run_id for outcome in lost for run in outcome.cohort.runs]
    kept = [dict(outcome.answer.value) for outcome in outcomes if outcome not in lost]
    joined, whole = without(join(planned, kept), gone), without(undisturbed, gone)
    assert joined["gradient_norms"].num_rows == 3 * 8 * 4
    for table in whole.keys() - {"timings"}:
        pd.testing.assert_frame_equal(joined[table].to_pandas(), whole[table].to_pandas(), check_exact=True)
    (timed,) = joined["timings"].to_pylist()
    assert timed["runs"] == 3 and timed["train_seconds"] > 0.0
    assert timed["train_processor_time"] is None or timed["train_processor_time"] > 0.0  # None beside a GPU
    assert timed["machine_busy"] is None or 0.0 <= timed["machine_busy"] <= 1.0


def test_whether_onednn_computes_is_told_without_tensorflow_as_tensorflow_tells_it() -> None:
    from tensorflow.python.util import _pywrap_util_port

    assert machine()["onednn"] == ("on" if _pywrap_util_port.IsMklEnabled() else "off")


@pytest.mark.parametrize(
    ("flags", "asked", "told", "word"),
    [
        ({"avx2"}, None, {"TF_ENABLE_ONEDNN_OPTS": "1"}, "on"),
        ({"avx2", "avx512_vnni"}, "0", {}, "off"),
        ({"sse4_2"}, None, {}, "off"),
        ({"sse4_2"}, "1", {}, "on"),
    ],
)
def test_workers_use_onednn_wherever_there_is_avx2_unless_the_user_said_otherwise(
    flags: set[str], asked: str | None, told: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if asked:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)
    monkeypatch.setattr("bench.environment._flags", lambda: flags)
    assert worker_settings() == told
    assert machine()["onednn"] == word
