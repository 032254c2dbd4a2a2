"""Quantities: every number that is made of a run's records, as data. `bench.analysis.quantities` computes them.

Rules, claims, the page and the documents name the same quantities: a recorded column (`bench.schema`) gets its place in
all of them by one entry here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

Layers = int | str | tuple[int, int]
Step = int | str

HIDDEN = (0, -1)  # all hidden layers
ALL_LAYERS = "all"  # the head too
EACH = "each"  # one number per recorded step: what rules look at
LEARNED = "learned"  # the accuracy from which a run counts as learned
LAYERED = ("activations", "gradient_norms")  # tables with layers, in the order in which reading them takes least room
# Tables with several rows a layer, of which a `Slice` makes one number.
SLICED = ("time_gradients", "attention", "positions", "parameter_groups")
WITH_LAYERS = (*LAYERED, *SLICED)
WHOLE_RUN = ("runs", "timings", "divergence_events")  # tables without recorded steps: a lost run is in them too
# Between 0 and 1, beside those named fractions.
SHARES = (
    "accuracy", "balanced_accuracy", "largest_answer_share", "clipped", "entropy_share", "max_weight",
    "rank_residual",
)  # fmt: skip
ACCURACY = (("accuracy", 1.0),)
LOSS = (("loss", 1.0),)
HORIZON = 0.01  # the share of a gradient that is left where it ends
ERROR_SHARE = "error_share"  # over the best constant answer's: of classes the share of wrong ones, of values the loss


class LostRule(StrEnum):
    """What an estimate counts for a run that diverged or failed: nobody averages over survivors alone."""

    MEASURED = "what was measured before it was lost; a run without a measurement is only counted"
    CHANCE = "accuracy at chance: that of the best constant answer on the same dataset"
    WORST = "infinity: it ranks behind every run that ended"


class Better(StrEnum):
    """Which values are better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEAR_ZERO = "near 0"
    NEITHER = "-"


@dataclass(frozen=True)
class Slice:
    """How a layer's rows in a table of `SLICED` become one number.

    Attributes:
        lag: the time step with that lag; or the first or the last that the layer takes; or, of (from, to), the slope of
            the transformed value against the lag.
        over_lag: divide by the value there, before the transform.
        horizon: makes it the smallest lag with less than this share of the value at lag 0; infinity if there is none.
        direction: forward or backward; "" for the mean over the layer's directions.
        group: of `parameter_groups`.
        head: of `attention`, one of the heads, or how all become one number: mean, min or max.
        place: of `positions`, a row and a column, counted from the end where negative; or corner, edge or center, the
            mean over those; "" for the mean over all.
        over_place: divide by the value there, before the transform.
    """

    lag: int | str | tuple[int, int] | None = None
    over_lag: int | str | None = None
    horizon: float | None = None
    direction: str = ""
    group: str = ""
    head: int | str = "mean"
    place: tuple[int, int] | str = ""
    over_place: tuple[int, int] | str = ""


@dataclass(frozen=True)
class Quantity:
    """One number per run, or one per run and recorded step.

    Each row of a table has a value; the values of a step's layers become one number; those of a run's steps become
    one. A quantity that a claim writes out has no name.

    Attributes:
        name: as rules, claims, columns of frames and documents have it.
        unit: "1" for a pure number.
        definition: a sentence.
        table: where its columns are.
        of: columns with their powers: a row's value is their product. `learning_rate` is the run's, and `ERROR_SHARE`
            made of an evaluation's score.
        transform: of that value: none, ln, log10, square, or complement, 1 less the value.
        split: of evaluations: train or validation; "" for the larger of both.
        slice: of tables with several rows a layer: how they become one.
        layers: one by its index (-1 is the last hidden one), first, last, head, (from, to), or all, the head included.
        take: how several layers become one number: mean, median, min, max, slope, and of the first and the last of
            them first_less_last, ratio or log_ratio (log10).
        on: a slope is against the layer's index (layer), or ln(1 + index) (ln_layer).
        weights: a column by which a mean over layers is weighted.
        whole: whether one layer without a number leaves the step without one, rather than being passed over.
        step: a recorded step; start or end, the first or last; each; over all of them mean, min, max, area (the mean
            by the trapezoidal rule), rise (the largest from one to the next), change (end less start), first (the first
            step at `below` or `above`) or any (1 or 0).
        since: the first step that counts.
        steps_first: whether each layer's steps become one number before the layers do.
        below: of first: the first step with a value of this or less; infinity if there is none.
        above: of first: with a value of this or more, or with the accuracy that is `LEARNED`.
        smooth: of first: each value is the mean of so many recorded steps.
        at_least: makes it 1 where the number is this or more, else 0.
        lost: what an estimate counts for a lost run.
        better: which values are better.
    """

    name: str = ""
    unit: str = "1"
    definition: str = ""
    table: str = "gradient_norms"
    of: tuple[tuple[str, float], ...] = ()
    transform: str = "none"
    split: str = ""
    slice: Slice = Slice()
    layers: Layers = HIDDEN
    take: str = "mean"
    on: str = "layer"
    weights: str = ""
    whole: bool = False
    step: Step = "end"
    since: int = 0
    steps_first: bool = False
    below: float | None = None
    above: float | str | None = None
    smooth: int = 1
    at_least: float | None = None
    lost: LostRule = LostRule.MEASURED
    better: Better = Better.NEITHER

    @property
    def per_step(self) -> bool:
        """Whether it is a number of each recorded step, of which a rule looks at the first, the last or any."""
        return self.step == EACH

    @property
    def largest_difference(self) -> float:
        """How far apart two runs' numbers can be: 1 for shares, which lie between 0 and 1, else infinity."""
        ((name, power),) = self.of if len(self.of) == 1 else (("", 0.0),)
        plain = power == 1.0 and self.transform == "none" and self.take in ("mean", "median", "min", "max")
        part = self.slice
        plain = plain and part.over_lag is None and not part.over_place and not isinstance(part.lag, tuple)
        plain = plain and not self.counts_lags
        return 1.0 if plain and (name in SHARES or name.endswith("_fraction")) else math.inf

    @property
    def counts_steps(self) -> bool:
        """Whether the number is a step, which a run may not reach."""
        return self.step == "first"

    @property
    def counts_lags(self) -> bool:
        """Whether the number is a lag, which may lie beyond a run's sequences."""
        return self.slice.horizon is not None

    @property
    def known_at_start(self) -> bool:
        """Whether a lost run has it like any other, as it does not speak of the end that it did not reach."""
        return self.step == "start" or self.counts_steps or self.at_least is not None or self.table in WHOLE_RUN


_SIGNAL = (("preactivation_grad_norm", 1.0),)
_GRADIENT = (("weight_grad_norm", 1.0),)
_GRADIENT_RMS = (("weight_grad_norm", 1.0), ("weight_count", -0.5))
_UPDATE = (("update_norm", 1.0), ("weight_norm", -1.0))
_SQUARE = (("weight_norm", 2.0), ("weight_count", -1.0))
_RATE = (("learning_rate", 1.0), ("weight_grad_norm", 1.0), ("weight_norm", -1.0))
_ALIKE = (("pair_correlation", 1.0),)


def _ends(base: Quantity, note: str = "") -> tuple[Quantity, Quantity]:
    """The quantity at a run's first and last recorded step; its definition is a sentence without its full stop."""
    first, last = (
        replace(
            base,
            name=f"{base.name}_{step}",
            step=step,
            definition=f"{base.definition}, at the {which} recorded step{note}.",
        )
        for step, which in (("start", "first"), ("end", "last"))
    )
    return first, last


def _best(
    name: str, definition: str, of: tuple[tuple[str, float], ...], step: str, split: str = "validation"
) -> Quantity:
    loss = of == LOSS
    return Quantity(
        name, "nat" if loss else "1", definition, "evaluations", of, split=split, step=step,
        lost=LostRule.WORST if loss else LostRule.CHANCE, better=Better.LOWER if loss else Better.HIGHER,
    )  # fmt: skip


_STATE = (("state_grad_norm", 1.0),)
_RATIO = "log10 of the first hidden layer's {} over the last hidden layer's"
_SHARE = "Mean over hidden layers of the share of "

# What the page shows of each run and its frames have as columns, in this order.
OF_RUNS: tuple[Quantity, ...] = (
    *_ends(
        Quantity("decay_rate", "decades per layer",
                 "Least-squares slope of log10 of the pre-activation gradient norm against hidden layer, positive "
                 "where the signal shrinks backwards",
                 of=_SIGNAL, transform="log10", take="slope", better=Better.NEAR_ZERO)
    ),
    *_ends(
        Quantity("signal_ratio", "decades", _RATIO.format("pre-activation gradient norm"), of=_SIGNAL,
                 take="log_ratio", better=Better.NEAR_ZERO)
    ),
    _ends(
        Quantity("weight_ratio", "decades", _RATIO.format("weight gradient norm"), of=_GRADIENT, take="log_ratio",
                 better=Better.NEAR_ZERO),
        "; 0 can hide vanishing",
    )[0],
    *_ends(
        Quantity("weight_rms_ratio", "decades", _RATIO.format("root mean square weight gradient"), of=_GRADIENT_RMS,
                 take="log_ratio", better=Better.NEAR_ZERO),
        ". It is per weight, so that layers of unequal size compare. Signals have no such quantity: the tables do not "
        "hold a layer's units",
    ),
    *_ends(
        Quantity("update_ratio", "1",
                 "Median over hidden layers of the norm of the update over the norm of the weights",
                 of=_UPDATE, take="median")
    ),
    *_ends(
        Quantity("gradient_correlation", "1",
                 "Mean cosine between the gradients of two samples of one class in the first hidden layer",
                 of=(("preactivation_grad_pair_correlation", 1.0),), layers="first"),
        ". There 1 is coherent, 0 shattered",
    ),
    *_ends(
        Quantity("time_ratio", "decades",
                 "log10 of the state's gradient norm at the first time step over that at the last, mean over layers",
                 "time_gradients", _STATE, "log10", slice=Slice("first", over_lag="last"), better=Better.NEAR_ZERO)
    ),
    *_ends(
        Quantity("horizon", "time steps",
                 f"Smallest lag with under {100 * HORIZON:g} % of the state's gradient norm at lag 0, the least over "
                 "layers",
                 "time_gradients", _STATE, slice=Slice(horizon=HORIZON), take="min", better=Better.HIGHER),
        ". Infinity where no recorded lag has so little",
    ),
    *_ends(
        Quantity("collapse_gap", "1", "One minus the mean cosine between two samples in the last hidden layer",
                 "activations", _ALIKE, "complement", layers="last")
    ),
    *_ends(
        Quantity("saturated_fraction", "1", _SHARE + "samples and units with a derivative below a fifth of its maximum",
                 "activations", (("saturated_fraction", 1.0),))
    ),
    *_ends(
        Quantity("dead_fraction", "1", _SHARE + "units whose derivative is 0 on every probe sample", "activations",
                 (("dead_fraction", 1.0),))
    ),
    _best("final_validation_accuracy", "Validation accuracy at the last recorded step.", ACCURACY, "end"),
    Quantity("largest_answer_share_end", "1",
             "Share of validation samples that are given the commonest answer, at the last recorded step: 1 is one "
             "answer for every input.", "evaluations", (("largest_answer_share", 1.0),), split="validation"),
    _best("final_validation_loss", "Validation loss at the last recorded step.", LOSS, "end"),
    _best("final_train_loss", "Loss on the training sample at the last recorded step.", LOSS, "end", "train"),
    _best("best_validation_accuracy", "Highest validation accuracy over the recorded steps.", ACCURACY, "max"),
    _best("best_validation_loss", "Lowest validation loss over the recorded steps.", LOSS, "min"),
    Quantity("steps_to_accuracy", "updates",
             "First recorded step with the validation score from which a run counts as learned. Of accuracy "
             "it is halfway from chance to 1 unless the suite moves it; where the loss decides see docs/rules.md. "
             "Infinity if it never was: the run ended before, so it is censored.",
             "evaluations", ACCURACY, split="validation", step="first", above=LEARNED, lost=LostRule.WORST,
             better=Better.LOWER),
    Quantity("steps_to_divergence", "updates",
             "Step of the first NaN or infinity; infinity for a run that completed: censored at its last step.",
             "divergence_events", step="first", better=Better.HIGHER),
    Quantity("loss_area", "nat",
             "Mean training loss over the recorded steps: the area under the curve (trapezoidal rule) over its span.",
             "loss_curves", LOSS, step="area", lost=LostRule.WORST, better=Better.LOWER),
    Quantity("clipped_share", "1", "Share of recorded steps at which clipping changed the gradient.", "loss_curves",
             (("clipped", 1.0),), step="mean"),
    Quantity("steps_completed", "updates", "Updates applied while everything was finite.", "runs",
             (("steps_completed", 1.0),), better=Better.HIGHER),
    Quantity("milliseconds_per_step", "ms",
             "Training time of the run's cohort over its runs and its steps after the first.", "timings",
             better=Better.LOWER),
)  # fmt: skip

# Those that the page's explorer shows of each run, the first two as the axes that its scatter opens with.
EXPLORED = (
    "signal_ratio_start", "final_validation_accuracy", "signal_ratio_end", "decay_rate_start", "decay_rate_end",
    "collapse_gap_start", "saturated_fraction_end", "dead_fraction_end", "update_ratio_end", "clipped_share",
    "final_validation_loss", "final_train_loss", "loss_area", "steps_completed",
)  # fmt: skip


def _extremes(name: str, definition: str, of: tuple[tuple[str, float], ...], **more: str) -> tuple[Quantity, Quantity]:
    """The smallest and the largest over all layers, the head included, of each step."""
    base = Quantity(name, definition=definition, of=of, layers=ALL_LAYERS, step=EACH)
    ends = (("min", "smallest"), ("max", "largest"))
    low, high = (
        replace(base, name=f"{name}_{take}", definition=f"{definition}, the {which} over layers.", take=take)
        for take, which in ends
    )
    return low, high


def _most(column: str, definition: str) -> Quantity:
    """The share in the hidden layer that has the largest, of each step; the definition without its full stop."""
    said = f"{definition}, in the hidden layer with the most."
    return Quantity(column, "1", said, "activations", ((column, 1.0),), take="max", step=EACH)


_LATE = replace(
    Quantity(of=_UPDATE, transform="log10", unit="decades"), layers=ALL_LAYERS, step="mean", since=10, steps_first=True
)

# What the rule sets ask beside them, most of it at each recorded step.
OF_RULES: tuple[Quantity, ...] = (
    Quantity("signal_ratio", "decades", _RATIO.format("pre-activation gradient norm") + ".", of=_SIGNAL,
             take="log_ratio", step=EACH),
    Quantity("collapse_gap", "1", "One minus the mean cosine between two samples in the last hidden layer.",
             "activations", _ALIKE, "complement", layers="last", step=EACH),
    Quantity("weight_gradient_first", "1", "L2 norm of the gradient of the first layer's kernel.", of=_GRADIENT,
             layers="first", step=EACH),
    Quantity("weight_gradient_ratio", "1",
             "L2 norm of the gradient of the first layer's kernel over that of the head's.", of=_GRADIENT,
             layers=ALL_LAYERS, take="ratio", step=EACH),
    *_extremes("mean_abs_gradient", "Mean absolute entry of a kernel's gradient", (("weight_grad_mean_abs", 1.0),)),
    Quantity("zero_gradient_fraction", "1", "Share of exact zeros among the entries of all kernels' gradients.",
             of=(("weight_grad_zero_fraction", 1.0),), layers=ALL_LAYERS, weights="weight_count", step=EACH),
    *_extremes("rate_ratio", "Learning rate times the norm of a kernel's gradient over the kernel's norm", _RATE),
    *_extremes("update_ratio", "A kernel's change in one step over the kernel, L2 norms", _UPDATE),
    replace(_LATE, name="mean_log_update_min", take="min", definition="log10 of a kernel's change over it, mean over "
            "recorded steps from 10 on, the smallest over layers."),
    replace(_LATE, name="mean_log_update_max", take="max", definition="log10 of a kernel's change over it, mean over "
            "recorded steps from 10 on, the largest over layers."),
    *_extremes("weight_square", "Mean square of a kernel's entries", _SQUARE),
    _most("nonpositive_fraction", "Share of samples and units with an activation of 0 or less"),
    _most("large_fraction", "Share of samples and units whose activation is fed 5 or more, up or down"),
    _most("dead_fraction", "Share of units whose derivative is 0 on every probe sample"),
    _most("saturated_fraction", "Share of samples and units with a derivative below a fifth of its maximum"),
    Quantity("nonfinite", "1", "1 where a NaN or an infinity was met anywhere, else 0.", "divergence_events",
             step="any"),
    Quantity("best_accuracy", "1", "Best accuracy over recorded steps, over both splits.", "evaluations", ACCURACY,
             step="max", better=Better.HIGHER),
    Quantity("largest_gain", "1",
             "Largest gain of accuracy from one recorded evaluation to the next, over both splits.", "evaluations",
             ACCURACY, step="rise", better=Better.HIGHER),
    Quantity("validation_error_share", "1",
             "Error on the validation rows at the last recorded step over the best constant answer's: of classes the "
             "share of wrong answers, of values the loss: of the squared error, 1 less R squared.",
             "evaluations", ((ERROR_SHARE, 1.0),), split="validation", better=Better.LOWER),
    Quantity("training_error_share", "1",
             "Error on the training sample at the last recorded step over the best constant answer's: of classes the "
             "share of wrong answers, of values the loss.", "evaluations", ((ERROR_SHARE, 1.0),), split="train",
             better=Better.LOWER),
)  # fmt: skip

QUANTITIES: dict[str, Quantity] = {each.name: each for each in (*OF_RUNS, *OF_RULES)}


def quantity(name: str) -> Quantity:
    """The quantity of that name.

    Raises:
        KeyError: there is none.
    """
    return QUANTITIES[name]
