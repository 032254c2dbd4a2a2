"""Learning rates that change are Keras's own schedules, at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras.optimizers import schedules

from bench.engine.schedules import course_of, rates
from bench.factors import FACTORS
from bench.plan import Run
from tests.cohorts import cohorts

STEPS, RATE, RISING = 40, 0.3, 7
CASES: list[tuple[dict[str, Any], Any]] = [
    ({"level": "cosine_decay"}, lambda left: schedules.CosineDecay(RATE, left)),
    ({"level": "cosine_decay", "decay_steps": 9, "alpha": 0.2}, lambda _: schedules.CosineDecay(RATE, 9, 0.2)),
    (
        {"level": "cosine_decay_restarts", "first_decay_steps": 6, "m_mul": 0.7},
        lambda _: schedules.CosineDecayRestarts(RATE, 6, m_mul=0.7),
    ),
    (
        {"level": "cosine_decay_restarts", "first_decay_steps": 6, "t_mul": 1, "alpha": 0.1},
        lambda _: schedules.CosineDecayRestarts(RATE, 6, t_mul=1.0, alpha=0.1),
    ),
    ({"level": "exponential_decay"}, lambda left: schedules.ExponentialDecay(RATE, left, 0.1)),
    (
        {"level": "exponential_decay", "decay_steps": 10, "decay_rate": 0.5, "staircase": True},
        lambda _: schedules.ExponentialDecay(RATE, 10, 0.5, staircase=True),
    ),
    (
        {"level": "polynomial_decay", "end_learning_rate": 0.03, "power": 2},
        lambda left: schedules.PolynomialDecay(RATE, left, 0.03, 2.0),
    ),
    (
        {"level": "polynomial_decay", "decay_steps": 9, "cycle": True},
        lambda _: schedules.PolynomialDecay(RATE, 9, cycle=True),
    ),
    (
        {"level": "inverse_time_decay", "decay_steps": 5, "decay_rate": 0.5, "staircase": True},
        lambda _: schedules.InverseTimeDecay(RATE, 5, 0.5, staircase=True),
    ),
    ({"level": "inverse_time_decay"}, lambda left: schedules.InverseTimeDecay(RATE, left, 1.0)),
]


def runs_of(schedule: str, warmup: str = '["none"]', rate: str = f"[{RATE}]", replicates: int = 1) -> tuple[Run, ...]:
    factors = f"schedule = {schedule}\nwarmup = {warmup}\nlearning_rate = {rate}"
    (cohort,) = cohorts(factors, f"steps = {STEPS}", replicates)
    return cohort.runs


def spelt(written: dict[str, Any]) -> str:
    words = {name: str(each).lower() if isinstance(each, bool) else repr(each) for name, each in written.items()}
    return f"[{{ {', '.join(f'{name} = {word}' for name, word in words.items())} }}]"


def test_every_schedule_is_compared() -> None:
    levels = {level.name for level in FACTORS["schedule"].levels}
    assert levels == {written["level"] for written, _ in CASES} | {"none"}


@pytest.mark.parametrize(("written", "keras_s"), CASES, ids=lambda each: spelt(each) if isinstance(each, dict) else "")
def test_a_schedule_is_keras_s_own_at_every_step_after_any_warm_up(written: dict[str, Any], keras_s: Any) -> None:
    plain, risen = runs_of(spelt(written), f'["none", {{ level = "linear", steps = {RISING} }}]')
    for run, rising in ((plain, 0), (risen, RISING)):
        expected = [float(keras_s(STEPS - rising)(step)) for step in range(STEPS + 1 - rising)]
        np.testing.assert_allclose(course_of(run)[rising:], expected, 1e-6, 1e-9)


def test_a_warm_up_is_that_of_keras_s_cosine_decay() -> None:
    (cosine,) = runs_of('["cosine_decay"]', f'[{{ level = "linear", steps = {RISING} }}]')
    both = schedules.CosineDecay(RATE / (RISING + 1), STEPS - RISING, warmup_target=RATE, warmup_steps=RISING)
    course = course_of(cosine)
    np.testing.assert_allclose(course, [float(both(step)) for step in range(STEPS + 1)], 1e-6, 1e-9)
    np.testing.assert_allclose(course[: RISING + 1], RATE * np.arange(1, RISING + 2) / (RISING + 1), 1e-6)
    (alone,) = runs_of('["none"]', f'[{{ level = "linear", steps = {RISING} }}]')
    assert (course_of(alone)[RISING:] == np.float32(RATE)).all()


def test_runs_of_one_course_share_it() -> None:
    runs = runs_of('["none", "cosine_decay"]', rate="[0.1, 0.2]", replicates=3)
    table, place = rates(runs)
    assert table.shape == (STEPS + 1, 4)
    for run, at in zip(runs, place.numpy(), strict=True):
        np.testing.assert_array_equal(table.numpy()[:, at], course_of(run))
