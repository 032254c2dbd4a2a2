"""An activation as theory takes it: value and slope in numpy, of a level of the catalogue or of a user's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError, SuiteError, nearest
from bench.factors import FACTORS, ActivationLevel

Array = npt.NDArray[np.float64]
Function = Callable[[Any], Array]

STEP = 1e-3  # of the difference quotient, times max(1, |z|)


@dataclass(frozen=True)
class Nonlinearity:
    """One activation. `value` and `slope` map an array, or a number, to an array of its shape."""

    name: str
    formula: str  # of phi(z)
    value: Function
    slope: Function
    kinks: tuple[float, ...] = ()  # where the slope jumps

    @property
    def steepest(self) -> float:
        """Largest |phi'| on the grid on which the tables' `saturated_fraction` seeks it: [-8, 8] in 128ths."""
        return float(np.abs(self.slope(np.linspace(-8.0, 8.0, 2049))).max())


def activation(name: str, settings: Mapping[str, object] | None = None) -> Nonlinearity:
    """The activation that the catalogue calls `name`.

    Args:
        name: a level of the factor `activation`, e.g. `tanh`.
        settings: what departs from Keras's defaults: `negative_slope` of leaky_relu, `alpha` of elu and celu.

    Raises:
        SuiteError: no formula is known under that name (a plugin's, say), or it has no such setting, or a setting is
            not a number.
    """
    level = FACTORS["activation"].level(name)
    if not isinstance(level, ActivationLevel):
        names = [each.name for each in FACTORS["activation"].levels]
        raise SuiteError(f'No formula is known for the activation "{name}". {nearest(name, names)}')
    given = dict(settings or {})
    known = tuple(signature(level.formula).parameters)
    for setting, value in given.items():
        if setting not in known:
            raise SuiteError(
                f'"{setting}" is not a setting of {name}. {nearest(setting, known) if known else ""}'.strip()
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SuiteError(f"{setting} of {name} must be a number, not {value!r}.")
    return _made(name, tuple(sorted(given.items())))


@lru_cache(maxsize=256)
def _made(name: str, settings: tuple[tuple[str, Any], ...]) -> Nonlinearity:
    """One object for each activation, so that networks with the same one are equal."""
    level = FACTORS["activation"].level(name)
    assert isinstance(level, ActivationLevel)
    made = level.formula(**dict(settings))
    return Nonlinearity(name, made.text, partial(_on_array, made.value), partial(_on_array, made.slope), made.kinks)


def _on_array(function: Function, z: Any) -> Array:
    array = np.asarray(z, np.float64)
    return np.asarray(function(array), np.float64)


def nonlinearity_of(
    function: Function, slope: Function | None = None, kinks: Sequence[float] = (), name: str = ""
) -> Nonlinearity:
    """An activation from a function that maps an array to an array of its shape.

    Args:
        function: phi, elementwise and continuous.
        slope: phi'. Without it, a central difference of fourth order stands in, exact to 1e-10 for tanh.
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
