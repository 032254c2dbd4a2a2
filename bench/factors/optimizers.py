"""What makes an update of a gradient: optimizer, clipping, what regularizes; learning rate, batch size, steps."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Number, Place, Setting, above_zero


def _share(default: float, summary: str) -> Setting:
    return Setting(default, summary, minimum=0.0, maximum=1.0)


_MOMENTUM = {"momentum": _share(0.9, "Share of the last update that is kept.")}
_BETAS = {
    "beta_1": _share(0.9, "Decay of the mean of gradients."),
    "beta_2": _share(0.999, "Decay of the mean of squared gradients."),
}
_EPSILON = {"epsilon": above_zero(1e-7, "Added to the root mean square that divides.", later=True)}

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
            target="keras.optimizers:RMSprop",
            settings={"rho": _share(0.9, "Decay of the mean of squared gradients.")} | _EPSILON,
        ),
        Level(
            "adam", "Momentum and rmsprop joined, with corrected starts.", "Kingma & Ba 2015",
            target="keras.optimizers:Adam", settings=_BETAS | _EPSILON,
        ),
        Level(
            "adamw", "adam with weight decay apart from the gradient.", "Loshchilov & Hutter 2019",
            target="keras.optimizers:AdamW",
            settings={"weight_decay": Setting(0.004, "Factor of the decay.", minimum=0.0)} | _BETAS | _EPSILON,
        ),
    ),
)  # fmt: skip

CLIPPING = Factor(
    "clipping", "How gradients are clipped before the optimizer.", Place.RUN, default="none",
    levels=(
        Level("none", "Gradients reach the optimizer as they are.", "Baseline"),
        Level(
            "value", "Each number of the gradient is held between -threshold and threshold.",
            "Mikolov 2012; Keras `clipvalue`", settings={"threshold": above_zero(0.5, "Largest absolute value.")},
        ),
        Level(
            "norm", "Each variable's gradient is scaled down to an L2 norm of at most threshold.", "Keras `clipnorm`",
            settings={"threshold": above_zero(1.0, "Largest L2 norm of one variable's gradient.")},
        ),
        Level(
            "global_norm", "The whole gradient is scaled down to an L2 norm of at most threshold.",
            "Pascanu, Mikolov & Bengio 2013; Keras `global_clipnorm`",
            settings={"threshold": above_zero(1.0, "Largest L2 norm of the whole gradient.")},
        ),
        Level(
            "adaptive", "Each unit's gradient is scaled down to at most threshold times the norm of its weights.",
            "Brock et al. 2021",
            settings={"threshold": above_zero(0.01, "Largest ratio of gradient norm to weight norm.")},
        ),
    ),
)  # fmt: skip

REGULARIZATION = Factor(
    "regularization", "The penalty or bound on the weights.", Place.RUN, default="none",
    levels=(
        Level("none", "No penalty and no bound.", "Baseline"),
        Level(
            "l1", "strength times the sum of |w| is added to the loss.", "Tibshirani 1996",
            settings={"strength": above_zero(1e-4, "Factor of the penalty.")},
        ),
        Level(
            "l2", "strength times the sum of w squared is added to the loss.", "Krogh & Hertz 1992",
            settings={"strength": above_zero(1e-4, "Factor of the penalty.")},
        ),
        Level(
            "weight_decay",
            "Each step takes learning rate times strength times w off each weight, apart from the gradient.",
            "Loshchilov & Hutter 2019",
            settings={"strength": above_zero(0.004, "Factor of the decay; with adamw it replaces adamw's own.")},
        ),
        Level(
            "max_norm", "After each step, the weights into each unit are scaled down to an L2 norm of at most limit.",
            "Srivastava et al. 2014; Keras `MaxNorm`",
            settings={"limit": above_zero(3.0, "Largest L2 norm of a unit's weights.")},
        ),
    ),
)  # fmt: skip

DROPOUT = Factor(
    "dropout",
    "Share of each hidden layer's outputs that training sets to 0, as a Keras Dropout layer behind it.",
    Place.RUN, default=0, later=True, number=Number(float, minimum=0.0, maximum=0.99),
)  # fmt: skip

LEARNING_RATE = Factor(
    "learning_rate", "Learning rate of the optimizer, over the whole run but for a warm-up and a schedule.", Place.RUN,
    default=0.01, number=Number(float, minimum=0.0, exclusive=True),
)  # fmt: skip

BATCH_SIZE = Factor(
    "batch_size", "Training samples per step.", Place.GRAPH, default=64,
    number=Number(int, minimum=2, maximum=1_000_000),
)  # fmt: skip

STEPS = Factor(
    "steps", "Optimizer updates in a run.", Place.GRAPH, default=200, number=Number(int, minimum=1, maximum=10_000_000),
)  # fmt: skip
