"""A stopped step once more, from the very variables and batch that it had, with a look at every tensor."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bench.errors import ResultsError
from bench.recorder.chain import Link, links_of
from bench.recorder.dispatch import Dispatch, Taken
from bench.recorder.guard import state_of
from bench.recorder.optimizers import optimizers_of
from bench.recorder.rows import Step
from bench.recorder.stopped import Stop, read_stop


def replay(folder: Path, run: str = "", model: str = "") -> tuple[Stop, list[Link]]:
    """The stop and its step's tensors in order of computation: data, weights, layers, loss, and gradients back.

    Args:
        folder: where the run was recorded.
        run: its name or the beginning; "" where one alone was stopped.
        model: `module:function` that returns the compiled model, where Keras could not save it.

    Raises:
        ResultsError: nothing was stopped there, or the step cannot be made again.
    """
    place, stop = read_stop(folder, run)
    if stop.chain:  # a loop's of one's own, whose lines nobody kept
        return stop, [Link(**each) for each in stop.chain]
    made = _made(model) if model else _loaded(place, stop)
    optimizers = optimizers_of(made)
    if not optimizers:
        raise ResultsError(
            f"{place}: the model has no optimizer. Give one that compiles it by --model module:function."
        )
    arrays = np.load(place / "step.npz")
    for each in optimizers:
        if not each.built:
            each.build(made.trainable_variables)
    data = _batch(arrays, stop)
    if not made.built:
        made(data[0])
    state = state_of(made, optimizers)
    saved = [name for name in arrays.files if name.startswith("variable_")]
    shapes = [tuple(each.shape) for each in state]
    if [arrays[f"variable_{k}"].shape for k in range(len(saved))] != shapes:
        raise ResultsError(f"{place}: the model is not the one that was stopped: its variables have other shapes.")
    for k, each in enumerate(state):
        each.assign(arrays[f"variable_{k}"])
    found: list[Taken] = []
    faults: list[BaseException] = []
    Dispatch(made, found.append, faults.append).once(data)
    if not found:
        why = f" ({type(faults[0]).__name__}: {faults[0]})".splitlines()[0][:200] if faults else ""
        raise ResultsError(f"{place}: the step could not be looked at{why}.")
    return stop, links_of(Step(stop.step, found[0].numbers, found[0].layout))


def _loaded(place: Path, stop: Stop) -> keras.Model:
    if stop.no_model:
        raise ResultsError(
            f"{place}: Keras could not save the model ({stop.no_model}). Give a function that returns it compiled: "
            "--model module:function."
        )
    try:
        return keras.models.load_model(place / "model.keras")
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise ResultsError(
            f"{place / 'model.keras'}: Keras cannot load it ({why}). Give a function that returns it compiled: "
            "--model module:function."
        ) from None


def _made(name: str) -> keras.Model:
    module, colon, function = name.partition(":")
    if not colon or not function:
        raise ResultsError(f'--model "{name}": write module:function, as mine:build.')
    try:
        found = getattr(importlib.import_module(module), function)()
    except Exception as error:
        raise ResultsError(f'--model "{name}": {type(error).__name__}: {error}.') from None
    if not isinstance(found, keras.Model):
        raise ResultsError(f'--model "{name}": gave {type(found).__name__}, not a Keras model.')
    return found


def _batch(arrays: Any, stop: Stop) -> tuple[Any, ...]:
    parts = []
    for name in ("x", "y", "sample_weight"):
        shape = stop.structure.get(name)
        parts.append(_filled(shape, arrays, name))
    return keras.utils.pack_x_y_sample_weight(*parts)


def _filled(shape: Any, arrays: Any, name: str) -> Any:
    """The saved structure with its arrays in place of their numbers."""
    if shape is None:
        return None
    if isinstance(shape, dict):
        return {key: _filled(each, arrays, name) for key, each in shape.items()}
    if isinstance(shape, list):
        return [_filled(each, arrays, name) for each in shape]
    return keras.ops.convert_to_tensor(arrays[f"{name}_{shape}"])
