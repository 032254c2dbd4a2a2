"""Activations with which a network goes wrong at once: suites name them as `odd_activations:log_relu`."""

from __future__ import annotations

from typing import Any

from keras import ops


def log_relu(x: Any) -> Any:
    """−∞ wherever x is not positive."""
    return ops.log(ops.relu(x))


def root(x: Any) -> Any:
    """NaN wherever x is negative."""
    return ops.sqrt(x)


def exp(x: Any) -> Any:
    """It has no largest slope."""
    return ops.exp(x)


def cut(x: Any) -> Any:
    """Nothing reaches its slope."""
    return ops.relu(x - 10.0)
