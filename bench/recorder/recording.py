"""One run while it is recorded: which steps, what they found, and what is on disk of it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import keras

from bench.errors import BenchError
from bench.factors import DataKind
from bench.finding import FindingKind
from bench.recorder.backends import dispatch_of_backend
from bench.recorder.building import fallen, risky_before
from bench.recorder.chain import links_of
from bench.recorder.data import DataLook
from bench.recorder.dispatching import Taken
from bench.recorder.fitting import MISFITS, SHAPES, disconnected, kept_of_start, outweighed
from bench.recorder.folder import RunFolder, Who
from bench.recorder.inner_optimizers import innermost, optimizers_of
from bench.recorder.refusals import objection
from bench.recorder.rows import Columns, Event, Rows, Step
from bench.recorder.schedule import FIRST, Kind, Schedule
from bench.recorder.settings import read_settings, settled
from bench.recorder.signal import first_signal
from bench.recorder.stepping import Stepping
from bench.recorder.stopped import NonFinite, Stop, save_stop
from bench.recorder.targets import naive, square_over_variance
from bench.schema import EventKind, RunStatus

if TYPE_CHECKING:
    from bench.recorder.callback import Recorder

WRITE_EVERY = 30.0  # seconds
RECORD, STOP, RAISE = "record", "stop", "raise"


class Recording:
    """From the start of a fit to its end.

    Attributes:
        params: Keras's of this fit; the same object in every callback of it.
        is_open: whether it still records.

    Raises:
        BenchError: the model cannot be recorded, or not into this folder.
    """

    def __init__(
        self,
        model: keras.Model,
        params: Mapping[str, Any],
        asked: Recorder,
        stepping: Stepping | None = None,
        optimizers: Sequence[keras.optimizers.Optimizer] | None = None,
    ) -> None:
        self.is_open = False
        self.model = model
        self.params = params
        self.asked = asked.settings
        self.replicate = asked.replicate
        self.voice = asked.voice
        self.on_nonfinite = asked.on_nonfinite
        held = None if asked.on_nonfinite == RECORD else self._stopped
        self.loops = stepping is not None  # whether a loop of one's own trains, and no `fit`
        why = objection(model, optimizers_of(model) if optimizers is None else optimizers, loops=self.loops)
        if why:
            raise BenchError(why)
        self.dispatch = dispatch_of_backend()(model, self._taken, self._failed, held, stepping, optimizers)
        self.folder = RunFolder(asked.folder, asked.question)
        self.is_open = True
        self.rows = Rows()
        planned = _planned(params)
        self.data = DataLook(model, planned)
        self.dispatch.saw = self._saw
        self.schedule = Schedule(asked.every, None if planned is None else planned - 1)
        if asked.every == "auto" and self.dispatch.compiles_dearly:
            self.dispatch.one_shape, self.schedule.final = True, 2  # the last batch may have fewer rows
        first = range(min(planned or FIRST + 1, FIRST + 1))
        self.dispatch.alternates = not all(map(self.schedule.wants, first))
        self.planned = planned
        self.step = 0
        self.in_epoch = 0
        self.ahead = 1
        self.recorded = 0
        self.traced = 0
        self.armed = False
        self.plain = False  # whether Keras's own function has run, which its first call traces
        self.settings: dict[str, Any] = {}
        self.rate: float | None = None  # at the first recorded step
        self.who: Who | None = None
        self.error: str | None = None
        self.began = self.written = time.monotonic()
        self.at = 0.0

    def _build(self) -> None:
        """Make the optimizer's variables as the first step would have, where it is certain that these are they."""
        if self.loops or type(self.model).train_step is not keras.Model.train_step:
            return
        optimizer = self.model.optimizer
        built = self.model.built and all(layer.built for layer in self.model._flatten_layers(include_self=False))
        if built and optimizer is not None and not optimizer.built and self.model.trainable_variables:
            optimizer.build(self.model.trainable_variables)

    def look_at_arrays(self) -> None:
        """Look at what `fit` was given, and say what is odd."""
        with suppress(Exception):  # whatever arrays there are in this world: it is no part of the record
            self.data.at_arrays()
            self._tell_data()

    def _saw(self, data: Any) -> None:
        if self.data.waiting:
            with suppress(Exception):
                self.data.at_batch(*self.dispatch.stepping.parts(data))
                self._tell_data()

    def _tell_data(self) -> None:
        for each in self.data.findings:
            self.voice.say(f"{'model' if each.kind in MISFITS else 'data'}: {each}", f"data: {each.kind}")

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins; the first may have another number than 0, and then fewer are planned."""
        if not self.step:  # not earlier: there may be no epoch left to train, and then nothing is made
            self._build()
        steps = self.params.get("steps")
        if not self.step and self.planned is not None and steps:
            self.planned = self.data.planned = max(1, int(steps) * (int(self.params["epochs"]) - epoch))
            self.schedule.last = self.planned - 1

    def begin(self) -> None:
        """A call of the train function begins."""
        self.ahead = self.model.steps_per_execution
        if self.params.get("steps"):  # the last call of an epoch may have fewer left
            self.ahead = max(1, min(self.ahead, int(self.params["steps"]) - self.in_epoch))
        ahead = range(self.step, self.step + self.ahead)
        self.recorded = 0
        wanted = any(self.schedule.wants(step) for step in ahead) or self._ends_first_epoch(ahead)
        guarded = self.dispatch.stopped is not None
        self.armed = self.is_open and not self.rows.diverged and (wanted or guarded) and not self.dispatch.off
        if self.armed:
            self.dispatch.looks = wanted
            self.traced = self.dispatch.traces
            self.dispatch.count = 0
            if not self.loops:
                self.dispatch.arm()
        self.at = time.perf_counter()

    def _ends_first_epoch(self, ahead: range) -> bool:
        """Whether a batch may be of another size, as that of the last step is, for which a graph is traced.

        That is better done now: see `Dispatch._trace_now`. What is seen then is no row.
        """
        if self.loops or not self.dispatch.traces_others:
            return False
        steps = int(self.params.get("steps") or 0)
        return ahead.start < steps <= ahead.stop and self.schedule.last != steps - 1

    def end(self) -> None:
        """It has ended."""
        seconds = time.perf_counter() - self.at
        steps = self.dispatch.count if self.armed else self.ahead
        self.in_epoch += steps
        self.step += steps
        self.dispatch.count = 0
        self.dispatch.stepped = True
        traced = self.dispatch.traces > self.traced if self.recorded else not self.plain
        self.plain = self.plain or not self.recorded
        if not steps:  # the first was held back
            return
        kind = Kind.PLAIN if not self.recorded else Kind.COMPARED if self.dispatch.both else Kind.RECORDED
        self.schedule.took(seconds, steps, kind, traced=traced)
        if self.loops and time.monotonic() - self.written > WRITE_EVERY:  # no epoch ends
            self._write(RunStatus.FAILED, "recording had not ended")

    def _taken(self, taken: Taken) -> None:
        step = Step(
            self.step + self.dispatch.count,
            taken.numbers,
            taken.layout,
            skips=_skips(self.dispatch.optimizers),
            accumulates=any(innermost(each).gradient_accumulation_steps for each in self.dispatch.optimizers),
        )
        self.recorded += 1
        if self.rows.diverged or (taken.kept and not self.schedule.wants(step.step)):
            return
        if self.who is None:
            self._name(step)
        event = self.rows.add(step)
        if len(self.rows.steps) == 1 and (line := first_signal(step)):
            self.voice.say(line)
        if event is not None and (self.on_nonfinite == RECORD or event.kind is EventKind.SKIPPED_STEP):
            self._tell(event)

    def _stopped(self, data: Any) -> None:
        """A step was held back: keep all that it was made of, then stop, or raise."""
        step = self.rows.steps[-1]
        event = self.rows.held_back(step)
        layer = "" if event.layer_index is None else step.layout.rows[event.layer_index].name
        what = f"{'NaN' if event.kind is EventKind.NAN else 'infinity'} in the {event.tensor}{layer and f' of {layer}'}"
        kept = f"step {step.step}: {what}; stopped before the update, all weights are as before that step"
        assert self.who is not None
        stop = Stop(self.who.run_id, step.step, str(event.kind), str(event.tensor), layer, step.scale)
        try:
            chain = [asdict(link) for link in links_of(step)] if self.loops else []
            stop = replace(stop, chain=chain)
            place = save_stop(self.folder.path, stop, self.model, self.dispatch.optimizers, data)
            kept += f"; see {place}, or `bench replay {self.folder.path}`"
        except Exception as error:  # a full disk, arguments that no file holds
            kept += f"; the step could not be saved ({type(error).__name__}: {error})".splitlines()[0][:300]
        self.voice.warn(kept)
        if self.on_nonfinite == STOP:
            if not self.loops:
                self.model.stop_training = True
            return
        self.close()
        raise NonFinite(kept, step.step, str(event.tensor), layer)

    def _name(self, step: Step) -> None:
        self.data.add(outweighed(step.optional("step", 0, "penalty"), step.loss))
        if step.has("step", 0, "broadcasts"):
            self.data.add([SHAPES])
        rows, variables = step.layout.rows, step.layout.variables
        self.data.add(disconnected(self.model, [each.name for each in rows], [each.path for each in variables]))
        self.rate = self._rate(first=True)
        self._tell_data()
        told = read_settings(self.model, step.layout, self.dispatch.optimizers, self.dispatch.stepping.compares)
        self.settings, odd = settled(told | {"batch_size": int(step.batch), "steps": self.planned}, self.asked)
        if odd:
            self.voice.warn(odd)
        self.who = self.folder.name(name_of(self.model), self.settings, self.replicate)

    def _rate(self, *, first: bool = False) -> float | None:
        """Of the first optimizer, as it is now, or as its schedule begins; None where nobody knows."""
        with suppress(AttributeError, IndexError, TypeError, ValueError):
            optimizer = innermost(self.dispatch.optimizers[0])
            schedule = getattr(optimizer, "_learning_rate", None)
            if first and isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
                return float(schedule(0))
            return float(optimizer.learning_rate)
        return None

    def _tell(self, event: Event) -> None:
        where = "" if event.layer_index is None else f" of {self.rows.steps[-1].layout.rows[event.layer_index].name}"
        if event.kind is EventKind.SKIPPED_STEP:
            self.voice.say(f"step {event.step}: a gradient overflowed; the loss scale skips this update", "skipped")
            return
        kind = "NaN" if event.kind is EventKind.NAN else "infinity"
        self.voice.say(f"step {event.step}: {kind} in the {event.tensor}{where}; nothing is recorded after it")

    def evaluated(self, logs: Mapping[str, Any]) -> None:
        """Keep an epoch's scores."""
        self.in_epoch = 0
        with suppress(Exception):
            self.data.at_end()
            self.data.add(fallen(self.rate, self._rate(), self.step, self.planned))
            self._tell_data()
        for split, ahead in (("train", ""), ("validation", "val_")):
            loss, accuracy = _number(logs.get(f"{ahead}loss")), _accuracy(logs, ahead)
            if loss is not None:
                row = {"step": self.step, "split": split, "loss": loss, "accuracy": accuracy}
                self.rows.evaluations.append(row)
        if time.monotonic() - self.written > WRITE_EVERY:
            self._write(RunStatus.FAILED, "recording had not ended")

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, BenchError):
            self.error, ended = str(error), f"recording ends: {str(error).rstrip('.')}"
        else:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            self.error, ended = f"the recorder failed: {reason}", f"recording ended by a fault of its own ({reason})"
        self.voice.warn(f"{ended}. Training goes on without a record.")

    def close(self, error: str | None = None) -> None:
        """Write what was found and give the folder back; a second time does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self.dispatch.disarm()
        with suppress(Exception):
            self.data.at_end()
            self._tell_data()
        error = error or self.error
        try:
            self._write(RunStatus.FAILED if error and not self.rows.diverged else RunStatus.COMPLETED, error)
        except BenchError as fault:
            self.voice.warn(str(fault))
        finally:
            self.folder.close()

    def _write(self, status: RunStatus, error: str | None) -> None:
        if self.who is None:
            return
        tables = self.rows.columns(self.who.run_id)
        tables |= {"runs": self._run(status, error), "timings": self._timings()}
        self.folder.write(self.who, tables, self._facts(), self.rows.unseen)
        self.written = time.monotonic()

    def _run(self, status: RunStatus, error: str | None) -> Columns:
        assert self.who is not None
        diverged = self.rows.diverged
        row = {
            "run_id": self.who.run_id,
            "suite": "own",
            "cell_key": self.who.cell_key,
            "replicate": self.who.replicate,
            "seed": 0,
            "cohort": self.who.run_id,
            **self.settings,
            "steps": self.planned or self.step,
            "status": str(RunStatus.DIVERGED if diverged else status),
            "steps_completed": self.rows.steps[-1].step if diverged else self.step,
            "parameter_count": sum(math.prod(v.shape) for v in self.model.trainable_variables),
            "error": error,
            **self._naive(),
        }
        return {name: [value] for name, value in row.items()}

    def _facts(self) -> dict[str, Any]:
        """What no table has, plain enough for JSON."""
        layout = self.rows.steps[0].layout
        return {
            "model": self.model.name,
            "layers": [asdict(place) for place in layout.rows],
            "variables": [asdict(variable) for variable in layout.variables],
            "data": self.data.facts(),
            "targets_square_over_variance": square_over_variance(*self._targets()),
            "before": risky_before(self.model),
            "averages_of_start": kept_of_start(self.model, self.step),
            "every": self.schedule.every,
            "recorded_steps": len(self.rows.steps),
            "share_of_time": self.schedule.share,
            "seconds_to_start": self.schedule.started,
        }

    def _naive(self) -> dict[str, Any]:
        """Of the recorded batches' targets."""
        kind, sums = self._targets()
        unknown = any(each.kind is FindingKind.NOT_PROBABILITIES for each in self.data.findings)
        return {} if unknown else naive(kind, sums)

    def _targets(self) -> tuple[DataKind | None, list[float]]:
        """What the recorded batches' targets are, and their sums."""
        steps = [step for step in self.rows.steps if step.layout.targets]
        if not steps:
            return None, []
        count = sum(key[0] == "target_sum" for key in steps[0].layout.at)
        sums = [math.fsum(step.get("target_sum", k, "sum") for step in steps) for k in range(count)]
        return DataKind(steps[0].layout.targets), sums

    def _timings(self) -> Columns:
        assert self.who is not None
        row = {
            "cohort": self.who.run_id, "runs": 1, "steps": self.step, "build_seconds": 0.0,
            "trace_seconds": self.schedule.started, "train_seconds": self.schedule.trained - self.schedule.spent,
            "measure_seconds": self.schedule.spent,
        }  # fmt: skip
        return {name: [value] for name, value in row.items()}


def _planned(params: Mapping[str, Any]) -> int | None:
    steps, epochs = params.get("steps"), params.get("epochs")
    return int(steps) * int(epochs) if steps and epochs else None


def _skips(optimizers: list[Any]) -> bool:
    return any(isinstance(each, keras.optimizers.LossScaleOptimizer) for each in optimizers)


def _accuracy(logs: Mapping[str, Any], ahead: str) -> float | None:
    """The one accuracy among an epoch's scores; None where there is none, or several outputs have one each."""
    names = [name for name in logs if name.endswith(("accuracy", "acc")) and name.startswith("val_") == bool(ahead)]
    return _number(logs[names[0]]) if len(names) == 1 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def name_of(model: keras.Model) -> str:
    """The model's name; one that Keras made is without the number that tells models of a process apart."""
    kind = re.sub("(?<=.)([A-Z][a-z]+)", r"_\1", type(model).__name__)
    kind = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
    return kind if re.fullmatch(rf"{re.escape(kind)}_\d+", model.name) else str(model.name)
