"""A user's own activation, from a plain function of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.errors import BenchError
from bench.theory.activations import Array, Function, Nonlinearity

STEP = 1e-3  # of the difference quotient, times max(1, |z|)


def nonlinearity_of(
    function: Function, slope: Function | None = None, kinks: Sequence[float] = (), name: str = ""
) -> Nonlinearity:
    """An activation from a function that maps an array to an array of its shape.

    Args:
        function: phi, elementwise and continuous.
        slope: phi'. Without it, a central difference of fourth order stands in; `slope_error` bounds what that costs.
        kinks: where phi' jumps. Expectations keep their digits only if they are named.
        name: what messages call it; by default the function's own name.

    Raises:
        BenchError: the function is not finite, or does not keep its argument's shape.
    """
    spelt = name or getattr(function, "__name__", "own activation")
    value = partial(_checked, function, spelt)
    corners = tuple(sorted(map(float, kinks)))
    derivative = partial(_checked, slope, spelt) if slope is not None else partial(_difference, value, corners)
    made = Nonlinearity(spelt, spelt, value, derivative, corners)
    made.slope(np.linspace(-3.0, 3.0, 7))
    return made


def slope_error(nonlinearity: Nonlinearity) -> float:
    """Largest difference on [-8, 8] between the slope and a difference quotient of twice the usual step.

    It bounds the error of a slope by difference quotient, whose error falls sixteenfold when the step is halved; for
    a slope that was given it says how far slope and value disagree. Points within a step of a kink are left out.
    """
    z = np.linspace(-8.0, 8.0, 1601)
    reach = 4.0 * STEP * np.maximum(1.0, np.abs(z))
    near = [np.abs(z - kink) <= reach for kink in nonlinearity.kinks]
    z = z[~np.any(near, axis=0)] if near else z
    other = _quotient(nonlinearity.value, z, 2.0 * STEP * np.maximum(1.0, np.abs(z)))
    return float(np.abs(other - nonlinearity.slope(z)).max())


def _checked(function: Function, name: str, z: Array) -> Array:
    array = np.asarray(z, np.float64)
    found = np.asarray(function(array), np.float64)
    if found.shape != array.shape:
        raise BenchError(f"{name} maps an array of shape {array.shape} to shape {found.shape}: it must be elementwise.")
    if not np.isfinite(found).all():
        raise BenchError(f"{name} is not finite at {array[~np.isfinite(found)].flat[0]:g}.")
    return found


def _difference(value: Function, kinks: tuple[float, ...], z: Array) -> Array:
    """The difference quotient, whose step shrinks beside a kink so that it does not reach across."""
    array = np.asarray(z, np.float64)
    step = STEP * np.maximum(1.0, np.abs(array))
    for kink in kinks:
        step = np.minimum(step, np.maximum(np.abs(array - kink) / 2.5, 1e-7))
    return _quotient(value, array, step)


def _quotient(value: Function, z: Array, step: Array) -> Array:
    wide = (value(z + 2.0 * step) - value(z - 2.0 * step)) / (4.0 * step)
    near = (value(z + step) - value(z - step)) / (2.0 * step)
    return np.asarray((4.0 * near - wide) / 3.0, np.float64)
