"""From a choice to the object it names, in Keras or in the user's own module."""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable
from typing import Any

from bench.errors import SuiteError
from bench.factors import FACTORS, ArchitectureLevel, Choice


def resolve(path: str) -> Callable[..., Any]:
    """The attribute that `module:name` points to.

    Raises:
        SuiteError: the module cannot be imported, or has no such attribute.
    """
    module, _, name = path.partition(":")
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except ImportError as error:
        raise SuiteError(f'"{path}": cannot import {module} ({error}). Is its folder on PYTHONPATH?') from error
    except AttributeError as error:
        version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", "")
        of = f" {module.partition('.')[0]} is version {version}." if version else ""
        raise SuiteError(f'"{path}": the module {module} has no attribute {name}.{of}') from error


def target_of(factor: str, choice: Choice) -> Callable[..., Any]:
    """What a choice builds: its level's target in Keras, or the plugin it names."""
    level = FACTORS[factor].level(choice.name)
    return resolve(level.target if level is not None else choice.name)


def architecture_level(name: str) -> ArchitectureLevel | None:
    """What an architecture says of itself: its level, or the attribute `level` that a function from outside may have.

    Raises:
        SuiteError: the function cannot be imported, or the attribute is something else.
    """
    level = FACTORS["architecture"].level(name)
    if level is None:
        level = getattr(resolve(name), "level", None)
        if level is not None and not isinstance(level, ArchitectureLevel):
            raise SuiteError(f'architecture "{name}": its level is a {type(level).__name__}, no ArchitectureLevel.')
    return level if isinstance(level, ArchitectureLevel) else None
