"""Which levels of different factors no network can have together, and why: each factor's rules, then all."""

from __future__ import annotations

from functools import partial

from bench.factors.activations import ACTIVATION, ActivationLevel
from bench.factors.architectures import ARCHITECTURE, ArchitectureLevel
from bench.factors.attention import OF_TRANSFORMERS, TRANSFORMER_RULES
from bench.factors.base import Choice, Rule
from bench.factors.blocks import BLOCK_RULES
from bench.factors.convolution import CONVOLUTION_RULES
from bench.factors.datasets import DATASET, TaskLevel, dataset_level
from bench.factors.losses import BINARY, OF_TARGETS, misfit_of_targets
from bench.factors.precision import PRECISION_RULES
from bench.factors.recurrence import RECURRENCE_RULES


def _of_network(factor: str, architecture: Choice, choice: Choice) -> str:
    """Why an architecture cannot be made with a factor's level, or has no use for it."""
    network = ARCHITECTURE.level(architecture.name)
    return network.objection(factor, choice) if isinstance(network, ArchitectureLevel) else ""


def _fits_targets(factor: str, dataset: Choice, choice: Choice) -> str:
    """Why a loss is none of what a dataset asks for, where that is known before it is read."""
    data = dataset_level(dataset)
    if data is None or not data.classes:
        return ""
    return misfit_of_targets(factor, choice, data.asks, data.classes)


def _data_fits_network(dataset: Choice, architecture: Choice) -> str:
    data, network = dataset_level(dataset), ARCHITECTURE.level(architecture.name)
    if data is None or not isinstance(network, ArchitectureLevel):
        return ""
    return network.data_objection(data)


def _batch_fits_data(dataset: Choice, batch_size: Choice) -> str:
    data = dataset_level(dataset)
    if data is None or not data.train_rows or (batch_size.value or 0) <= data.train_rows:
        return ""
    return f"{data.name} has {data.train_rows} training rows."


def _task_can_be_drawn(dataset: Choice) -> str:
    level = DATASET.level(dataset.name)
    return level.objection(dict(dataset.settings)) if isinstance(level, TaskLevel) else ""


def _task_is_not_scaled(dataset: Choice, preprocessing: Choice) -> str:
    level = dataset_level(dataset)
    if preprocessing.name in ("standardize", "none") or level is None:
        return ""
    if level.vocabulary:
        return "tokens are symbols and have no scale; standardize leaves them as they are."
    if not isinstance(level, TaskLevel) or level.scaled:
        return ""
    return f"the sequences of {dataset.name} are left as they are drawn, whatever the preprocessing."


def _outputs_are_tokens(tied: Choice, loss: Choice) -> str:
    if tied.name != "yes" or loss.name != BINARY:
        return ""
    return "one output is not one a token. categorical_crossentropy has an output for each."


def _critical_exists(initializer: Choice, activation: Choice) -> str:
    level = ACTIVATION.level(activation.name)
    if initializer.name != "critical" or not isinstance(level, ActivationLevel) or level.critical:
        return ""
    return f"no variance of weights and biases makes {activation.name} critical."


def _critical_draws_biases(initializer: Choice, bias_initializer: Choice) -> str:
    if initializer.name != "critical" or bias_initializer.name == "zeros":
        return ""
    return "critical draws the biases too. Leave bias_initializer at zeros, and give critical its bias_stddev."


def _warmup_ends(warmup: Choice, steps: Choice) -> str:
    if warmup.is_none or int(warmup.setting("steps")) < (steps.value or 0):
        return ""
    return f"a warm-up must end before the run does: its steps can be {int(steps.value or 0) - 1} at most."


def _schedule_falls(learning_rate: Choice, schedule: Choice) -> str:
    end = float(schedule.setting("end_learning_rate")) if schedule.name == "polynomial_decay" else 0.0
    return f"the rate would rise to end_learning_rate, {end}." if end > (learning_rate.value or 0) else ""


# Factors with levels that not every architecture can be made with.
_OF_NETWORKS = (
    "cell", "recurrent_initializer", "gate_bias", "direction", "truncate", "kernel_size", "padding", "downsample",
    "head_pool", "normalization", "skip", "initializer", *(factor.name for factor in OF_TRANSFORMERS),
)  # fmt: skip
RULES: tuple[Rule, ...] = (
    (("dataset",), _task_can_be_drawn),
    (("dataset", "preprocessing"), _task_is_not_scaled),
    (("dataset", "architecture"), _data_fits_network),
    *((("architecture", factor), partial(_of_network, factor)) for factor in _OF_NETWORKS),
    *RECURRENCE_RULES,
    *CONVOLUTION_RULES,
    *((("dataset", factor), partial(_fits_targets, factor)) for factor in OF_TARGETS),
    (("dataset", "batch_size"), _batch_fits_data),
    *BLOCK_RULES,
    *TRANSFORMER_RULES,
    (("tied", "loss"), _outputs_are_tokens),
    (("initializer", "activation"), _critical_exists),
    (("initializer", "bias_initializer"), _critical_draws_biases),
    (("warmup", "steps"), _warmup_ends),
    (("learning_rate", "schedule"), _schedule_falls),
    *PRECISION_RULES,
)
