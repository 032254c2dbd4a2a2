"""Activations: the nonlinearity after each hidden layer, with Keras's own constants."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place


def _keras(name: str, summary: str, source: str) -> Level:
    return Level(name, summary, source, target=f"keras.activations:{name}")


ACTIVATION = Factor(
    "activation",
    "The function applied to each hidden layer's pre-activation.",
    Place.GRAPH,
    default="relu",
    plugins=True,
    levels=(
        _keras("linear", "The identity: a deep network that can only be linear.", "Saxe, McClelland & Ganguli 2014"),
        _keras("sigmoid", "1 / (1 + exp(-x)): slope at most 1/4.", "Rumelhart, Hinton & Williams 1986"),
        _keras("hard_sigmoid", "relu6(x + 3) / 6: sigmoid in three straight pieces.", "Howard et al. 2019"),
        _keras("tanh", "Hyperbolic tangent: centred on zero, slope 1 there.", "LeCun et al. 1998"),
        _keras("softsign", "x / (1 + |x|): saturates more slowly than tanh.", "Bergstra et al. 2009"),
        _keras("softplus", "log(1 + exp(x)): a smooth relu that is never zero.", "Dugas et al. 2001"),
        _keras("relu", "max(0, x).", "Nair & Hinton 2010"),
        _keras("leaky_relu", "x, or 0.2 x where x is negative (Keras's slope).", "Maas, Hannun & Ng 2013"),
        _keras("elu", "x, or exp(x) - 1 where x is negative.", "Clevert, Unterthiner & Hochreiter 2016"),
        _keras("selu", "A scaled elu with a fixed point at mean 0 and variance 1.", "Klambauer et al. 2017"),
        _keras("celu", "elu in its continuously differentiable form; the same as elu at alpha 1.", "Barron 2017"),
        _keras("gelu", "x times the normal distribution function, exact form.", "Hendrycks & Gimpel 2016"),
        _keras("silu", "x times sigmoid(x), also called swish.", "Elfwing, Uchibe & Doya 2018"),
        _keras("mish", "x times tanh(softplus(x)).", "Misra 2020"),
        _keras("hard_silu", "x times hard_sigmoid(x), also called hard swish.", "Howard et al. 2019"),
        _keras("relu6", "relu capped at 6.", "Krizhevsky 2010"),
    ),
)
