"""Activations: the nonlinearity after each hidden layer. One record holds all that is known of one.

Settings of a formula and their defaults are Keras's. Everything is computed in double precision and stays finite
wherever the true value is, however large the argument. At a kink the slope is the one that TensorFlow gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.factors.base import Factor, Level, Place

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from scipy import special

    Array = npt.NDArray[np.float64]
    Function = Callable[[Any], Array]
else:

    class _Later:
        """A package that is imported when it is first used: whoever reads a suite computes no formula."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self.name), attribute)

    np, special = _Later("numpy"), _Later("scipy.special")

# Klambauer et al. 2017, the constants of Keras and TensorFlow.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@dataclass(frozen=True)
class Formula:
    """An activation as numpy functions: `value` and `slope` map an array to an array of its shape."""

    text: str  # of phi(z)
    value: Function
    slope: Function
    kinks: tuple[float, ...] = ()  # where the slope jumps


@dataclass(frozen=True, kw_only=True)
class ActivationLevel(Level):
    """An activation with its function and its facts.

    Attributes:
        formula: from settings, by name, to the function; without any it is what the level trains.
        steepest: supremum of |phi'|.
        saturates: whether phi' tends to 0 on both sides.
        homogeneous: whether phi(a z) = a phi(z) for each a > 0: no scale of z is special.
        rectifier: whether it is a relative of relu: phi(0) = 0, about z above, next to nothing of z below.
        critical: whether some variances of weights and biases make it critical (docs/theory.md).
        decades: log10 of the growth of a gradient's norm per layer at sigma_w = 1, mean over 30 layers, for the dry
            engine; 0 where nobody has computed it.
    """

    formula: Callable[..., Formula]
    steepest: float = 1.0
    saturates: bool = False
    homogeneous: bool = False
    rectifier: bool = False
    critical: bool = True
    decades: float = 0.0


def _keras(name: str, summary: str, source: str, formula: Callable[..., Formula], **facts: Any) -> ActivationLevel:
    return ActivationLevel(name, summary, source, target=f"keras.activations:{name}", formula=formula, **facts)


def _sech2(z: Array) -> Array:
    """1 / cosh(z)^2, without the cancellation of 1 - tanh(z)^2."""
    small = np.exp(-2.0 * np.abs(z))
    return 4.0 * small / (1.0 + small) ** 2


def _normal_density(z: Array) -> Array:
    density: Array = np.exp(-0.5 * np.clip(z, -40.0, 40.0) ** 2) / np.sqrt(2.0 * np.pi)
    return density


def _normal_distribution(z: Array) -> Array:
    share: Array = 0.5 * special.erfc(-z / np.sqrt(2.0))
    return share


def _sigmoid(z: Array) -> Array:
    share: Array = special.expit(z)
    return share


def _hard_sigmoid(z: Array) -> Array:
    return np.clip(z + 3.0, 0.0, 6.0) / 6.0


def _inside(z: Array, low: float, high: float) -> Array:
    return ((z > low) & (z < high)).astype(np.float64)


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _mish_slope(z: Array) -> Array:
    soft = _softplus(z)
    slope: Array = np.tanh(soft) + z * _sech2(soft) * _sigmoid(z)
    return slope


def _leaky_relu(negative_slope: float = 0.2) -> Formula:
    return Formula(
        f"z, or {negative_slope:g} z where z < 0",
        lambda z: np.where(z > 0.0, z, negative_slope * z),
        lambda z: np.where(z > 0.0, 1.0, negative_slope),
        (0.0,),
    )


def _exponential(alpha: float, scale: float, at_zero: float, stretch: float = 1.0) -> tuple[Function, Function]:
    """The elu family: scale z, or scale alpha (exp(z / stretch) - 1) where z is negative; value and slope."""

    def value(z: Array) -> Array:
        return scale * np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0) / stretch))

    def slope(z: Array) -> Array:
        below = alpha / stretch * np.exp(np.minimum(z, 0.0) / stretch)
        return scale * np.where(z > 0.0, 1.0, np.where(z == 0.0, at_zero, below))

    return value, slope


def _elu(alpha: float = 1.0) -> Formula:
    formula = "exp(z) − 1" if alpha == 1.0 else f"{alpha:g} (exp(z) − 1)"
    return Formula(f"z, or {formula} where z < 0", *_exponential(alpha, 1.0, alpha), () if alpha == 1.0 else (0.0,))


def _celu(alpha: float = 1.0) -> Formula:
    formula = "exp(z) − 1" if alpha == 1.0 else f"{alpha:g} (exp(z / {alpha:g}) − 1)"
    # The slope at 0 is 1 from both sides. Keras adds both and gives 2 at exactly 0, which is not copied.
    return Formula(f"z, or {formula} where z < 0", *_exponential(alpha, 1.0, 1.0, alpha))


def _selu() -> Formula:
    formula = f"{SELU_SCALE:.4f} z, or {SELU_SCALE * SELU_ALPHA:.4f} (exp(z) − 1) where z < 0"
    return Formula(formula, *_exponential(SELU_ALPHA, SELU_SCALE, 1.0), (0.0,))


ACTIVATION = Factor(
    "activation", "The function applied to each hidden layer's pre-activation.", Place.GRAPH, default="relu",
    plugins=True,
    levels=(
        _keras(
            "linear", "The identity: a deep network that can only be linear.", "Saxe, McClelland & Ganguli 2014",
            lambda: Formula("z", np.positive, np.ones_like),
            homogeneous=True,
        ),
        _keras(
            "sigmoid", "1 / (1 + exp(-x)): slope at most 1/4.", "Rumelhart, Hinton & Williams 1986",
            lambda: Formula("1 / (1 + exp(−z))", _sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
            steepest=0.25, saturates=True, decades=-0.63,
        ),
        _keras(
            "hard_sigmoid", "relu6(x + 3) / 6: sigmoid in three straight pieces.", "Howard et al. 2019",
            lambda: Formula(
                "min(max(0, z + 3), 6) / 6", _hard_sigmoid, lambda z: _inside(z, -3.0, 3.0) / 6.0, (-3.0, 3.0)
            ),
            steepest=1.0 / 6.0, saturates=True, decades=-0.78,
        ),
        _keras(
            "tanh", "Hyperbolic tangent: centred on zero, slope 1 there.", "LeCun et al. 1998",
            lambda: Formula("tanh(z)", np.tanh, _sech2),
            saturates=True, decades=-0.027,
        ),
        _keras(
            "softsign", "x / (1 + |x|): saturates more slowly than tanh.", "Bergstra et al. 2009",
            lambda: Formula(
                "z / (1 + |z|)", lambda z: z / (1.0 + np.abs(z)), lambda z: (1.0 / (1.0 + np.abs(z))) ** 2
            ),
            saturates=True, decades=-0.05,
        ),
        _keras(
            "softplus", "log(1 + exp(x)): a smooth relu that is never zero.", "Dugas et al. 2001",
            lambda: Formula("log(1 + exp(z))", _softplus, _sigmoid),
            critical=False, decades=-0.27,
        ),
        _keras(
            "relu", "max(0, x).", "Nair & Hinton 2010",
            lambda: Formula("max(0, z)", lambda z: np.maximum(z, 0.0), lambda z: _inside(z, 0.0, np.inf), (0.0,)),
            homogeneous=True, rectifier=True, decades=-0.15,
        ),
        _keras(
            "leaky_relu", "x, or 0.2 x where x is negative (Keras's slope).", "Maas, Hannun & Ng 2013", _leaky_relu,
            homogeneous=True, rectifier=True, decades=-0.142,
        ),
        _keras(
            "elu", "x, or exp(x) - 1 where x is negative.", "Clevert, Unterthiner & Hochreiter 2016", _elu,
            rectifier=True, decades=-0.034,
        ),
        _keras(
            "selu", "A scaled elu with a fixed point at mean 0 and variance 1.", "Klambauer et al. 2017", _selu,
            steepest=SELU_SCALE * SELU_ALPHA, rectifier=True, decades=0.015,
        ),
        _keras(
            "celu", "elu in its continuously differentiable form; the same as elu at alpha 1.", "Barron 2017", _celu,
            rectifier=True,
        ),
        _keras(
            "gelu", "x times the normal distribution function, exact form.", "Hendrycks & Gimpel 2016",
            lambda: Formula(
                "z Φ(z), Φ the normal distribution function",
                lambda z: z * _normal_distribution(z),
                lambda z: _normal_distribution(z) + z * _normal_density(z),
            ),
            steepest=1.1289041452, rectifier=True, decades=-0.29,
        ),
        _keras(
            "silu", "x times sigmoid(x), also called swish.", "Elfwing, Uchibe & Doya 2018",
            lambda: Formula(
                "z / (1 + exp(−z))", lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1.0 + z * _sigmoid(-z))
            ),
            steepest=1.0998393201, rectifier=True, decades=-0.3,
        ),
        _keras(
            "mish", "x times tanh(softplus(x)).", "Misra 2020",
            lambda: Formula("z tanh(log(1 + exp(z)))", lambda z: z * np.tanh(_softplus(z)), _mish_slope),
            steepest=1.0884981613, rectifier=True, decades=-0.22,
        ),
        _keras(
            "hard_silu", "x times hard_sigmoid(x), also called hard swish.", "Howard et al. 2019",
            lambda: Formula(
                "z min(max(0, z + 3), 6) / 6",
                lambda z: z * _hard_sigmoid(z),
                lambda z: _hard_sigmoid(z) + z * _inside(z, -3.0, 3.0) / 6.0,
                (-3.0, 3.0),
            ),
            steepest=1.5, rectifier=True,
        ),
        _keras(
            "relu6", "relu capped at 6.", "Krizhevsky 2010",
            lambda: Formula(
                "min(max(0, z), 6)", lambda z: np.clip(z, 0.0, 6.0), lambda z: _inside(z, 0.0, 6.0), (0.0, 6.0)
            ),
            saturates=True, rectifier=True,
        ),
    ),
)  # fmt: skip
