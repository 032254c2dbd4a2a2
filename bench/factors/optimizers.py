"""Optimizers and the numbers of a training: learning rate, batch size, steps."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Number, Place, Setting


def _share(default: float, summary: str) -> Setting:
    return Setting(default, summary, minimum=0.0, maximum=1.0)


_MOMENTUM = {"momentum": _share(0.9, "Share of the last update that is kept.")}
_BETAS = {
    "beta_1": _share(0.9, "Decay of the mean of gradients."),
    "beta_2": _share(0.999, "Decay of the mean of squared gradients."),
}

OPTIMIZER = Factor(
    "optimizer", "The update rule.", Place.GRAPH, default="sgd", plugins=True,
    levels=(
        Level("sgd", "Plain stochastic gradient descent.", "Robbins & Monro 1951", target="keras.optimizers:SGD"),
        Level(
            "momentum", "Gradient descent with a velocity.", "Polyak 1964", target="keras.optimizers:SGD",
            settings=_MOMENTUM,
        ),
        # No target: Keras spells it SGD(nesterov=True), which is not a setting.
        Level("nesterov", "Momentum that looks ahead.", "Nesterov 1983; Sutskever et al. 2013", settings=_MOMENTUM),
        Level(
            "rmsprop", "Gradients divided by the root of their recent mean square.", "Tieleman & Hinton 2012",
            target="keras.optimizers:RMSprop", settings={"rho": _share(0.9, "Decay of the mean of squared gradients.")},
        ),
        Level(
            "adam", "Momentum and rmsprop joined, with corrected starts.", "Kingma & Ba 2015",
            target="keras.optimizers:Adam", settings=_BETAS,
        ),
        Level(
            "adamw", "adam with weight decay apart from the gradient.", "Loshchilov & Hutter 2019",
            target="keras.optimizers:AdamW",
            settings={"weight_decay": Setting(0.004, "Factor of the decay.", minimum=0.0)} | _BETAS,
        ),
    ),
)  # fmt: skip

LEARNING_RATE = Factor(
    "learning_rate", "Learning rate of the optimizer, constant over a run.", Place.RUN, default=0.01,
    number=Number(float, minimum=0.0, exclusive=True),
)  # fmt: skip

BATCH_SIZE = Factor(
    "batch_size", "Training samples per step.", Place.GRAPH, default=64,
    number=Number(int, minimum=2, maximum=1_000_000),
)  # fmt: skip

STEPS = Factor(
    "steps", "Optimizer updates in a run.", Place.GRAPH, default=200, number=Number(int, minimum=1, maximum=10_000_000),
)  # fmt: skip
