"""What a cohort costs: seconds on a machine whose rates were measured, memory, rows and disk.

The model and all its constants stand here. `REFERENCE` is a machine that orders the plan: the order depends on the
suite alone. What a user is told comes from the rates of his own machine (bench.commands.rates).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace
from math import ceil, log10, prod

from bench.factors import (
    AT_ONCE,
    FEWEST,
    LOOKED_POSITIONS,
    LOOKED_STEPS,
    Choice,
    Costs,
    DataKind,
    DatasetLevel,
    TaskLevel,
    costs_of,
    dataset_level,
    number_bytes,
    planned_groups,
    planned_heads,
    planned_moments,
    planned_positions,
)
from bench.factors.datasets import VALIDATION_ROWS
from bench.factors.recurrence import GATES
from bench.plan.model import Cohort
from bench.suite import Cell

Sizes = tuple[tuple[int, ...], int]  # of a sample, and of a head


@dataclass(frozen=True)
class Rates:
    """How fast a machine is, one worker with one thread: what `bench.engine.rates` measures of it."""

    import_seconds: float  # a worker's start: Python, TensorFlow, Keras
    trace_seconds: float  # building the probe and its first step, which traces it
    step_seconds: float  # each later step of it: its arrays are so small that this is dispatching alone
    flops_per_second: float  # products of 64 x 64 matrices, batched
    numbers_per_second: float  # results of tanh, on arrays as large as a layer's


# A machine with AVX-512 and oneDNN.
REFERENCE = Rates(4.0, 0.8, 0.0015, 6e10, 1e9)

# The probe: a suite of one small cohort that is trained to measure a machine.
PROBE = """
[suite]
name = "probe"
question = "How long does this machine take for a step?"
replicates = 2
[factors]
depth = [4]
[fixed]
width = 8
batch_size = 8
optimizer = "momentum"
steps = 100
[record]
gradient_norms = "never"
loss_curves = "never"
activations = "never"
evaluations = "never"
"""


@dataclass(frozen=True)
class Call:
    """What one call of a graph costs, in multiples of a machine's rates.

    Attributes:
        first: the first call, in those of the probe; `first_layer` more for each hidden layer that is not looped over.
        calls: dispatching, in steps of the probe; `layer_calls` more for each hidden layer.
        products: of matrices, in operations of a training step.
        passes: elementwise work, in passes over all units (of a recurrent layer all gates', at each time step; else as
            the architecture's costs say) of all samples; `normalized` more with a normalization.
        weight_passes: the same over all weights.
        answer_passes: the same over what a head says of all samples at each time step, where it answers at each.
        run_calls: dispatching for each run and hidden layer, where runs take layers one after the other.
    """

    first: float
    first_layer: float
    calls: float
    layer_calls: float
    products: float
    passes: float
    normalized: float
    weight_passes: float
    answer_passes: float = 0.0
    run_calls: float = 0.0

    def seconds(self, cohort: Cohort, rates: Rates, samples: int, parts: int = 1) -> float:
        """Each call but the first, with so many samples a run, in so many parts one after the other."""
        structure, costs, runs = cohort.structure, _costs_of(cohort), len(cohort.runs)
        passes = self.passes + NORMALIZED.get(structure["normalization"].name, 1.0) * self.normalized
        turns, gates = costs.layers * costs.length, GATES.get(structure["cell"].name, 1)
        units = costs.units or size(structure, "width") * gates * turns
        numbers = passes * samples * units + self.weight_passes * costs.weights
        if self.answer_passes:
            numbers += self.answer_passes * samples * _answers(structure)[1]
        return (
            rates.step_seconds * parts * (self.calls + (self.layer_calls + self.run_calls * runs) * turns)
            + runs * self.products * samples * costs.flops / rates.flops_per_second
            + runs * numbers / rates.numbers_per_second
        )


# Fitted to 24 structures of 1 to 96 runs, depths 1 to 48 and widths 8 to 1024 without, with batch and with layer
# normalization: most calls are right within a factor of 1.3.
STEP = Call(1.0, 0.015, 0.7, 0.033, 0.74, 4.0, 14.0, 3.0)
NORMS = Call(0.0, 0.0, 0.15, 0.0, 0.0, 6.0, 0.0, 3.0)  # of a step that measures them
TIMED = Call(0.2, 0.0, 0.2, 0.01, 0.5, 0.0, 0.0, 0.0)  # of one that looks at single time steps
INSIDE = Call(0.1, 0.0, 0.2, 0.01, 0.0, 4.0, 0.0, 0.0)  # of one that looks at heads or positions: a guess
EVALUATION = Call(0.11, 0.0, 0.55, 0.022, 0.14, 1.3, 2.6, 0.0)
ACTIVATIONS = Call(0.4, 0.03, 0.25, 0.025, 0.14, 11.0, 4.0, 0.0)
# The same of recurrent layers, fitted to 17 cohorts of 4 to 24 runs of all cells, 20 to 1,000 time steps, widths 16 to
# 128 and one or two layers: most calls are right within a factor of 1.25. What a normalization adds is a guess. Of 9 of
# 1 to 24 runs, two of them with an answer at each step: what each part of an evaluation and each look dispatches.
STEP_IN_TIME = Call(1.0, 0.55, 1.1, 0.032, 0.68, 7.5, 5.0, 3.0, 25.0)
NORMS_IN_TIME = Call(0.0, 0.0, 0.6, 0.001, 0.0, 2.7, 0.0, 3.0)
EVALUATION_IN_TIME = Call(0.2, 0.0, 1.5, 0.022, 0.19, 2.7, 1.5, 0.0, 25.0)
ACTIVATIONS_IN_TIME = Call(0.5, 0.0, 2.8, 0.025, 0.0, 14.5, 1.5, 0.0)
# The same of transformers, by layer a sub-layer, fitted to 6 cohorts of 4 to 64 runs, 2 to 25 blocks, widths 16 to
# 64 and 16 to 64 tokens on a machine that others used too: most calls are right within a factor of 1.25.
STEP_OF_BLOCKS = Call(4.6, 0.0, 0.7, 0.45, 0.73, 5.0, 0.0, 3.0, 10.0)
NORMS_OF_BLOCKS = Call(0.0, 0.0, 0.3, 0.05, 0.0, 0.4, 0.0, 3.0)
EVALUATION_OF_BLOCKS = Call(0.4, 0.0, 1.0, 0.1, 0.25, 2.5, 0.0, 0.0, 8.0)
ACTIVATIONS_OF_BLOCKS = Call(1.3, 0.0, 1.0, 0.1, 0.25, 4.3, 0.0, 0.0)
# The same of convolutions, fitted to 4 cohorts of 4 to 24 runs, 5 to 33 layers of 8 and 16 filters over 8 x 8, one of
# them with batch normalization and skip connections: most calls are right within a factor of 1.5.
STEP_OF_CONVOLUTIONS = Call(2.4, 0.05, 0.7, 0.75, 1.0, 2.3, 23.0, 3.0, run_calls=0.1)
NORMS_OF_CONVOLUTIONS = Call(0.0, 0.0, 0.15, 0.2, 0.0, 1.0, 0.0, 3.0)
EVALUATION_OF_CONVOLUTIONS = Call(0.6, 0.0, 0.55, 0.1, 0.2, 4.5, 11.0, 0.0)
ACTIVATIONS_OF_CONVOLUTIONS = Call(1.9, 0.0, 1.0, 0.1, 0.14, 19.0, 2.0, 0.0)
# Of a Keras model's run by itself, each step recorded, times a stacked cohort of one: 3 dense networks had 0.2 to
# 0.7 and 1.0 to 1.3.
ALONE_START, ALONE_STEP = 0.5, 1.2
FIRST_CONVOLVING = 1.2  # with a normalization, and with a skip connection, in the place of the factors below
NORMALIZED = {"none": 0.0, "batch_normalization": 0.5}  # of what others cost
SHALLOW, SHALLOW_LAYERS = 0.6, 2  # a first call where hardly any layer is like another, times one of the others
FIRST_NORMALIZED, FIRST_SKIPPING, UNROLLED_LAYERS = 1.9, 1.5, 16
EVALUATED, LOOKED_AT = 872, 512  # samples: of digits
MOST_VALIDATED = 2000
MOST_EVALUATED = 1536  # of tasks; of other data up to 2512
REPORT, REPORT_RUNS = 3.0, 3.0  # first calls of the probe: at all, and times the square of log10 of the runs
JACOBIAN_OPERATIONS = 400.0  # of the four decompositions of a layer, times its width cubed

# A worker's peak beyond, and the arrays' beyond the estimate, as measured up to 1 GiB (docs/cluster.md).
WORKER_BYTES = 800 * 2**20
ARRAYS_FACTOR = 2
DATA_COPIES = 3  # of a dataset: as drawn, as numpy holds it and as TensorFlow does; 3.2 and 3.5 measured of recall
EVALUATION_COPIES = 3  # of pre-activations over time
ANSWER_BYTES = 11  # of each sample and step that is evaluated: the answer, whether it is right, and copies
WEIGHT_COPIES = 4  # weights, gradients and up to two optimizer slots
HALF_COPIES = 1  # in half precision: weights rounded
FLOAT_BYTES = 4
# Of a dataset that only the data can describe: taken as large as an MNIST image.
UNKNOWN_SIZES: Sizes = ((28, 28), 10)

# Bytes of a row in its compressed file, and of a cohort's files without rows, as measured.
ROW_BYTES = {
    "runs": 40,
    "gradient_norms": 52,
    "activations": 44,
    "time_gradients": 60,
    "attention": 60,
    "positions": 20,
    "parameter_groups": 40,
    "loss_curves": 22,
    "evaluations": 18,
    "divergence_events": 30,
    "timings": 0,
}
COHORT_FILE_BYTES = 30_000


def estimate_seconds(cohort: Cohort, rates: Rates = REFERENCE) -> float:
    """How long a worker takes for a cohort: building and tracing, then training and measuring."""
    return Estimate.of(cohort, rates).seconds()


def estimate_report_seconds(runs: int, rates: Rates = REFERENCE) -> float:
    """How long the report of so many runs takes; as tracing, it waits for Python more than for products."""
    return rates.trace_seconds * (REPORT + REPORT_RUNS * log10(runs) ** 2)


@dataclass(frozen=True)
class Estimate:
    """Seconds of one worker for one cohort; a worker's own start is not among them.

    Attributes:
        start: building, tracing everything and the first step.
        step: each later step.
        recorded: what each recorded step of a table takes beside that.
        schedules: these steps.
    """

    start: float
    step: float
    recorded: Mapping[str, float]
    cohort: Cohort

    @classmethod
    def of(cls, cohort: Cohort, rates: Rates) -> Estimate:
        """By the rates of a machine."""
        if cohort.costs is not None and cohort.costs.alone:
            one, runs = cls.of(stacked(replace(cohort, runs=cohort.runs[:1])), rates), len(cohort.runs)
            recorded = {table: runs * cost for table, cost in one.recorded.items() if table == "evaluations"}
            return cls(runs * ALONE_START * one.start, runs * ALONE_STEP * one.step, recorded, cohort)
        structure, costs = cohort.structure, _costs_of(cohort)
        layers, in_time = costs.layers, costs.length > 1
        batch, width = size(structure, "batch_size"), size(structure, "width")
        jacobians = JACOBIAN_OPERATIONS * len(cohort.runs) * layers * width**3 / rates.flops_per_second
        step, norms, evaluation, activations = (
            (STEP_OF_CONVOLUTIONS, NORMS_OF_CONVOLUTIONS, EVALUATION_OF_CONVOLUTIONS, ACTIVATIONS_OF_CONVOLUTIONS)
            if costs.convolves
            else (STEP_OF_BLOCKS, NORMS_OF_BLOCKS, EVALUATION_OF_BLOCKS, ACTIVATIONS_OF_BLOCKS) if costs.units
            else (STEP_IN_TIME, NORMS_IN_TIME, EVALUATION_IN_TIME, ACTIVATIONS_IN_TIME) if in_time
            else (STEP, NORMS, EVALUATION, ACTIVATIONS)
        )  # fmt: skip
        data = dataset_level(structure["dataset"])
        steps = data.steps if data is not None and costs.units else costs.length if in_time else 1
        looked_at = max(1, min(LOOKED_AT, LOOKED_STEPS // max(1, steps)))
        judged = MOST_EVALUATED if costs.evaluated else EVALUATED
        if costs.convolves:
            looked_at = max(1, min(LOOKED_AT, LOOKED_POSITIONS // (costs.evaluated // width)))
            judged = _judged(data)
        calls = {
            "gradient_norms": (norms, batch),
            "evaluations": (evaluation, judged),
            "activations": (activations, looked_at),
            "time_gradients": (TIMED, batch),
            "attention": (INSIDE, batch),
            "positions": (INSIDE, batch),
            "parameter_groups": (norms, batch),
        }
        used = [step, *(call for table, (call, _) in calls.items() if cohort.schedules.get(table))]
        first = sum(call.first + call.first_layer * min(layers, UNROLLED_LAYERS) for call in used)
        first *= SHALLOW if layers <= SHALLOW_LAYERS and not in_time else 1.0
        normalized, skipping = (FIRST_CONVOLVING,) * 2 if costs.convolves else (FIRST_NORMALIZED, FIRST_SKIPPING)
        first *= 1.0 if structure["normalization"].is_none else normalized
        first *= 1.0 if structure["skip"].is_none else skipping
        start = rates.trace_seconds * first
        parts = {"evaluations": _parts(costs.evaluated * len(cohort.runs))}
        recorded = {
            table: call.seconds(cohort, rates, samples, parts.get(table, 1)) for table, (call, samples) in calls.items()
        }
        return cls(start, step.seconds(cohort, rates, batch), recorded | {"jacobians": jacobians}, cohort)

    def seconds(self, step: int | None = None) -> float:
        """Until a step is reached; None: until the end."""
        steps = self.cohort.steps if step is None else step
        if steps == 0:
            return 0.0
        after = steps if step is not None else steps + 1
        looks = sum(
            cost * bisect_left(self.cohort.schedules.get(table, ()), after) for table, cost in self.recorded.items()
        )
        return self.start + (steps - 1) * self.step + looks


def one_by_one(cohort: Cohort) -> Cohort:
    """A cohort as it would be if its network were a Keras model of a user's own."""
    return replace(cohort, costs=replace(_costs_of(cohort), alone=True))


def stacked(cohort: Cohort) -> Cohort:
    """A cohort as it would be if its runs shared a graph."""
    return replace(cohort, costs=replace(_costs_of(cohort), alone=False))


def makespan(seconds: Iterable[float], free: Iterable[float]) -> float:
    """When the last worker ends that takes what waits in its order, the workers being free at these moments."""
    moments = list(free)
    heapify(moments)
    for each in seconds:
        heapreplace(moments, moments[0] + each)
    return max(moments)


def estimate_memory(cohort: Cohort) -> int:
    """How many bytes of memory a worker holds at most while it trains a cohort, TensorFlow included."""
    level = dataset_level(cohort.structure["dataset"])
    numbers = 0
    if level is not None:
        rows = level.train_rows + (VALIDATION_ROWS if isinstance(level, TaskLevel) else 0)
        numbers = rows * prod(level.shape)
    if level is not None and level.vocabulary:
        numbers *= 2  # a target a step is as much as a token a step
    looks = bool(cohort.schedules.get("activations"))
    runs = len(cohort.each_alone()[0].runs)
    arrays = ARRAYS_FACTOR * runs * run_bytes(cohort.structure, cohort.costs, looks=looks, held=True)
    return WORKER_BYTES + max(arrays, _evaluated_bytes(cohort)) + DATA_COPIES * FLOAT_BYTES * numbers


def estimate_rows(cohort: Cohort) -> dict[str, int]:
    """How many rows each table gets if no run diverges."""
    depth = _costs_of(cohort).layers
    per_step = {
        "gradient_norms": depth + 1,
        "activations": depth,
        "time_gradients": len(planned_moments(cohort.structure)),
        "attention": len(planned_heads(cohort.structure)),
        "positions": len(planned_positions(cohort.structure)),
        "parameter_groups": len(planned_groups(cohort.structure)),
        "loss_curves": 1,
        "evaluations": 2,
    }
    runs = len(cohort.runs)
    rows = {table: runs * len(cohort.schedules.get(table, ())) * count for table, count in per_step.items()}
    return {"runs": runs} | rows | {"divergence_events": 0, "timings": 1}


def estimate_bytes(cohort: Cohort) -> int:
    """How much disk a cohort's tables take."""
    return COHORT_FILE_BYTES + sum(ROW_BYTES[table] * rows for table, rows in estimate_rows(cohort).items())


def run_bytes(structure: Cell, costs: Costs | None = None, *, looks: bool = True, held: bool = False) -> int:
    """Bytes of a run's weights, and of what the backward pass or a look at activations needs.

    Args:
        costs: as a `Cohort` has them.
        looks: whether activations are looked at.
        held: whether it is what was measured; otherwise what cohorts are split by, which must never change.
    """
    costs = costs or _costs(structure)
    activations = costs.held if held and costs.held else costs.activations
    step, looked = size(structure, "batch_size") * activations, costs.looked if looks else 0
    precision = structure["precision"]
    copies = WEIGHT_COPIES + (0 if precision.is_none else HALF_COPIES)
    return FLOAT_BYTES * copies * costs.weights + max(number_bytes(precision) * step, FLOAT_BYTES * looked)


def _evaluated_bytes(cohort: Cohort) -> int:
    """Bytes that an evaluation holds where it takes few samples at a time, and of answers at each step."""
    numbers = _costs_of(cohort).evaluated * len(cohort.runs)
    if not numbers or not cohort.schedules.get("evaluations"):
        return 0
    answers = ANSWER_BYTES * len(cohort.runs) * MOST_EVALUATED * _answers(cohort.structure)[0]
    return FLOAT_BYTES * EVALUATION_COPIES * numbers * _samples_at_once(numbers) + answers


def _judged(data: DatasetLevel | None) -> int:
    """Samples that an evaluation takes: some training rows, and validation rows up to a limit."""
    if data is None or isinstance(data, TaskLevel) or not data.train_rows:
        return MOST_EVALUATED
    return min(LOOKED_AT, data.train_rows) + min(MOST_VALIDATED, data.train_rows // 4)


def _answers(structure: Cell) -> tuple[int, int]:
    """Of a sample, the time steps at which a head answers and the numbers that it says; 0 where it answers once."""
    data = dataset_level(structure["dataset"])
    return (data.shape[0], data.outputs) if data is not None and data.asks is DataKind.CLASSES_EACH else (0, 0)


def _parts(numbers: int) -> int:
    """How many parts an evaluation takes one after the other, by these pre-activations of a sample in all runs."""
    return ceil(MOST_EVALUATED / _samples_at_once(numbers)) if numbers else 1


def _samples_at_once(numbers: int) -> int:
    """How many samples an evaluation takes at a time that makes so many pre-activations of each."""
    return min(MOST_EVALUATED, max(FEWEST, AT_ONCE // numbers))


def size(choices: Cell, factor: str) -> int:
    """The number that a cell has for a factor."""
    return int(choices[factor].value or 0)


def sizes_of(dataset: Choice) -> Sizes | None:
    """The shape of a sample as a network takes it, and the units of a head; None where only the data can tell."""
    level = dataset_level(dataset)
    return (level.input_shape, level.outputs) if level is not None and level.shape else None


def _costs_of(cohort: Cohort) -> Costs:
    """What a run of a cohort takes."""
    return cohort.costs or _costs(cohort.structure)


def _costs(structure: Cell) -> Costs:
    """What the structure's architecture says that a run takes."""
    return costs_of(structure, *(sizes_of(structure["dataset"]) or UNKNOWN_SIZES))
