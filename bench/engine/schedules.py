"""The learning rate of each run at each step, by Keras's own schedules."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bench.engine.targets import target_of
from bench.plan import Run


def is_scheduled(run: Run) -> bool:
    """Whether the learning rate of a run changes."""
    return not (run.choices["warmup"].is_none and run.choices["schedule"].is_none)


def rates(runs: Sequence[Run]) -> tuple[tf.Tensor, tf.Tensor]:
    """The different courses that the learning rates of runs take, [steps + 1, courses], and that of each run, [R]."""
    named = [tuple(run.choices[name] for name in ("learning_rate", "warmup", "schedule", "steps")) for run in runs]
    first = {course: index for index, course in reversed(list(enumerate(named)))}
    courses = sorted(first.values())
    table = np.stack([course_of(runs[index]) for index in courses], axis=1)
    return tf.constant(table), tf.constant([courses.index(first[course]) for course in named])


def course_of(run: Run) -> np.ndarray:
    """The learning rate of a run at each of its steps, and at the one after the last, [steps + 1], float32.

    In a warm-up of n updates update t has (t + 1) / (n + 1) of the rate, as `CosineDecay(rate / (n + 1), ...,
    warmup_target=rate, warmup_steps=n)` of Keras; the schedule counts from its end.
    """
    rate, steps = float(run.choices["learning_rate"].value or 0), int(run.choices["steps"].value or 0)
    warmup, schedule = run.choices["warmup"], run.choices["schedule"]
    rising = 0 if warmup.is_none else int(warmup.setting("steps"))
    course = np.full(steps + 1, rate, np.float32)
    if rising:
        line = keras.optimizers.schedules.PolynomialDecay(rate / (rising + 1), rising, rate)
        course[:rising] = _at(line, rising)
    if not schedule.is_none:
        settings = {name: steps - rising if each == "steps" else each for name, each in schedule.settings}
        course[rising:] = _at(target_of("schedule", schedule)(rate, **settings), steps + 1 - rising)
    return course


def _at(schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int) -> np.ndarray:
    return np.asarray(schedule(tf.range(steps, dtype=tf.float32)))
