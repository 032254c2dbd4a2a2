"""What cannot be recorded, each in one sentence; training goes on without a record."""

from __future__ import annotations

from typing import Any

import keras

PRIVATE = {  # names of Keras that it leans on, by where they are
    "Model": ("_make_function", "_flatten_layers", "make_train_function"),
    "Optimizer": ("_clip_gradients", "apply", "apply_gradients"),
}


def objection(model: Any, optimizers: list[Any]) -> str:
    """Why a model's training cannot be recorded; empty where it can."""
    if keras.backend.backend() != "tensorflow":
        return f"Keras's backend here is {keras.backend.backend()}, and only TensorFlow's is recorded"
    missing = missing_names()
    if missing:
        return f"Keras {keras.version()} has no {', '.join(missing)}, which the recorder leans on"
    import tensorflow as tf

    if tf.distribute.has_strategy() or getattr(model, "_distribute_strategy", None) is not None:
        return "tf.distribute is not recorded (gradients differ by replica)"
    if not optimizers:
        return "the model has no optimizer of Keras's"
    return ""


def missing_names() -> list[str]:
    """Those of `PRIVATE` that this version of Keras lacks."""
    owners = {"Model": keras.Model, "Optimizer": keras.optimizers.Optimizer}
    return [
        f"{owner}.{name}" for owner, names in PRIVATE.items() for name in names if not hasattr(owners[owner], name)
    ]  # fmt: skip
