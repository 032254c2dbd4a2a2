"""The catalogue's activations as numpy functions: value, slope and formula, without TensorFlow.

Settings and their defaults are Keras's. Everything is computed in double precision and stays finite wherever the true
value is, however large the argument. At a kink the slope is the one that TensorFlow gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erfc, expit

from bench.errors import SuiteError, nearest

Array = npt.NDArray[np.float64]
Function = Callable[[Any], Array]

# Klambauer et al. 2017, the constants of Keras and TensorFlow.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


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
    if name not in _MAKERS:
        raise SuiteError(f'No formula is known for the activation "{name}". {nearest(name, _MAKERS)}')
    given = dict(settings or {})
    known = tuple(signature(_MAKERS[name]).parameters)
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
    formula, value, slope, *kinks = _MAKERS[name](**dict(settings))
    return Nonlinearity(name, formula, partial(_on_array, value), partial(_on_array, slope), tuple(map(float, kinks)))


def _on_array(function: Function, z: Any) -> Array:
    array = np.asarray(z, np.float64)
    return np.asarray(function(array), np.float64)


def _sech2(z: Array) -> Array:
    """1 / cosh(z)^2, without the cancellation of 1 - tanh(z)^2."""
    small = np.exp(-2.0 * np.abs(z))
    return 4.0 * small / (1.0 + small) ** 2


def _normal_density(z: Array) -> Array:
    density: Array = np.exp(-0.5 * np.clip(z, -40.0, 40.0) ** 2) / np.sqrt(2.0 * np.pi)
    return density


def _normal_distribution(z: Array) -> Array:
    share: Array = 0.5 * erfc(-z / np.sqrt(2.0))
    return share


def _hard_sigmoid(z: Array) -> Array:
    return np.clip(z + 3.0, 0.0, 6.0) / 6.0


def _inside(z: Array, low: float, high: float) -> Array:
    return ((z > low) & (z < high)).astype(np.float64)


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _mish_slope(z: Array) -> Array:
    soft = _softplus(z)
    slope: Array = np.tanh(soft) + z * _sech2(soft) * expit(z)
    return slope


def _exponential(alpha: float, scale: float, at_zero: float, stretch: float = 1.0) -> tuple[Function, Function]:
    """The elu family: scale z, or scale alpha (exp(z / stretch) - 1) where z is negative; value and slope."""

    def value(z: Array) -> Array:
        return scale * np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0) / stretch))

    def slope(z: Array) -> Array:
        below = alpha / stretch * np.exp(np.minimum(z, 0.0) / stretch)
        return scale * np.where(z > 0.0, 1.0, np.where(z == 0.0, at_zero, below))

    return value, slope


def _relu() -> tuple[Any, ...]:
    return "max(0, z)", lambda z: np.maximum(z, 0.0), lambda z: _inside(z, 0.0, np.inf), 0


def _leaky_relu(negative_slope: float = 0.2) -> tuple[Any, ...]:
    return (
        f"z, or {negative_slope:g} z where z < 0",
        lambda z: np.where(z > 0.0, z, negative_slope * z),
        lambda z: np.where(z > 0.0, 1.0, negative_slope),
        0,
    )


def _elu(alpha: float = 1.0) -> tuple[Any, ...]:
    formula = "exp(z) − 1" if alpha == 1.0 else f"{alpha:g} (exp(z) − 1)"
    return f"z, or {formula} where z < 0", *_exponential(alpha, 1.0, alpha), *([] if alpha == 1.0 else [0])


def _celu(alpha: float = 1.0) -> tuple[Any, ...]:
    formula = "exp(z) − 1" if alpha == 1.0 else f"{alpha:g} (exp(z / {alpha:g}) − 1)"
    # The slope at 0 is 1 from both sides. Keras adds both and gives 2 at exactly 0, which is not copied.
    return f"z, or {formula} where z < 0", *_exponential(alpha, 1.0, 1.0, alpha)


def _selu() -> tuple[Any, ...]:
    formula = f"{SELU_SCALE:.4f} z, or {SELU_SCALE * SELU_ALPHA:.4f} (exp(z) − 1) where z < 0"
    return formula, *_exponential(SELU_ALPHA, SELU_SCALE, 1.0), 0


# Name: a maker of formula, value, slope and kinks; its arguments are the settings.
_MAKERS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "linear": lambda: ("z", np.positive, np.ones_like),
    "sigmoid": lambda: ("1 / (1 + exp(−z))", expit, lambda z: expit(z) * expit(-z)),
    "hard_sigmoid": lambda: (
        "min(max(0, z + 3), 6) / 6", _hard_sigmoid, lambda z: _inside(z, -3.0, 3.0) / 6.0, -3, 3,
    ),
    "tanh": lambda: ("tanh(z)", np.tanh, _sech2),
    "softsign": lambda: ("z / (1 + |z|)", lambda z: z / (1.0 + np.abs(z)), lambda z: (1.0 / (1.0 + np.abs(z))) ** 2),
    "softplus": lambda: ("log(1 + exp(z))", _softplus, expit),
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "gelu": lambda: (
        "z Φ(z), Φ the normal distribution function",
        lambda z: z * _normal_distribution(z),
        lambda z: _normal_distribution(z) + z * _normal_density(z),
    ),
    "silu": lambda: (
        "z / (1 + exp(−z))", lambda z: z * expit(z), lambda z: expit(z) * (1.0 + z * expit(-z)),
    ),
    "mish": lambda: ("z tanh(log(1 + exp(z)))", lambda z: z * np.tanh(_softplus(z)), _mish_slope),
    "hard_silu": lambda: (
        "z min(max(0, z + 3), 6) / 6",
        lambda z: z * _hard_sigmoid(z),
        lambda z: _hard_sigmoid(z) + z * _inside(z, -3.0, 3.0) / 6.0,
        -3, 3,
    ),
    "relu6": lambda: ("min(max(0, z), 6)", lambda z: np.clip(z, 0.0, 6.0), lambda z: _inside(z, 0.0, 6.0), 0, 6),
}  # fmt: skip
