"""Half precision in a script: Keras's policy, and what scales the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.factors import DYNAMIC, FIXED
from bench.script.layout import call, settings
from bench.script.recorded import Recorded


@dataclass(frozen=True)
class Precision:
    """In which numbers a script's layers compute.

    Attributes:
        half: Keras's policy; empty of float32.
        given: what the optimizer is told of a scale that stays.
        follows: what Keras's optimizer of scales that change is told; None without.
    """

    half: str = ""
    given: Mapping[str, object] = field(default_factory=dict)
    follows: Mapping[str, object] | None = None

    @property
    def skips(self) -> bool:
        """Whether steps may be skipped."""
        return self.follows is not None

    @property
    def scaled(self) -> bool:
        """Whether the loss is multiplied before its gradient is taken."""
        return self.skips or bool(self.given)

    def around(self, optimizer: str) -> str:
        """The optimizer, with what scales around it."""
        if self.follows is None:
            return optimizer
        return call("keras.optimizers.LossScaleOptimizer", optimizer, **settings(self.follows))


def precision_of(recorded: Recorded) -> Precision:
    """Of a run."""
    choice = recorded["precision"]
    said = dict(choice.settings)
    scale = said.get("loss_scale")
    if scale == FIXED:
        return Precision(choice.name, {"loss_scale_factor": said["initial_scale"]})
    if scale == DYNAMIC:
        follows = {"initial_scale": said["initial_scale"], "dynamic_growth_steps": said["growth_steps"]}
        defaults = {"initial_scale": 2.0**15, "dynamic_growth_steps": 2000}
        return Precision(choice.name, follows={n: each for n, each in follows.items() if each != defaults[n]})
    return Precision("" if choice.is_none else choice.name)
