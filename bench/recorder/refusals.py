"""What cannot be recorded, each in one sentence; training goes on without a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from bench.recorder.inner_optimizers import innermost

PRIVATE = {  # names that it leans on and that Keras does not promise, by where they are
    "Model": ("_make_function", "_flatten_layers", "make_train_function", "train_function", "compute_loss",
              "metrics_variables", "steps_per_execution"),
    "Optimizer": ("_clip_gradients", "_trainable_variables", "apply", "apply_gradients", "assign_add", "assign_sub",
                  "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "loss_scale_factor",
                  "use_ema"),
    "LossScaleOptimizer": ("scale_loss",),
    "MultiHeadAttention": ("num_heads",),
}  # fmt: skip
ON_JAX = {  # in place of those of `Model` and `Optimizer`
    "Model": ("_flatten_layers", "_get_jax_state", "jax_state_sync", "make_train_function", "train_function",
              "train_step", "compute_loss", "steps_per_execution", "jit_compile"),
    "Optimizer": ("_clip_gradients", "_iterations", "_trainable_variables", "stateless_apply", "clipnorm",
                  "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "loss_scale_factor"),
}  # fmt: skip
BACKENDS = ("tensorflow", "jax")
TESTED = ("3.7", "3.15")  # the oldest and the newest Keras that `make test-versions` and `make test` run it with


def objection(model: Any, optimizers: Sequence[Any], *, loops: bool = False) -> str:
    """Why a model's training, by `fit` or by a loop of one's own, cannot be recorded; empty where it can."""
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        return f"Keras's backend here is {backend}, and TensorFlow's and JAX's alone are recorded"
    if backend == "jax" and loops:
        return "a loop of one's own is recorded on TensorFlow alone; on JAX `fit` is"
    missing = missing_names(model, [each for each in optimizers if isinstance(each, keras.optimizers.Optimizer)])
    if missing:
        known = f"Keras {TESTED[0]} to {TESTED[1]} have"
        return f"Keras {keras.version()} has no {', '.join(missing)}, which the recorder leans on; {known}"
    if keras.distribution.distribution() is not None:
        return "keras.distribution is not recorded (tensors are spread over devices)"
    if backend == "tensorflow" and _is_distributed(model):
        return "tf.distribute is not recorded (gradients differ by replica)"
    if not optimizers:
        return "the model has no optimizer of Keras's"
    if model.built and not model.trainable_variables:
        return "the model has nothing that trains"
    if not loops and type(model).train_step is keras.Model.train_step and _was_changed(model):
        return "other layers train now than when its optimizer was built: compile it again, as Keras asks for"
    return ""


def _is_distributed(model: Any) -> bool:
    import tensorflow as tf

    return bool(tf.distribute.has_strategy()) or getattr(model, "_distribute_strategy", None) is not None


def _was_changed(model: Any) -> bool:
    """Whether `trainable` was set anew since the optimizer knows its variables: what Keras traced does not know it."""
    known = innermost(model.optimizer)._trainable_variables if model.optimizer is not None else []
    return bool(known) and {id(each) for each in known} != {id(each) for each in model.trainable_variables}


def missing_names(model: Any, optimizers: Sequence[Any]) -> list[str]:
    """Those of `PRIVATE` that this version of Keras lacks, on the very objects that train."""
    owners: dict[str, list[Any]] = {
        "Model": [model],
        "Optimizer": [innermost(each) for each in optimizers],
        "LossScaleOptimizer": [keras.optimizers.LossScaleOptimizer],
        "MultiHeadAttention": [keras.layers.MultiHeadAttention],
    }
    return [
        f"{owner}.{name}"
        for owner, names in (PRIVATE | (ON_JAX if keras.backend.backend() == "jax" else {})).items()
        for name in names
        if not all(hasattr(each, name) for each in owners[owner])
    ]
