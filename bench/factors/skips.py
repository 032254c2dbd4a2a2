"""Skip connections: identity paths around blocks of hidden layers."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting, above_zero

_LAYERS = {"layers": Setting(2, "Hidden layers in a block; the first hidden layer is in none.", minimum=1)}

SKIP = Factor(
    "skip", "The path around each block of hidden layers.", Place.GRAPH, default="none",
    levels=(
        Level("none", "A plain chain of layers.", "Baseline"),
        Level("residual", "A block's input is added to its output.", "He et al. 2016", settings=_LAYERS),
        Level(
            "residual_scaled", "A block's output times a learned number that starts at 0, added to its input.",
            "De & Smith 2020; Bachlechner et al. 2021", settings=_LAYERS,
        ),
        Level(
            "residual_damped",
            "A block's output times a fixed number, scale / (number of blocks) ** exponent, added to its input.",
            "De & Smith 2020; Hayou et al. 2021",
            settings=_LAYERS | {
                "scale": above_zero(1.0, "Factor on each block's output."),
                "exponent": Setting(0.5, "How the factor falls with the number of blocks; 0 is not at all."),
            },
        ),
        Level(
            "residual_post_norm",
            "As residual, but what the path carries on is the sum after its normalization; without one, residual.",
            "Vaswani et al. 2017; Xiong et al. 2020", settings=_LAYERS,
        ),
    ),
)  # fmt: skip
