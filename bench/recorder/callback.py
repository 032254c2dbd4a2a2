"""The Keras callback: what a user writes, and what happens from the start of a fit to its end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import keras

from bench.errors import BenchError, nearest
from bench.recorder.live import Voice
from bench.recorder.recording import RAISE, RECORD, STOP, Recording
from bench.recorder.schedule import BUDGET, FIRST
from bench.recorder.settings import asked_settings
from bench.recorder.stepping import LoopStep
from bench.recorder.watching import Several, Watched, check, several

_RECORDING: weakref.WeakValueDictionary[int, Recording] = weakref.WeakValueDictionary()  # by the id of the model


def _never_raises(hook: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong in the recorder ends the record with one sentence, and never the training."""

    @wraps(hook)
    def safe(self: Recorder, *args: Any, **more: Any) -> None:
        try:
            hook(self, *args, **more)
        except Exception as error:
            self._give_up(error)

    return safe


class Recorder(keras.callbacks.Callback):
    """Records the gradients of each layer in the very steps that train a Keras model, as a callback of `fit`.

    ```python
    from bench import Recorder
    model.fit(x, y, epochs=5, callbacks=[Recorder("reports/mine")])
    ```

    Training is the same with it as without, and what goes wrong in it is a sentence on stderr, never an exception.

    Args:
        folder: where tables and report go: a folder of its own, to which each further run is added.
        on_nonfinite: what to do where a number is not finite: "record" it and go on; "stop" before the update, keep the
            weights as they were and save them with the batch under `stopped/`, for `bench replay`; or "raise"
            `NonFinite` then. The last two guard each step, which costs a copy of all variables.
        every: record every nth step; "auto" records steps 0 to 9 and then as many as 2 % of the training time pay for.
        question: what the run is to answer, for the report's head.
        replicate: the run's number among runs of the same settings; the next free one if None.
        settings: levels of the project's factors that a model does not tell, such as {"dataset": "digits"}.
        live: whether a few lines on stderr say what is found while the model trains.
        report: whether the end of `fit` writes `index.html` into the folder.
    """

    def __init__(  # noqa: PLR0913 (what a user may say, by name)
        self,
        folder: str | Path,
        *,
        every: int | str = "auto",
        on_nonfinite: str = RECORD,
        question: str = "",
        replicate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        live: bool = True,
        report: bool = True,
    ) -> None:
        super().__init__()
        if every != "auto" and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ValueError(f'every={every!r} is not allowed: a whole number of steps, at least 1, or "auto".')
        if on_nonfinite not in (RECORD, STOP, RAISE):
            raise ValueError(
                f"on_nonfinite={on_nonfinite!r} is not allowed. {nearest(str(on_nonfinite), (RECORD, STOP, RAISE))}"
            )
        if not isinstance(folder, str | Path):
            raise ValueError(f"folder={folder!r} is not allowed: a path, as text or as pathlib has it.")
        if replicate is not None and (isinstance(replicate, bool) or not isinstance(replicate, int) or replicate < 0):
            raise ValueError(f"replicate={replicate!r} is not allowed: a whole number from 0, or None.")
        self.folder = Path(folder)
        self.on_nonfinite = on_nonfinite
        self.every = every
        self.question = question
        self.replicate = replicate
        self.settings = asked_settings(settings or {})
        self.report = report
        self.voice = Voice(live=live)
        self.recording: Recording | None = None

    @_never_raises
    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Refuse what cannot be recorded, or get ready."""
        self._begin(lambda: Recording(self.model, self.params, self), [self.model])

    @_never_raises
    def _begin(self, make: Callable[[], Recording], models: Sequence[keras.Model]) -> None:
        for model in models:
            other = _RECORDING.get(id(model))
            if other is None or not other.is_open:
                continue
            if other.params is self.params and other is not self.recording:
                self.voice.warn(f"not recording into {self.folder}: this is recorded into {other.folder.path} already.")
                return
            other.close("interrupted")
        if self.recording is not None and self.recording.is_open:
            if self.recording.model not in models:
                self.voice.warn(f'the record of "{self.recording.model.name}" ends: its recorder was given to another.')
            self.recording.close("interrupted")
        self.recording = None
        try:
            recording = make()
        except BenchError as error:
            self.voice.warn(f"not recording: {str(error).rstrip('.')}. Training goes on without a record.")
            return
        self.recording = recording
        for model in models:
            _RECORDING[id(model)] = recording
        weakref.finalize(self, Recording.close, recording, "interrupted")
        how = f"steps 0-{FIRST - 1}, then about {BUDGET:.0%} of time" if self.every == "auto" else _every(self.every)
        self.voice.say(f'recording "{recording.model.name}" into {self.folder}; {how}')
        if not recording.loops:
            recording.look_at_arrays()

    @_never_raises
    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Know how many steps are left where training goes on from a later epoch."""
        if self.recording is not None and not self.recording.loops:
            self.recording.begin_epoch(epoch)

    @_never_raises
    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Let the recording function take the next step, if it is one to record."""
        if self.recording is not None:
            self.recording.begin()

    @_never_raises
    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note what the step took."""
        if self.recording is not None:
            self.recording.end()

    @_never_raises
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keep the epoch's scores, and now and then what was recorded so far."""
        if self.recording is not None:
            self.recording.evaluated(logs or {})

    @_never_raises
    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the tables and the report."""
        recording, self.recording = self.recording, None
        if recording is None:
            return
        recording.close()
        if recording.step and not recording.rows.steps and not recording.dispatch.off:
            self.voice.warn(f"no step was recorded into {self.folder}: the model had not all its variables.")
        if recording.rows.steps and self.report:
            from bench.report import PAGE, is_page, write_report

            if (self.folder / PAGE).exists() and not is_page(self.folder / PAGE):
                self.voice.warn(f"no page is written: {self.folder / PAGE} is not one of ours, and is left as it is.")
                return
            started = time.perf_counter()
            path = write_report(self.folder)
            self.voice.say(f"report in {path} ({time.perf_counter() - started:.0f} s)")

    def watch(self, step: Callable[..., Any], *, model: Any, optimizer: Any) -> Watched:
        """The step of a loop of one's own, recorded: `fit` has no part in it.

        ```python
        with Recorder("reports/mine").watch(step, model=model, optimizer=optimizer) as step:
            for x, y in batches:
                loss = step(x, y)
        ```

        Args:
            step: makes one training step: a plain function, or a `tf.function`, whose Python function is traced once
                more for the steps that are recorded. Its first two arguments are taken for inputs and targets, and what
                it returns for the loss: a number, the first of several, or what is called `loss`. What compares them is
                the one loss of Keras's that its lines name, or `Recorder(settings={"loss": ...})` says.
            model: what it trains, or a list of models.
            optimizer: what it applies, or a list of optimizers.

        Raises:
            TypeError: it is something else.
        """
        check(step, model, optimizer)
        models, stepping = several(model), LoopStep(step, loss=self.settings.get("loss"))
        whole = models[0] if len(models) == 1 else Several(models)
        self._begin(lambda: Recording(whole, {}, self, stepping, several(optimizer)), models)
        return Watched(step, self, self.recording)

    def close(self, error: str = "interrupted") -> None:
        """End the record of what was interrupted, and write what it has; it also happens when Python ends."""
        recording, self.recording = self.recording, None
        if recording is not None:
            recording.close(error)

    def _give_up(self, error: BaseException) -> None:
        """End the record: training goes on with Keras's own function."""
        recording, self.recording = self.recording, None
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        self.voice.warn(f"recording ended by a fault of its own ({reason}). Training goes on without a record.")
        if recording is not None:
            recording.close(f"the recorder failed: {reason}")


def _every(every: int | str) -> str:
    return "every step" if every == 1 else f"every {every} steps"
