"""From what recorded steps handed out to rows of the project's tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.recorder.layout import STATISTICS, Layout
from bench.schema import MOST_SKIPS_TOLD, EventKind, Tensor

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Event:
    """Something that is not as it should be, at a step: `layer_index` is None where it is of no layer."""

    step: int
    kind: EventKind
    tensor: Tensor
    layer_index: int | None = None
    value: float | None = None


@dataclass(frozen=True)
class Step:
    """One recorded step: its number, what it handed out, and what each number is."""

    step: int
    numbers: np.ndarray
    layout: Layout
    skips: bool = False  # whether a loss scale skips its update where a gradient is not finite
    accumulates: bool = False  # whether an update is made of several steps' gradients

    def get(self, what: str, index: int, name: str) -> float:
        """A number; NaN where the step has none."""
        at = self.layout.at.get((what, index, name))
        return math.nan if at is None else float(self.numbers[at])

    def has(self, what: str, index: int, name: str) -> bool:
        """Whether the step has such a number."""
        return (what, index, name) in self.layout.at

    def optional(self, what: str, index: int, name: str) -> float | None:
        """A number, or None where the step has none."""
        return self.get(what, index, name) if self.has(what, index, name) else None

    @property
    def scale(self) -> float:
        """By what the loss was multiplied."""
        return self.get("step", 0, "scale")

    @property
    def batch(self) -> float:
        """Samples of the step."""
        return self.get("step", 0, "batch")

    @property
    def loss(self) -> float | None:
        """The batch's loss, without penalties where it had any."""
        found = self.optional("step", 0, "loss")
        return None if found is None else found - (self.optional("step", 0, "penalty") or 0.0)

    def of_variables(self, name: str) -> np.ndarray:
        """That sum of squares of each variable; NaN where it has none."""
        return np.array([self.get("variable", k, name) for k in range(len(self.layout.variables))])

    @property
    def skipped(self) -> bool:
        """Whether a loss scale skipped the update."""
        return self.skips and not np.isfinite(self.of_variables("gradient")).all()

    def first_bad(self) -> Event | None:
        """The first tensor that is not finite, in order of computation; None where all are."""
        if np.isfinite(self.numbers[self.layout.judged]).all():
            return None
        for tensor, layer, value in self.in_order():
            if not math.isfinite(value):
                kind = EventKind.NAN if math.isnan(value) else EventKind.INFINITY
                return Event(self.step, kind, tensor, layer)
        return None

    def in_order(self) -> Iterator[tuple[Tensor, int | None, float]]:
        """Each tensor with its row and its sum of squares (of the loss its value), in order of computation."""
        yield from self._data()
        yield from self._forward()
        yield from self._backward()

    def _data(self) -> Iterator[tuple[Tensor, int | None, float]]:
        for what in (Tensor.INPUT, Tensor.TARGET):
            for (kind, _, _), at in self.layout.at.items():
                if kind == what:
                    yield what, None, float(self.numbers[at])

    def _forward(self) -> Iterator[tuple[Tensor, int | None, float]]:
        for k, variable in enumerate(self.layout.variables):
            yield Tensor.WEIGHT, variable.row, self.get("variable", k, "weight")
        for row in range(len(self.layout.rows)):
            for name, tensor in (("z", Tensor.PREACTIVATION), ("h", Tensor.ACTIVATION)):
                if self.has("row", row, name):
                    yield tensor, row, self.get("row", row, name)
        if self.loss is not None:
            yield Tensor.LOSS, None, self.loss

    def _backward(self) -> Iterator[tuple[Tensor, int | None, float]]:
        for row in reversed(range(len(self.layout.rows))):
            for name in ("h_gradient", "z_gradient"):
                if self.has("row", row, name):
                    yield Tensor.GRADIENT, row, self.get("row", row, name)
        for k in reversed(range(len(self.layout.variables))):
            yield Tensor.GRADIENT, self.layout.variables[k].row, self.get("variable", k, "gradient")


def root(square: float | None, factor: float = 1.0) -> float | None:
    """The root of a sum of squares, times a factor; None of what was not measured."""
    return None if square is None else math.sqrt(square) * factor if square >= 0.0 or math.isnan(square) else math.nan


def gradient_rows(step: Step) -> Iterator[dict[str, Any]]:
    """The rows of `gradient_norms`: a call of a layer each, in order of computation."""
    signal = math.sqrt(step.batch) / step.scale
    for index, place in enumerate(step.layout.rows):
        of = _Kernels(step, place.variables)
        dz, dh = (step.optional("row", index, name) for name in ("z_gradient", "h_gradient"))
        if dz is None and dh is None and not place.variables:
            continue  # nothing flows back to it: it is frozen, as all below it
        yield {
            "layer_index": index,
            "layer_name": "head" if place.head else place.name,
            "weight_grad_norm": root(of.sum(of.data_gradient), 1.0 / step.scale),
            "weight_grad_mean_abs": of.mean("abs_sum", 1.0 / step.scale),
            "weight_grad_zero_fraction": of.zeros(),
            "preactivation_grad_norm": root(dz, signal),
            "activation_grad_norm": root(dh, signal),
            "weight_norm": root(of.sum("weight")),
            "update_norm": root(of.sum("update")),
            "weight_count": of.size or None,
        }


@dataclass(frozen=True)
class _Kernels:
    """A layer's kernels taken together; None where it has none."""

    step: Step
    numbers: Sequence[int]

    @property
    def size(self) -> int:
        return sum(self.step.layout.variables[k].size for k in self.numbers)

    @property
    def data_gradient(self) -> str:
        penalized = any(self.step.has("variable", k, "data_gradient") for k in self.numbers)
        return "data_gradient" if penalized else "gradient"

    def sum(self, name: str) -> float | None:
        if not self.numbers:
            return None
        found = [self.step.optional("variable", k, name) for k in self.numbers]
        if name == "data_gradient":
            found = [
                self.step.optional("variable", k, "gradient") if each is None else each
                for k, each in zip(self.numbers, found, strict=True)
            ]
        return None if any(each is None for each in found) else math.fsum(each for each in found if each is not None)

    def mean(self, name: str, factor: float) -> float | None:
        found = self.sum(name)
        return None if found is None else found * factor / self.size

    def zeros(self) -> float | None:
        found = self.sum("nonzero")
        return None if found is None else 1.0 - found / self.size


def activation_rows(step: Step) -> Iterator[dict[str, Any]]:
    """The rows of `activations`: hidden layers."""
    for index, place in enumerate(step.layout.rows):
        if place.head or not step.has("row", index, STATISTICS[0]):
            continue
        found = {name: step.get("row", index, name) for name in STATISTICS}
        unknown = [name for name in STATISTICS[3:7] if math.isnan(found[name])]
        if step.batch < 2:  # a last batch of one row has no pair of samples
            unknown.append("pair_correlation")
        z, looked = (step.optional("row", index, name) for name in ("z", "looked"))
        yield {
            "layer_index": index,
            **{name: None if name in unknown else value for name, value in found.items()},
            "preactivation_mean_square": None if z is None or not looked else z / looked,
        }


def group_rows(step: Step) -> Iterator[dict[str, Any]]:
    """The rows of `parameter_groups`: a trainable variable each, by the layer that it goes with."""
    for k, variable in enumerate(step.layout.variables):
        gradient = step.optional("variable", k, "data_gradient")
        gradient = step.optional("variable", k, "gradient") if gradient is None else gradient
        yield {
            "layer_index": variable.row,
            "group": variable.group,
            "grad_norm": root(gradient, 1.0 / step.scale),
            "weight_norm": root(step.optional("variable", k, "weight")),
            "update_norm": root(step.optional("variable", k, "update")),
        }


def loss_row(step: Step, skips: int) -> dict[str, Any]:
    """The row of `loss_curves`."""
    raw, clipped = (step.of_variables(name) for name in ("gradient", "clipped"))
    norm = root(float(raw.sum()), 1.0 / step.scale) if len(raw) else None
    none_clips = all(not step.has("variable", k, "clipped") for k in range(len(raw)))
    after = norm if none_clips else root(float(np.sum(clipped)))
    after = None if after is not None and math.isnan(after) and norm is not None and math.isfinite(norm) else after
    unknown = after is None or norm is None or step.accumulates
    changed = None if unknown else not math.isclose(after or 0.0, norm or 0.0, rel_tol=1e-6)
    scaled = step.scale != 1.0 or step.skips
    return {
        "loss": step.loss,
        "global_grad_norm": norm,
        "clipped_grad_norm": after,
        "clipped": changed,
        "loss_scale": step.scale if scaled else None,
        "skipped": skips if scaled else None,
    }


@dataclass
class Rows:
    """All rows of one run so far; they end with the step at which a tensor was not finite."""

    steps: list[Step] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    skips: list[int] = field(default_factory=list)
    diverged: bool = False

    def add(self, step: Step) -> Event | None:
        """Take in a recorded step; what is new and not as it should be is returned."""
        event = step.first_bad()
        skipped = step.skipped
        last = self.skips[-1] if self.skips else 0
        first = not self.steps or not self.steps[-1].skipped
        self.steps.append(step)
        self.skips.append(last + skipped)
        if skipped and (event is None or event.tensor is Tensor.GRADIENT):
            told = sum(each.kind is EventKind.SKIPPED_STEP for each in self.events)
            if not first or told >= MOST_SKIPS_TOLD:
                return None
            layer = event.layer_index if event else None
            event = Event(step.step, EventKind.SKIPPED_STEP, Tensor.GRADIENT, layer, step.scale)
        elif event is not None:
            self.diverged = True
        if event is not None:
            self.events.append(event)
        return event

    @property
    def unseen(self) -> dict[str, str]:
        """What no recorded step saw, or not whole, and why, of all ways in which steps were traced."""
        layouts = {id(step.layout): step.layout for step in self.steps}
        found: dict[str, str] = {}
        for layout in layouts.values():
            found |= {name: why for name, why in layout.unseen if name not in found}
        return found

    def held_back(self, step: Step) -> Event:
        """The event of a step whose update was held back: where all before it was finite, the weights that it made."""
        if not self.diverged:
            update = step.of_variables("update")
            bad = np.flatnonzero(~np.isfinite(update))
            value = update[bad[0]] if len(bad) else math.inf
            kind = EventKind.NAN if math.isnan(value) else EventKind.INFINITY
            row = step.layout.variables[bad[0]].row if len(bad) else None
            self.events.append(Event(step.step, kind, Tensor.WEIGHT, row))
            self.diverged = True
        return self.events[-1]

    def columns(self, run_id: str) -> dict[str, Columns]:
        """Each table's columns."""
        made: dict[str, list[dict[str, Any]]] = {
            "gradient_norms": [], "activations": [], "parameter_groups": [], "loss_curves": [],
        }  # fmt: skip
        makers = {"gradient_norms": gradient_rows, "activations": activation_rows, "parameter_groups": group_rows}
        for step, skips in zip(self.steps, self.skips, strict=True):
            head = {"run_id": run_id, "step": step.step}
            for table, maker in makers.items():
                made[table] += [head | row for row in maker(step)]
            made["loss_curves"].append(head | loss_row(step, skips))
        made["evaluations"] = [{"run_id": run_id} | each for each in self.evaluations]
        made["divergence_events"] = [
            {"run_id": run_id, "step": each.step, "kind": str(each.kind), "tensor": str(each.tensor),
             "layer_index": each.layer_index, "value": each.value} for each in self.events
        ]  # fmt: skip
        return {table: _columns(rows) for table, rows in made.items()}


def _columns(rows: Sequence[dict[str, Any]]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in rows[0]} if rows else {}
