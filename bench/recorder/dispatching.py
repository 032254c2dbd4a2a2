"""What is the same on each backend of two functions that take a model's steps: how one gets into the other's place.

`fit` looks up `model.train_function` at each step. For a step that is to be recorded, and from that step's beginning to
its call alone, it is another: so whatever is raised, nothing stays on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bench.recorder.inner_optimizers import optimizers_of
from bench.recorder.layout import Layout
from bench.recorder.stepping import FitStep, Stepping


@dataclass(frozen=True)
class Taken:
    """What one recorded step handed out: its numbers, what each is, and whether its update was kept."""

    numbers: np.ndarray
    layout: Layout
    kept: bool = True


class Dispatching:
    """Of one model while it trains.

    Attributes:
        taken: called with what each recorded step found; what it raises is the recorder's.
        failed: called with what went wrong in the recorder; from then on each step is Keras's own.
        stopped: called with the batch of a step that was held back, once it was looked at; it may raise. None: every
            step is kept.
        looks: whether the next steps are looked at; those that are not may still be held back.
        held: whether the latest step was held back.
        count: steps that this has taken since `arm`.
        stepped: whether a step was made, or traced to its end.
        traces: how often the recording function was traced, or met a step of another form.
        both: whether Keras's own function made the latest recorded step too.
        saw: called with each batch that it takes.
        traces_others: whether it traces Keras's own function too, at a recorded step.
        compiles_dearly: whether a batch of another form costs seconds, as it is compiled for.
        one_shape: whether steps are not looked at whose batch would have a look at it compiled once more.
        alternates: whether other steps than recorded ones are to come, whose function is not traced yet.
    """

    traces_others: bool = False
    compiles_dearly: bool = False

    def __init__(  # noqa: PLR0913 (whom it tells of what)
        self,
        model: keras.Model,
        taken: Callable[[Taken], None],
        failed: Callable[[BaseException], None],
        stopped: Callable[[Any], None] | None = None,
        stepping: Stepping | None = None,
        optimizers: Sequence[keras.optimizers.Optimizer] | None = None,
    ) -> None:
        self.model = model
        self.taken = taken
        self.failed = failed
        self.stopped = stopped
        self.stepping: Stepping = FitStep(model) if stepping is None else stepping
        self.optimizers = optimizers_of(model) if optimizers is None else list(optimizers)
        self.layouts: list[Layout] = []
        self.recording: Callable[..., Any] | None = None  # the function that records
        self.guarded: Callable[..., Any] | None = None  # the one that alone holds back
        self.plain: Callable[..., Any] | None = None  # Keras's own
        self.off = False
        self.looks = True
        self.held = False
        self.count = 0
        self.stepped = False
        self.traces = 0
        self.both = False
        self.one_shape = False
        self.alternates = False
        self.saw: Callable[[Any], None] = lambda data: None

    def arm(self) -> None:
        """Let the recording function take the next call of the train function, and Keras's own those after it."""
        self.count = 0
        if not self.off and self.model.train_function != self._record:
            self.plain = self.model.train_function
            self.model.train_function = self._record

    def disarm(self) -> None:
        """Give the model its own function back, if the other is still there."""
        if self.model.train_function == self._record:
            self.model.train_function = self.plain

    def once(self, data: Any) -> Any:
        """One step on a batch, looked at if `looks` says so, or if it is held back: what it reports."""
        raise NotImplementedError

    def _record(self, *arguments: Any, **more: Any) -> Any:
        """What stands in for the train function: as many steps as that takes, each on its own."""
        raise NotImplementedError

    def _show(self, data: Any) -> None:
        """Tell of a batch that is about to be taken."""
        try:
            self.saw(data)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self.off = True
        self.recording = None
        self.failed(error)
