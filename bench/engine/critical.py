"""The initializer `critical`: what it comes to, in levels of the catalogue, once its two variances are solved for.

It takes the run's activation in a plain network: normalizations and skip connections do not enter. Every layer, the
head included, draws weights of standard deviation sigma_w / sqrt(fan_in) and biases of sigma_b.
"""

from __future__ import annotations

import math
from functools import lru_cache

from keras.src.initializers.random_initializers import compute_fans

from bench.engine.activations import nonlinearity
from bench.errors import BenchError, SuiteError
from bench.factors import FACTORS, Choice, choose
from bench.theory import CriticalPoint, critical_point


def kernel_choice(initializer: Choice, activation: Choice, shape: tuple[int, ...]) -> Choice:
    """The level that draws a kernel of a shape; any initializer but `critical` is itself."""
    if initializer.name != "critical":
        return initializer
    sigma = solve(initializer, activation).weight_stddev
    if initializer.setting("distribution") == "normal":
        written = {"level": "variance_scaling", "scale": sigma**2, "distribution": "untruncated_normal"}
        return choose(FACTORS["initializer"], written)
    # Keras draws an orthogonal matrix [all but the last axis, units]: with more units than rows it has entries of
    # variance 1 / units.
    fan_in, _ = compute_fans(shape)
    longest = max(math.prod(shape[:-1]), shape[-1])
    return choose(FACTORS["initializer"], {"level": "orthogonal", "gain": sigma * (longest / fan_in) ** 0.5})


def bias_choice(initializer: Choice, activation: Choice, written: Choice) -> Choice:
    """The level that draws the biases: what the suite has `written`, unless the initializer is `critical`."""
    if initializer.name != "critical":
        return written
    sigma = solve(initializer, activation).bias_stddev
    return choose(FACTORS["bias_initializer"], {"level": "normal", "stddev": sigma} if sigma else "zeros")


@lru_cache(maxsize=256)
def solve(initializer: Choice, activation: Choice) -> CriticalPoint:
    """The critical point that a choice of `critical` means for an activation.

    Raises:
        SuiteError: there is none (softplus), or none with these biases.
    """
    given = initializer.setting("bias_stddev")
    try:
        return critical_point(nonlinearity(activation), None if isinstance(given, str) else float(given))
    except BenchError as error:
        raise SuiteError(f'initializer "{initializer.label}", activation "{activation.label}": {error}') from error
