"""Trains a cohort by formula, without TensorFlow: a substitute for the whole pipeline with known answers.

The signal. Back-propagated through one hidden layer its norm changes by `growth` decades:

    none                  0 with the initializer critical, otherwise
                          decades[activation] + log10(sigma_w of the initializer)
    batch_normalization   BATCH_DECADES, whatever the activation
    any other             half of decades[activation]
    skip connection       SKIP_SHARE of that, a transformer's block BLOCK_SHARE
    total = growth * (layers - 1),   heat = total + log10(learning_rate / 0.01)

decades[activation] stands in the activation's record (`bench.factors.activations`).

The gradients of two samples of one class agree at the head and in the last hidden layer; k layers further back their
cosine is 2^-k, with a skip connection (1 + k)^(-1/2).

The fate. A run learns when total >= VANISHING and heat <= EXPLODING (EXPLODING_CLIPPED under any clipping). A run
that is not clipped and has heat > SEVERE diverges at step ceil(DIVERGENCE_STEPS / heat), if it has that many.

The rows. At layer l the pre-activation gradient norm is 10^(growth * (depth - 1 - l)) times noise. A run that learns
keeps (1 - 0.5 * step / steps) of its growth; its loss falls from ln 10 to FLOOR as exp(-5 * step / steps). One that
diverges doubles its loss each step; every other loss stays at ln 10. A weight gradient norm is the root of the layer's
signal; its numbers are of one magnitude, norm / sqrt(count), and none is 0. Any clipping caps the norm of them all at
its threshold. A run that does not learn gives every sample one answer; the classes are equally many, so that the best
constant answer has an accuracy of 0.1. Half of the activations are at most 0, no input of one is large, and units and
tokens differ as much as samples do. The noise is drawn from the run's (seed, replicate) alone, so cells compare in
pairs and no run depends on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.engine.dry_inside import attention, positions
from bench.engine.dry_time import time_gradients
from bench.factors import FACTORS, ActivationLevel, Choice, inner_tables, layer_names, planned_groups
from bench.plan import Cohort
from bench.schema import LOSS_LIMIT_FACTOR, TABLES, EventKind, RunStatus, Tensor, conform

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

BATCH_DECADES = 0.02
SKIP_SHARE = {
    "none": 1.0, "residual": 0.25, "residual_scaled": 0.0, "residual_damped": 0.1, "residual_post_norm": 0.25,
    "residual_v1": 0.5, "fixup": 0.25,
}  # fmt: skip
# Of a transformer's blocks; those that are not named have a tenth.
BLOCK_SHARE = {"none": 1.0, "no_skip": 1.0, "no_norm": 0.5}
VANISHING, EXPLODING, EXPLODING_CLIPPED, SEVERE = -1.5, 1.75, 6.0, 3.0  # decades
DIVERGENCE_STEPS = 60.0
CHANCE_LOSS, FLOOR = math.log(10.0), 0.05
CHANCE_ACCURACY, GAIN = 0.1, 0.85
LAYER_NOISE, LOSS_NOISE = 0.02, 0.02  # standard deviations: decades, and natural log
INPUTS, CLASSES, BASE_RATE = 64, 10, 0.01


@dataclass(frozen=True)
class Fate:
    """What the formula says of a run before any noise; `growth` and `total` are decades."""

    growth: float
    total: float
    learns: bool
    diverges_at: int | None


def initializer_decades(initializer: Choice, width: int) -> float:
    """log10(sigma_w) of an initializer on a square layer by mean-field theory; 0 where it is not known."""
    settings = dict(initializer.settings)
    match initializer.name:
        case "he_normal" | "he_uniform":
            return 0.5 * math.log10(2.0)
        case "random_normal" | "truncated_normal":
            return math.log10(float(settings.get("stddev", 0.05)) * math.sqrt(width))
        case "random_uniform":
            return math.log10(float(settings.get("limit", 0.05)) * math.sqrt(width / 3.0))
        case "orthogonal":
            return math.log10(float(settings.get("gain", 1.0)))
        case "variance_scaling":
            return 0.5 * math.log10(float(settings.get("scale", 1.0)))
        case "zeros":
            return -5.0
        case _:
            return 0.0


def growth(choices: Mapping[str, Choice]) -> float:
    """Decades by which the signal grows per layer toward the input; negative where it vanishes."""
    level = FACTORS["activation"].level(choices["activation"].name)
    activation = level.decades if isinstance(level, ActivationLevel) else 0.0
    match choices["normalization"].name:
        case "none" if choices["initializer"].name == "critical":
            decades = 0.0
        case "none":
            decades = activation + initializer_decades(choices["initializer"], number(choices, "width"))
        case "batch_normalization":
            decades = BATCH_DECADES
        case _:
            decades = 0.5 * activation
    block = choices["block"].name
    return decades * SKIP_SHARE.get(choices["skip"].name, 1.0) * BLOCK_SHARE.get(block, 0.1)


def correlations(choices: Mapping[str, Choice]) -> list[float]:
    """Cosine of the gradients of two samples of one class in each layer, the head last."""
    plain = choices["skip"].is_none
    back = range(len(layer_names(choices)) - 1, -1, -1)
    return [*(0.5**k if plain else (1.0 + k) ** -0.5 for k in back), 1.0]


def fate(choices: Mapping[str, Choice]) -> Fate:
    """What becomes of a run with these choices, by the formula above."""
    per_layer = growth(choices)
    total = per_layer * (len(layer_names(choices)) - 1)
    heat = total + math.log10(float(choices["learning_rate"].value or BASE_RATE) / BASE_RATE)
    clipped = not choices["clipping"].is_none
    learns = total >= VANISHING and heat <= (EXPLODING_CLIPPED if clipped else EXPLODING)
    at = math.ceil(DIVERGENCE_STEPS / heat) if heat > SEVERE and not clipped else None
    return Fate(per_layer, total, learns, at if at is not None and at < number(choices, "steps") else None)


def number(choices: Mapping[str, Choice], factor: str) -> int:
    """The whole number that a numeric factor was given."""
    return int(choices[factor].value or 0)


def threshold(clipping: Choice) -> float:
    """Where the formula caps the global gradient norm: infinity without clipping."""
    return math.inf if clipping.is_none else float(dict(clipping.settings).get("threshold", 1.0))


def train_cohort(cohort: Cohort) -> dict[str, pa.Table]:
    """All tables that a cohort records, by formula, with the exact schemas of `bench.schema.TABLES`."""
    batch = _Batch.of(cohort)
    made = {
        "runs": _runs(cohort, batch),
        "gradient_norms": _gradient_norms(cohort, batch),
        "activations": _activations(cohort, batch),
        "loss_curves": _loss_curves(cohort, batch),
        "evaluations": _evaluations(cohort, batch),
        "divergence_events": _divergence_events(cohort, batch),
        "timings": conform("timings", {"cohort": [cohort.key], "runs": [len(cohort.runs)], "steps": [batch.steps]}),
    }
    asked = {
        "time_gradients": _time_gradients, "attention": _attention, "positions": _positions,
        "parameter_groups": _parameter_groups,
    }  # fmt: skip
    for table, rows in asked.items():
        if table in cohort.schedules:
            made[table] = rows(cohort, batch)
    return made


@dataclass(frozen=True)
class _Batch:
    """A cohort's formula as arrays: one entry (or row) per run."""

    ids: pa.Array
    names: tuple[str, ...]
    depth: int  # hidden layers, of a transformer its sub-layers
    width: int
    steps: int
    correlation: Reals  # of two samples' gradients, [layers + head]
    growth: Reals
    learns: NDArray[np.bool_]
    end: Indices  # steps completed
    diverges: NDArray[np.bool_]
    threshold: Reals  # of the clipping; infinity where there is none
    layer_noise: Reals  # [runs, layers + head], decades
    loss_noise: Reals  # [runs, steps + 1], natural log

    @classmethod
    def of(cls, cohort: Cohort) -> _Batch:
        first = cohort.runs[0].choices
        names, steps = layer_names(first), number(first, "steps")
        depth = len(names)
        fates = [fate(run.choices) for run in cohort.runs]
        noise = {key: _noise(*key, depth + 1, steps + 1) for key in {(run.seed, run.replicate) for run in cohort.runs}}
        drawn = [noise[run.seed, run.replicate] for run in cohort.runs]
        return cls(
            ids=pa.array([run.run_id for run in cohort.runs], pa.string()),
            names=names,
            depth=depth,
            width=number(first, "width"),
            steps=steps,
            correlation=np.array(correlations(first)),
            growth=np.array([each.growth for each in fates]),
            learns=np.array([each.learns for each in fates]),
            end=np.array([steps if each.diverges_at is None else each.diverges_at for each in fates]),
            diverges=np.array([each.diverges_at is not None for each in fates]),
            threshold=np.array([threshold(run.choices["clipping"]) for run in cohort.runs]),
            layer_noise=np.stack([layers for layers, _ in drawn]),
            loss_noise=np.stack([losses for _, losses in drawn]),
        )

    def rows(self, schedule: tuple[int, ...], ended: bool = False) -> tuple[Indices, Indices]:
        """Run index and step of each row, up to the run's end; `ended` keeps a row at the end itself."""
        at = np.asarray(schedule, np.int64)
        run, position = np.nonzero(at[None, :] < self.end[:, None] + int(ended))
        return run, at[position]

    def signal(self, run: Indices, step: Indices) -> Reals:
        """Pre-activation gradient norms `[rows, layers + head]`; the head's is 1 times noise."""
        distance = np.append(np.arange(self.depth - 1, -1, -1), 0)
        grown = (self.growth[run] * self.kept(run, step))[:, None] * distance
        return np.asarray(10.0 ** (grown + self.layer_noise[run]))

    def kept(self, run: Indices, step: Indices) -> Reals:
        """The share of its growth that a run still has at a step."""
        return np.asarray(1.0 - 0.5 * self.learns[run] * step / self.steps)

    def loss(self, run: Indices, step: Indices) -> Reals:
        """Training loss of each row."""
        fallen = FLOOR + (CHANCE_LOSS - FLOOR) * np.exp(-5.0 * step / self.steps)
        curve = np.where(self.learns[run], fallen, CHANCE_LOSS)
        blown = CHANCE_LOSS * 2.0 ** np.minimum(step, 1000).astype(np.float64)
        noisy = curve * np.exp(LOSS_NOISE * self.loss_noise[run, step])
        return np.asarray(np.where(self.diverges[run], blown, noisy))

    def weight_counts(self) -> Indices:
        """Numbers in each layer's weights, the head last."""
        hidden = [INPUTS * self.width] + [self.width * self.width] * (self.depth - 1)
        return np.array([*hidden, self.width * CLASSES])


def _noise(seed: int, replicate: int, layers: int, steps: int) -> tuple[Reals, Reals]:
    generator = np.random.default_rng((seed, replicate))
    return LAYER_NOISE * generator.standard_normal(layers), generator.standard_normal(steps)


def _rows(table: str, batch: _Batch, at: tuple[Indices, Indices], each: int = 1, **columns: object) -> pa.Table:
    """A table with `each` rows for each run and step."""
    run, step = at
    ids = batch.ids.take(pa.array(np.repeat(run, each)))
    return conform(table, {"run_id": ids, "step": np.repeat(step, each), **columns})


def _runs(cohort: Cohort, batch: _Batch) -> pa.Table:
    runs, count = cohort.runs, len(cohort.runs)
    parameters = int(batch.weight_counts().sum()) + batch.depth * batch.width + CLASSES
    known: dict[str, object] = {
        "suite": [cohort.suite] * count,
        "cohort": [cohort.key] * count,
        "status": [str(RunStatus.DIVERGED if gone else RunStatus.COMPLETED) for gone in batch.diverges],
        "steps_completed": batch.end,
        "parameter_count": [parameters] * count,
        "naive_loss": [CHANCE_LOSS] * count,
        "naive_accuracy": [CHANCE_ACCURACY] * count,
    }
    for name in ("run_id", "cell_key", "replicate", "seed"):
        known[name] = [getattr(run, name) for run in runs]
    return conform("runs", known | {name: [run.choices[name].column for run in runs] for name in runs[0].choices})


def _gradient_norms(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = at = batch.rows(cohort.schedules["gradient_norms"])
    signal, counts = batch.signal(run, step), batch.weight_counts()
    names = pa.array([*batch.names, "head"])
    layer = np.tile(np.arange(batch.depth + 1), len(run))
    weights = np.sqrt(signal).ravel()
    return _rows(
        "gradient_norms", batch, at, batch.depth + 1,
        layer_index=layer,
        layer_name=names.take(pa.array(layer)),
        weight_grad_norm=weights,
        weight_grad_mean_abs=weights / np.sqrt(counts)[layer],
        weight_grad_zero_fraction=np.zeros(weights.size),
        preactivation_grad_norm=signal.ravel(),
        activation_grad_norm=pa.array(signal.ravel(), mask=layer == batch.depth),
        preactivation_grad_pair_correlation=np.tile(batch.correlation, len(run)),
        weight_norm=np.sqrt(counts / batch.width)[layer],
        update_norm=BASE_RATE * weights,
        weight_count=counts[layer],
    )  # fmt: skip


def _activations(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, _ = at = batch.rows(cohort.schedules["activations"], ended=True)
    # Going forward the mean square falls by what the signal loses going back, twice in decades: it is a square.
    layer = np.arange(batch.depth)
    square = 10.0 ** (2.0 * batch.growth[run][:, None] * layer)
    shape = np.ones(square.shape)
    # A network that loses twice the severe threshold maps all samples to one point: 1 - c falls to 1e-4 at the top.
    collapsed = (batch.growth[run] * (batch.depth - 1) < -2 * SEVERE)[:, None]
    cosine = np.where(collapsed, 1.0 - 10.0 ** (-4.0 * (layer + 1) / batch.depth), 0.5)
    tokens = {}
    if "attention" in inner_tables(cohort.structure):  # they grow alike as samples do
        away = ((1.0 - cosine) * shape).ravel()
        tokens = {"token_cosine": 1.0 - away, "token_distance": away, "rank_residual": np.sqrt(away)}
    return _rows(
        "activations", batch, at, batch.depth,
        layer_index=np.tile(layer, len(run)),
        mean=np.zeros(square.size),
        std=np.sqrt(square).ravel(),
        unit_std=np.sqrt(square).ravel(),
        preactivation_mean_square=square.ravel(),
        saturated_fraction=np.clip(-batch.growth[run][:, None] * shape, 0.0, 1.0).ravel(),
        dead_fraction=np.zeros(square.size),
        nonpositive_fraction=np.full(square.size, 0.5),
        large_fraction=np.zeros(square.size),
        pair_correlation=(cosine * shape).ravel(),
        **tokens,
    )  # fmt: skip


def _time_gradients(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = batch.rows(cohort.schedules["time_gradients"])
    growth = batch.growth[run] * batch.kept(run, step)
    return time_gradients(cohort, run, step, batch.signal(run, step)[:, :-1], growth)


def _attention(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = at = batch.rows(cohort.schedules["attention"])
    learned = batch.learns[run].astype(np.float64) * step / batch.steps
    doubled = batch.diverges[run].astype(np.float64) * np.minimum(step, 1000)
    return attention(cohort, at, np.sqrt(batch.signal(run, step)), learned, doubled)


def _positions(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = at = batch.rows(cohort.schedules["positions"])
    square = 10.0 ** (2.0 * batch.growth[run][:, None] * np.arange(batch.depth))
    return positions(cohort, at, batch.signal(run, step)[:, :-1], square)


def _parameter_groups(cohort: Cohort, batch: _Batch) -> pa.Table:
    """A group's gradient is that of its layer's weights; Adam's root is a hundredth of it."""
    run, step = at = batch.rows(cohort.schedules["parameter_groups"])
    told = planned_groups(cohort.structure)
    norms = np.sqrt(batch.signal(run, step))[:, [layer for layer, _ in told]].ravel()
    adam = {"second_moment_root": norms / 100.0} if cohort.structure["optimizer"].name in ("adam", "adamw") else {}
    return _rows(
        "parameter_groups", batch, at, len(told),
        layer_index=np.tile([layer for layer, _ in told], len(run)),
        group=np.tile([name for _, name in told], len(run)),
        grad_norm=norms,
        weight_norm=np.ones(norms.size),
        update_norm=BASE_RATE * norms,
        **adam,
    )  # fmt: skip


def _loss_curves(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = at = batch.rows(cohort.schedules["loss_curves"])
    norm, limit = np.sqrt(batch.signal(run, step).sum(axis=1)), batch.threshold[run]
    return _rows(
        "loss_curves", batch, at, loss=batch.loss(run, step), global_grad_norm=norm,
        clipped_grad_norm=np.minimum(norm, limit), clipped=norm > limit,
    )  # fmt: skip


def _evaluations(cohort: Cohort, batch: _Batch) -> pa.Table:
    run, step = at = batch.rows(cohort.schedules["evaluations"], ended=True)
    learned = batch.learns[run] * (1.0 - np.exp(-5.0 * step / batch.steps))
    train = CHANCE_ACCURACY + GAIN * learned
    accuracy = np.stack([train, train - 0.02 * learned], axis=1).ravel()
    return _rows(
        "evaluations", batch, at, 2,
        split=pa.array(["train", "validation"]).take(pa.array(np.tile([0, 1], len(run)))),
        loss=np.repeat(batch.loss(run, step), 2),
        accuracy=accuracy,
        balanced_accuracy=accuracy,
        largest_answer_share=np.repeat(1.0 - 0.9 * learned, 2),
    )  # fmt: skip


def _divergence_events(cohort: Cohort, batch: _Batch) -> pa.Table:
    limit = LOSS_LIMIT_FACTOR * CHANCE_LOSS
    crossing = math.floor(math.log2(LOSS_LIMIT_FACTOR)) + 1  # the first step whose loss is above the limit
    rows: list[tuple[object, ...]] = []
    for run_id, gone, end in zip(batch.ids.to_pylist(), batch.diverges, batch.end, strict=True):
        if gone and end > crossing:
            crossed = CHANCE_LOSS * 2.0**crossing
            rows.append((run_id, crossing, EventKind.LOSS_LIMIT, Tensor.LOSS, None, None, crossed, limit))
        if gone:
            rows.append((run_id, int(end), EventKind.INFINITY, Tensor.GRADIENT, 0, None, 1e30, None))
    names = list(TABLES["divergence_events"].columns)
    return conform("divergence_events", {name: [row[i] for row in rows] for i, name in enumerate(names)})
