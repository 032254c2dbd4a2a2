"""Skip connections: identity paths around blocks of hidden layers."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting

_LAYERS = {"layers": Setting(2, "Hidden layers in a block; the first hidden layer is in none.", minimum=1)}

SKIP = Factor(
    "skip",
    "The path around each block of hidden layers.",
    Place.GRAPH,
    default="none",
    levels=(
        Level("none", "A plain chain of layers.", "Baseline"),
        Level("residual", "A block's input is added to its output.", "He et al. 2016", settings=_LAYERS),
        Level(
            "residual_scaled",
            "A block's output times a learned number that starts at 0, added to its input.",
            "De & Smith 2020; Bachlechner et al. 2021",
            settings=_LAYERS,
        ),
    ),
)
