"""Every level's target exists in the installed Keras and takes the level's settings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest

from bench.commands.check import lacking
from bench.engine.targets import resolve
from bench.errors import SuiteError
from bench.factors import FACTORS, DatasetLevel, Level
from tests.cohorts import cohorts

TARGETED = [(name, level) for name, factor in FACTORS.items() for level in factor.levels if level.target]

# What the engine translates, and where our default is meant to differ from Keras's.
TRANSLATED = {"position", "limit"}
FIXED = "width = 8\ndepth = 2\nsteps = 5\n"
OUR_DEFAULT = {("group_normalization", "groups"), ("momentum", "momentum")}


def _target(level: Level) -> Callable[..., Any]:
    module, name = level.target.split(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("factor", "level"), TARGETED, ids=[f"{name}-{level.name}" for name, level in TARGETED])
def test_target_takes_the_settings_with_keras_defaults(factor: str, level: Level) -> None:
    if level.since and tuple(map(int, keras.version().split(".")[:2])) < tuple(map(int, level.since.split("."))):
        with pytest.raises(SuiteError, match=keras.version()):
            resolve(level.target)
        return
    target = _target(level)
    if isinstance(level, DatasetLevel):
        assert callable(target if level.offline else target.load_data)
        return
    parameters = inspect.signature(target).parameters
    for name, setting in level.settings.items():
        if name in TRANSLATED:
            continue
        assert name in parameters
        if factor == "schedule" and parameters[name].default is inspect.Parameter.empty:
            continue  # Keras leaves it to its user
        if (level.name, name) not in OUR_DEFAULT:
            assert parameters[name].default == setting.default


def test_a_level_that_an_older_keras_lacks_is_named_before_anything_is_built() -> None:
    found = cohorts('normalization = ["none", "rms_normalization"]', FIXED)
    assert lacking(found, "3.9.0") == lacking(found, "3.15.1") == []
    assert lacking(found, "3.8.0") == [
        "normalization rms_normalization needs Keras 3.9 or newer, and 3.8.0 is installed."
    ]


def test_random_uniform_has_the_limits_of_keras() -> None:
    level = FACTORS["initializer"].level("random_uniform")
    assert level is not None
    parameters = inspect.signature(_target(level)).parameters
    limit = level.settings["limit"].default
    assert (parameters["minval"].default, parameters["maxval"].default) == (-limit, limit)
