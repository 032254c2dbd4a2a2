"""The tables: their columns, types, units and meaning. Everything that reads or writes them imports this."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import pyarrow as pa

from bench.factors import FACTORS


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"  # every planned step ran
    DIVERGED = "diverged"  # a loss, gradient, activation or weight left the finite numbers; the rows up to then stay
    FAILED = "failed"  # the code raised; see `error`


class EventKind(StrEnum):
    """What happened in a divergence event."""

    NAN = "nan"
    INFINITY = "infinity"
    SKIPPED_STEP = "skipped_step"  # a gradient overflowed and a loss scale skipped the update; the run goes on
    LOSS_LIMIT = "loss_limit"  # the loss exceeded `LOSS_LIMIT_FACTOR` times its start; the run goes on


class Tensor(StrEnum):
    """Where an event was seen first, in order of computation."""

    INPUT = "input"  # of one's own training: what the data hold
    TARGET = "target"  # likewise
    WEIGHT = "weight"  # as the step found it
    PREACTIVATION = "pre-activation"  # of the head: the logits
    LOGITS = "logits"  # of attention: scaled products of queries and keys, which are its pre-activations with values
    ACTIVATION = "activation"  # what a layer makes of its pre-activation: normalization and activation
    LOSS = "loss"
    GRADIENT = "gradient"


LOSS_LIMIT_FACTOR = 10.0  # times max(loss at step 0, loss of the best constant answer: ln K for K classes)
SATURATION_FRACTION = 0.2  # a unit is saturated on a sample where |phi'| < this x max |phi'|
OPEN_GATE = (0.05, 0.95)  # a gate's value is saturated outside
MOST_SKIPS_TOLD = 20  # events of skipped steps a run; all are counted in `loss_curves`
LARGE_INPUT = 5.0  # an activation's input is large where |u| >= this


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, its unit ("1" for a pure number) and a sentence on its meaning."""

    type: pa.DataType
    unit: str
    meaning: str


@dataclass(frozen=True)
class TableSpec:
    """One table: what a row is, and its columns in order."""

    row: str
    columns: Mapping[str, Column]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, with unit and meaning as metadata of each field."""
        fields = [
            pa.field(name, column.type, metadata={"unit": column.unit, "meaning": column.meaning})
            for name, column in self.columns.items()
        ]
        return pa.schema(fields, metadata={"row": self.row})


def _text(meaning: str) -> Column:
    return Column(pa.string(), "", meaning)


def _count(meaning: str, unit: str = "1") -> Column:
    return Column(pa.int64(), unit, meaning)


def _real(meaning: str, unit: str = "1") -> Column:
    return Column(pa.float64(), unit, meaning)


LOSS_UNIT = "nat, or of values the loss's own"

FACTOR_COLUMNS = tuple(FACTORS)  # the columns of `runs` that hold a factor's level, in order

_TYPES = {int: pa.int64(), float: pa.float64()}
_FACTORS = {
    name: Column(_TYPES[factor.number.kind] if factor.number else pa.string(), "", factor.summary)
    for name, factor in FACTORS.items()
}
_RUN_ID = {"run_id": _text("The run: its cell's key and its replicate.")}
_STEP = {"step": _count("Optimizer updates already applied: 0 is initialization.", "updates")}
_LAYER = {"layer_index": _count("Hidden layer, 0 nearest the input; the head comes last.")}


TABLES: dict[str, TableSpec] = {
    "runs": TableSpec(
        "run",
        _RUN_ID
        | {
            "suite": _text("Name of the suite."),
            "cell_key": _text("The combination of levels: readable words and a hash of what they mean."),
            "replicate": _count("Independent repetition of the cell, from 0; also the block for paired comparisons."),
            "seed": _count("Seed from which the run's weights and data order are drawn."),
            "cohort": _text("The runs that trained together in one graph."),
        }
        | _FACTORS
        | {
            "status": _text("completed, diverged or failed."),
            "steps_completed": _count("Updates applied while everything was finite.", "updates"),
            "parameter_count": _count("Trainable numbers in the network."),
            "targets": _text("What the data ask for: classes, classes_each (a class at each step) or values."),
            "naive_loss": _real(
                "Loss of the best answer that looks at no input, on the validation rows that are evaluated: the "
                "entropy of the classes' shares there, at each step that has one; of values their variance, or what "
                "the run's loss makes of the constant that is best by it.",
                LOSS_UNIT,
            ),
            "naive_accuracy": _real(
                "Accuracy of one answer for all, the largest class's share of all targets; null without classes."
            ),
            "learned_loss": _real(
                "Validation loss below which a run counts as learned, where the task names one: of text the entropy of "
                "a character given the one before it; null elsewhere, where docs/rules.md#learned has a share.",
                LOSS_UNIT,
            ),
            "error": _text("Why the run failed; null otherwise."),
        },
    ),
    "gradient_norms": TableSpec(
        "run, step, layer (the head included)",
        _RUN_ID
        | _STEP
        | _LAYER
        | {
            "layer_name": _text("hidden_0, hidden_1, ..., head."),
            "weight_grad_norm": _real("L2 norm of d(data loss)/d(the layer's kernel), before clipping, no penalties."),
            "weight_grad_mean_abs": _real("Mean of the magnitudes of that same gradient's numbers."),
            "weight_grad_zero_fraction": _real(
                "Share of exact zeros among that same gradient's numbers, which float32 rounds to 0 below 1.2e-38, "
                "and float16 below 3e-8 times the loss scale; NaN is not 0."
            ),
            "preactivation_grad_norm": _real(
                "Root mean square over samples of the L2 norm of B d(loss)/dz. Here z is the input of the "
                "layer's normalization and activation; for the head, the logits."
            ),
            "activation_grad_norm": _real(
                "The same for h, the output of the layer's activation; null for the head, which has none."
            ),
            "preactivation_grad_pair_correlation": _real(
                "Mean cosine between the d(loss)/dz of two samples of one class, over all such pairs of the batch: 1 "
                "is coherent, 0 shattered. A sample whose gradient is exactly 0 is in no pair; NaN where there is none."
            ),
            "weight_norm": _real("L2 norm of the layer's kernel before the update."),
            "update_norm": _real("L2 norm of the change that this step's update makes to the layer's kernel."),
            "weight_count": _count("Numbers in the layer's kernel: divide a squared norm by it for a mean square."),
        },
    ),
    "activations": TableSpec(
        "run, step, hidden layer",
        _RUN_ID
        | _STEP
        | _LAYER
        | {
            "mean": _real("Mean of h over probe samples and units."),
            "std": _real("Standard deviation of h over probe samples and units."),
            "unit_std": _real(
                "Root mean square over probe samples of the standard deviation of h over units; 0 where all units are "
                "copies of each other."
            ),
            "preactivation_mean_square": _real(
                "Mean of z squared over probe samples and units. Of a training of one's own on TensorFlow over a few "
                "samples of the batch, of wide layers about 2,048 numbers."
            ),
            "saturated_fraction": _real(
                f"Share of samples and units where |phi'| is below {SATURATION_FRACTION} of its maximum."
            ),
            "dead_fraction": _real("Share of units whose phi' is 0 on every probe sample."),
            "nonpositive_fraction": _real("Share of samples and units where h <= 0, h the output of the activation."),
            "large_fraction": _real(
                f"Share of samples and units where |u| >= {LARGE_INPUT:g}, u the input of the activation, after any "
                "normalization before it. Of a training of one's own of as few samples as the mean of z squared."
            ),
            "pair_correlation": _real("Mean cosine between the h of two probe samples; 1 is collapse."),
            "token_cosine": _real(
                "Mean cosine between two tokens of a sample, in the stream that leaves a transformer's sub-layer. This "
                "and the next two are null without tokens."
            ),
            "token_distance": _real(
                "1 less that cosine, computed of tokens whose common part is taken off first, so that it does not end "
                "where float32 tells no cosine from 1."
            ),
            "rank_residual": _real(
                "What is left of the stream X of a sample without the mean of its tokens, |X - 1 mean| / |X| in "
                "Frobenius norms; 0 where all tokens are one."
            ),
            "layer_jacobian_singular_value_mean": _real(
                "Mean singular value of dh/d(h of the layer below), over a few probe samples. This and the next two "
                "are null unless [record] asks for jacobians, and with a normalization or a skip connection."
            ),
            "jacobian_mean_square": _real(
                "Mean squared singular value of dh/d(h of the first hidden layer), likewise."
            ),
            "jacobian_square_dispersion": _real(
                "Variance of that Jacobian's squared singular values over their mean squared; 0 is an isometry."
            ),
        },
    ),
    "time_gradients": TableSpec(
        "run, step, recurrent layer, direction, time step that is kept: by their distance from the last that is "
        "computed 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, ..., and the first",
        _RUN_ID
        | _STEP
        | {
            "layer_index": _count("Recurrent layer, 0 nearest the input."),
            "direction": _text("forward or backward: in which the layer goes along the sequence."),
            "time": _count("Time step t, 0 the sequence's first.", "time steps"),
            "lag": _count(
                "Steps that a gradient takes to t from the first loss that can see it: forward, with a loss at the "
                "last of T steps, T - 1 - t; with one at every step 0.",
                "time steps",
            ),
            "state_grad_norm": _real(
                "Root mean square over samples of the L2 norm of B d(loss)/dh_t, the total derivative: by the output "
                "and by every later step."
            ),
            "cell_grad_norm": _real(
                "The same for c_t, with the path through h_t of the same step; null without a cell state."
            ),
            "preactivation_grad_norm": _real(
                "The same for what the input puts into the pre-activations, W x_t + b of all gates."
            ),
            "recurrent_kernel_grad_norm": _real(
                "L2 norm of the step's own term of d(mean loss)/d(recurrent kernel): summed over all steps they are "
                "that gradient, which can be large while the early terms vanish."
            ),
            "state_mean_square": _real("Mean of h_t squared over samples and units."),
            "gate_mean": _real(
                "Mean over samples and units of the gate that keeps the state: an LSTM's f, a GRU's z; null without."
            ),
            "gate_saturated_fraction": _real(
                f"Share of that gate's values outside [{OPEN_GATE[0]}, {OPEN_GATE[1]}]; null without."
            ),
        },
    ),
    "attention": TableSpec(
        "run, step, sub-layer with attention (32 of them at most, evenly), head (16 at most)",
        _RUN_ID
        | _STEP
        | {
            "layer_index": _count("Sub-layer, 0 nearest the input: 2b is the attention of block b."),
            "head": _count("Head, from 0, by its place among the kernels' columns."),
            "entropy": _real("Mean over samples and queries of -sum a ln a, a a query's weights.", "nat"),
            "entropy_share": _real(
                "The same mean of each entropy over ln of the keys that its query sees, which is its largest: 1 is "
                "uniform, 0 one key. A query that sees one key is left out."
            ),
            "max_logit": _real("Largest of q k scale over samples and visible pairs, before mask or cap."),
            "logit_std": _real("Standard deviation of those same logits."),
            "max_weight": _real("Mean over samples and queries of a query's largest weight."),
            "query_grad_norm": _real("L2 norm of d(data loss)/d(the head's columns of the query kernel)."),
            "key_grad_norm": _real("The same of the key kernel."),
            "value_grad_norm": _real("The same of the value kernel."),
            "output_grad_norm": _real("The same of the head's rows of the output kernel."),
        },
    ),
    "positions": TableSpec(
        "run, step, convolutional layer (16 at most, evenly), position that is kept: all of 8 x 8 or of a sequence of "
        "64, of more those near a border and in the middle",
        _RUN_ID
        | _STEP
        | {
            "layer_index": _count("Convolutional layer, 0 nearest the input."),
            "row": _count("Row of the layer's output, from 0; 0 of a sequence."),
            "column": _count("Column of it, from 0; of a sequence its place."),
            "mean_square": _real("Mean of z squared over the batch's samples and channels."),
            "preactivation_grad_norm": _real(
                "Root mean square over samples of the L2 norm over channels of B d(loss)/dz there."
            ),
        },
    ),
    "parameter_groups": TableSpec(
        "run, step, layer (the head included), group of its parameters",
        _RUN_ID
        | _STEP
        | _LAYER
        | {
            "group": _text(
                "kernel, recurrent_kernel, bias, gain (what a normalization multiplies by, and what a query_key "
                "learns), and of an LSTM gate_i, gate_f, gate_c, gate_o, of a GRU gate_z, gate_r, gate_h: that gate's "
                "columns of kernel, recurrent kernel and bias together. Both directions of a layer are one. Of a "
                "transformer query, key, value, output, ff_in, ff_out, each kernel with its bias, and embedding, of "
                "tokens and positions together."
            ),
            "grad_norm": _real("L2 norm of d(data loss)/d(the group), before clipping, no penalties."),
            "weight_norm": _real("L2 norm of the group before the update."),
            "update_norm": _real("L2 norm of the change that this step's update makes to the group."),
            "second_moment_root": _real(
                "Mean over the group of the root of Adam's second moment, corrected, after the update: near epsilon "
                "the update falls below the learning rate. Null for optimizers that are not Adam."
            ),
        },
    ),
    "loss_curves": TableSpec(
        "run, step",
        _RUN_ID
        | _STEP
        | {
            "loss": _real(
                "Data loss of the training batch before the update: cross-entropy (to smoothed labels where a run "
                "has them), of values what the run's loss says.",
                LOSS_UNIT,
            ),
            "global_grad_norm": _real("L2 norm of the whole gradient, penalty included, before clipping."),
            "clipped_grad_norm": _real("The same after clipping: what the optimizer was given."),
            "clipped": Column(pa.bool_(), "", "Whether clipping changed the gradient at this step."),
            "loss_scale": _real(
                "What the loss is multiplied by before this step's gradient is taken, of which all other columns and "
                "tables are freed. 1 where a float16 run scales none, null in other precisions."
            ),
            "skipped": _count(
                "Updates that the loss scale skipped so far, this step's included; null likewise.", "updates"
            ),
            "log_z_square": _real(
                "Mean over the batch of the square of ln Z, Z the sum of the exponentials of a head's logits: what "
                "z_loss multiplies; null without classes, or where no transformer is."
            ),
        },
    ),
    "evaluations": TableSpec(
        "run, step, split",
        _RUN_ID
        | _STEP
        | {
            "split": _text("train (a fixed sample of the training rows) or validation."),
            "loss": _real(
                "The same of this split, network in inference mode; cross-entropy is to the labels as they are.",
                LOSS_UNIT,
            ),
            "accuracy": _real("Share of samples classified rightly, network in inference mode; null without classes."),
            "balanced_accuracy": _real("Mean over the classes that occur of the same share of each; null likewise."),
            "largest_answer_share": _real(
                "Share of samples that are given the commonest answer: 1 is one answer for every input; null likewise."
            ),
        },
    ),
    "divergence_events": TableSpec(
        "event",
        _RUN_ID
        | _STEP
        | {
            "kind": _text(
                "nan, infinity, loss_limit, or skipped_step: a gradient that is not finite, so that a dynamic loss "
                "scale skips the update and halves. Of steps skipped one after the other the first is an event, up to "
                f"{MOST_SKIPS_TOLD} a run; loss_curves counts all. A tensor that holds both is infinity. So is a "
                "pre-activation, a sum of finite products, which can only overflow, like attention's logits, and a "
                "weight's gradient, unless its layer's derivative is NaN: whether an overflowing sum leaves infinity "
                "or NaN depends on the order in which it is added."
            ),
            "tensor": _text(
                "The first bad one in order of computation: weight, as the step found it; then, from the input on, "
                "each layer's pre-activation (the head's logits; of attention queries, keys and values), logits (of "
                "attention alone: scaled products of queries and keys) and activation (what normalization and "
                "activation make of it); loss; gradient, from the head back. After the last update: in one "
                "more batch, else the last evaluation's loss. Of one's own training before all of them input and "
                "target, what the data hold."
            ),
            "layer_index": Column(pa.int64(), "1", "Its layer; null for a loss."),
            "time": Column(
                pa.int64(),
                "time steps",
                "The first time step, from 0, at which that layer was bad; of a gradient the last, for it goes back. "
                "Null where there is none: without time, of the head, of a loss, of a weight, and of a sum over time "
                "steps that overflows by itself.",
            ),
            "value": _real(
                "Largest finite magnitude left in that tensor of that layer; for a loss the last finite one; for "
                "loss_limit the loss that crossed; for skipped_step the loss scale; null if there was none."
            ),
            "limit": _real("The limit that was crossed; null for nan, infinity and skipped_step."),
        },
    ),
    "timings": TableSpec(
        "cohort; the one table that measures the machine, and so differs each time",
        {
            "cohort": _text("The runs that trained together in one graph."),
            "runs": _count("How many they were."),
            "steps": _count("Steps that the cohort trained.", "updates"),
            "build_seconds": _real("Loading data, building the network, drawing the weights.", "s"),
            "trace_seconds": _real("First calls: tracing and optimizing the graphs, one step included.", "s"),
            "train_seconds": _real("The other training steps.", "s"),
            "measure_seconds": _real("Evaluations, activation statistics, the look at the last update.", "s"),
            "train_processor_time": _real(
                "What `train_seconds` took of processors, over all threads of the process: less than those where it "
                "waited for a processor. Null beside a GPU, for which a process waits.",
                "s",
            ),
            "machine_busy": _real(
                "Share of the machine's processor time from the second step to the last that was in use, by whatever. "
                "Null where the system has no /proc/stat."
            ),
        },
    ),
}


# Tables of cohorts alone whose suite names them in [record].
ASKED = ("time_gradients", "attention", "positions", "parameter_groups")


def recorded(table: str, asked: Container[str]) -> bool:
    """Whether a cohort has a table: each, but of `ASKED` those alone that are among what was `asked` for."""
    return table not in ASKED or table in asked


def conform(table: str, columns: Mapping[str, Any]) -> pa.Table:
    """The columns in the schema's order and types; a column that was not measured is null.

    Raises:
        pyarrow.ArrowException: a column does not fit its type, or the columns differ in length.
    """
    schema = TABLES[table].arrow
    rows = len(next(iter(columns.values()))) if columns else 0
    arrays = [
        pa.array(columns[field.name], type=field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
