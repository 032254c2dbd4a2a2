"""What a cohort's training found, as it comes, and at the end as tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import tensorflow as tf

from bench.engine.divergence import Event
from bench.engine.ensemble import TimedLayer
from bench.engine.inside import Inside
from bench.environment import processor_ticks
from bench.plan import Cohort
from bench.schema import RunStatus, conform, recorded

GRADIENT_COLUMNS = (
    "weight_grad_norm", "weight_grad_mean_abs", "weight_grad_zero_fraction", "preactivation_grad_norm",
    "activation_grad_norm", "preactivation_grad_pair_correlation", "weight_norm", "update_norm",
)  # fmt: skip


@dataclass
class Recorder:
    """Collects arrays over all runs; a run's rows end with the step at which it diverged.

    Attributes:
        moments: the time steps of which `time_gradients` tells, in the order of their rows.
        inside: what is kept of heads and of positions, by table.
        groups: layer and name of each row of `parameter_groups`.
        timings: seconds, as the table of that name has them.
        facts: columns of `runs` that the data alone decide, such as the best constant answer's loss.
        ended: for each run the last step that has rows.
    """

    cohort: Cohort
    layer_names: list[str]
    weight_counts: list[int]
    parameter_count: int
    moments: list[TimedLayer] = field(default_factory=list)
    inside: Mapping[str, Inside] = field(default_factory=dict)
    groups: list[tuple[int, str]] = field(default_factory=list)
    rows: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str | float | None] = field(default_factory=dict)
    ticks: tuple[int, int] | None = None  # the machine's at the second step

    def __post_init__(self) -> None:
        steps = int(self.cohort.structure["steps"].value or 0)
        self.ended = np.full(len(self.cohort.runs), steps)
        self.alive = np.full(len(self.cohort.runs), True)
        self.wanted = {table: frozenset(at) for table, at in self.cohort.schedules.items()}

    def wants(self, table: str, step: int) -> bool:
        """Whether the suite records this table at this step."""
        return step in self.wanted.get(table, ())

    def add(self, table: str, step: int, columns: dict[str, np.ndarray]) -> None:
        """Keep columns whose first axis is the run; further axes become rows of their own."""
        self.rows.setdefault(table, []).append((step, columns))

    def end(self, event: Event) -> None:
        """Note an event after which the run has no more rows."""
        self.events.append(event)
        self.alive[event.run] = False
        self.ended[event.run] = event.step

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add to `timings` what is done meanwhile; of training steps what it took of processors too."""
        training = name == "train_seconds"
        if training and name not in self.timings:
            self.ticks = processor_ticks()
        started, spent = time.perf_counter(), time.process_time()
        yield
        took = {name: time.perf_counter() - started}
        if training and not tf.config.list_physical_devices("GPU"):
            took["train_processor_time"] = time.process_time() - spent
        self.timings |= {each: self.timings.get(each, 0.0) + seconds for each, seconds in took.items()}

    def _busy(self) -> float | None:
        """The share of the machine's processor time that was in use since the second step."""
        now = processor_ticks()
        passed = now[1] - self.ticks[1] if now and self.ticks else 0
        return (now[0] - self.ticks[0]) / passed if now and self.ticks and passed else None

    def tables(self) -> dict[str, pa.Table]:
        """All tables that the cohort records."""
        made = {
            "runs": self._runs(),
            "gradient_norms": self._long("gradient_norms", self._layers(head=True)),
            "activations": self._long("activations", self._layers(head=False)),
            "time_gradients": self._long("time_gradients", self._over_time()),
            **{table: self._long(table, _keys(each.keys, each.rows)) for table, each in self.inside.items()},
            "parameter_groups": self._long("parameter_groups", _keys(("layer_index", "group"), self.groups)),
            "loss_curves": self._long("loss_curves", {}),
            "evaluations": self._long("evaluations", {"split": np.array(["train", "validation"])}),
            "divergence_events": self._events(),
            "timings": {"cohort": [self.cohort.key], "runs": [len(self.cohort.runs)], "machine_busy": [self._busy()]}
            | {name: [value] for name, value in self.timings.items()},
        }
        return {name: conform(name, columns) for name, columns in made.items() if recorded(name, self.wanted)}

    def _layers(self, *, head: bool) -> dict[str, np.ndarray]:
        count = len(self.layer_names) - (0 if head else 1)
        columns = {"layer_index": np.arange(count)}
        if head:
            columns |= {"layer_name": np.array(self.layer_names), "weight_count": np.array(self.weight_counts)}
        return columns

    def _over_time(self) -> dict[str, np.ndarray]:
        columns = {"layer_index": np.array([each.layer for each in self.moments])}
        for name in ("direction", "time", "lag"):
            columns[name] = np.array([getattr(each.moment, name) for each in self.moments])
        return columns

    def _long(self, table: str, inner: dict[str, np.ndarray]) -> dict[str, object]:
        """Rows ordered by run, step and the inner axis; a run's rows stop where it ended."""
        kept = self.rows.get(table, [])
        if not kept:
            return {}
        steps = np.array([step for step, _ in kept])
        width = len(next(iter(inner.values()))) if inner else 1
        shape = (len(self.cohort.runs), len(steps), width)
        keep = np.broadcast_to((steps[None] <= self.ended[:, None])[..., None], shape)
        ids = np.array([run.run_id for run in self.cohort.runs], object)
        columns: dict[str, object] = {
            "run_id": np.broadcast_to(ids[:, None, None], shape)[keep],
            "step": np.broadcast_to(steps[None, :, None], shape)[keep],
        }
        for name, values in inner.items():
            columns[name] = np.broadcast_to(values[None, None], shape)[keep]
        for name in kept[0][1]:
            stacked = np.ma.stack([columns_at[name] for _, columns_at in kept], axis=1)
            found = stacked.reshape(shape)[keep]
            if found.dtype.kind == "f":  # one NaN for all: its sign only tells which operand a sum read first
                found.data[np.isnan(found.data)] = np.nan
            columns[name] = found
        return columns

    def _runs(self) -> dict[str, object]:
        runs = self.cohort.runs
        return {
            "run_id": [run.run_id for run in runs],
            "suite": [self.cohort.suite] * len(runs),
            "cell_key": [run.cell_key for run in runs],
            "replicate": [run.replicate for run in runs],
            "seed": [run.seed for run in runs],
            "cohort": [self.cohort.key] * len(runs),
            "status": [str(RunStatus.COMPLETED if alive else RunStatus.DIVERGED) for alive in self.alive],
            "steps_completed": self.ended,
            "parameter_count": [self.parameter_count] * len(runs),
            **{name: [value] * len(runs) for name, value in self.facts.items()},
            **{name: [run.choices[name].column for run in runs] for name in runs[0].choices},
        }

    def _events(self) -> dict[str, object]:
        events = sorted(self.events, key=lambda event: (event.run, event.step))
        return {
            "run_id": [self.cohort.runs[event.run].run_id for event in events],
            "step": [event.step for event in events],
            "kind": [str(event.kind) for event in events],
            "tensor": [str(event.tensor) for event in events],
            "layer_index": [event.layer_index for event in events],
            "time": [event.time for event in events],
            "value": [event.value for event in events],
            "limit": [event.limit for event in events],
        }


def _keys(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, np.ndarray]:
    """What tells rows within a layer apart, name by name."""
    return {name: np.array([row[k] for row in rows]) for k, name in enumerate(names)}
