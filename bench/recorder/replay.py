"""A stopped step once more, from the very variables and batch that it had, with a look at every tensor."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bench.errors import ResultsError
from bench.recorder.backends import dispatch_of_backend
from bench.recorder.chain import Link, links_of
from bench.recorder.dispatching import Taken
from bench.recorder.inner_optimizers import optimizers_of
from bench.recorder.layers import has_variables, state_of
from bench.recorder.rows import Step
from bench.recorder.stepping import LoopStep
from bench.recorder.stopped import PARTS, Stop, read_stop
from bench.recorder.watching import Several, check, several

STEP_HELP = "Give a function that returns what `watch` was given, step, model and optimizer: --step module:function."


def replay(folder: Path, run: str = "", model: str = "", step: str = "") -> tuple[Stop, list[Link]]:
    """The stop and its step's tensors in order of computation: data, weights, layers, loss, and gradients back.

    Args:
        folder: where the run was recorded.
        run: its name or the beginning; "" where one alone was stopped.
        model: `module:function` that returns the compiled model, where Keras could not save it.
        step: of a loop of one's own `module:function` that returns what `watch` was given: step, model, optimizer.
            Without it the chain is that which was recorded when the step was held back.

    Raises:
        ResultsError: nothing was stopped there, or the step cannot be made again.
    """
    place, stop = read_stop(folder, run)
    if stop.chain and model:
        raise ResultsError(f"{place}: a loop of your own made this step. {STEP_HELP}")
    if step and not stop.chain:
        raise ResultsError(f"{place}: `fit` made this step, which needs no --step; a model is given by --model.")
    if stop.chain and not step:
        return stop, [Link(**each) for each in stop.chain]
    arrays = np.load(place / "step.npz")
    data = _batch(arrays, stop)
    stepping: LoopStep | None = None
    if step:
        made, optimizers, stepping = _loop(step, data)
    else:
        made, optimizers = _fitted(model, place, stop, data)
    state = state_of(made, optimizers)
    saved = [name for name in arrays.files if name.startswith("variable_")]
    shapes = [tuple(each.shape) for each in state]
    if [arrays[f"variable_{k}"].shape for k in range(len(saved))] != shapes:
        raise ResultsError(f"{place}: the model is not the one that was stopped: its variables have other shapes.")
    for k, each in enumerate(state):
        each.assign(arrays[f"variable_{k}"])
    found: list[Taken] = []
    faults: list[BaseException] = []
    make = dispatch_of_backend()
    make(made, found.append, faults.append, None, stepping, optimizers).once(data)
    if not found:
        why = f" ({type(faults[0]).__name__}: {faults[0]})".splitlines()[0][:200] if faults else ""
        raise ResultsError(f"{place}: the step could not be looked at{why}.")
    return stop, links_of(Step(stop.step, found[0].numbers, found[0].layout))


def _fitted(model: str, place: Path, stop: Stop, data: Any) -> tuple[keras.Model, list[Any]]:
    """The model that `fit` trained, with its optimizers, all variables made."""
    made = _made(model) if model else _loaded(place, stop)
    optimizers = optimizers_of(made)
    if not optimizers:
        raise ResultsError(
            f"{place}: the model has no optimizer. Give one that compiles it by --model module:function."
        )
    for each in optimizers:
        if not each.built:
            each.build(made.trainable_variables)
    if not made.built:
        made(data[0])
    return made, optimizers


def _loop(name: str, data: Any) -> tuple[keras.Model, list[Any], LoopStep]:
    """What a loop of one's own trained and how, all variables made: by the step itself, before they are put back."""
    found = _called("--step", name)
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise ResultsError(f'--step "{name}": gave {type(found).__name__}, not step, model and optimizer.')
    step, model, optimizer = found
    try:
        check(step, model, optimizer)
    except TypeError as error:
        raise ResultsError(f'--step "{name}": {error}') from None
    stepping, optimizers = LoopStep(step), several(optimizer)
    models = several(model)
    whole = models[0] if len(models) == 1 else Several(models)
    if not (has_variables(whole) and all(each.built for each in optimizers)):
        args, kwargs = data
        step(*args, **kwargs)
    return whole, optimizers, stepping


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


def _called(option: str, name: str) -> Any:
    module, colon, function = name.partition(":")
    if not colon or not function:
        raise ResultsError(f'{option} "{name}": write module:function, as mine:build.')
    try:
        return getattr(importlib.import_module(module), function)()
    except Exception as error:
        raise ResultsError(f'{option} "{name}": {type(error).__name__}: {error}.') from None


def _made(name: str) -> keras.Model:
    found = _called("--model", name)
    if not isinstance(found, keras.Model):
        raise ResultsError(f'--model "{name}": gave {type(found).__name__}, not a Keras model.')
    return found


def _batch(arrays: Any, stop: Stop) -> tuple[Any, ...]:
    parts = [_filled(stop.structure.get(name), arrays, stop, name) for name in PARTS[bool(stop.chain)]]
    return tuple(parts) if stop.chain else keras.utils.pack_x_y_sample_weight(*parts)


def _filled(shape: Any, arrays: Any, stop: Stop, name: str) -> Any:
    """The saved structure with its arrays, or plain values, in place of their numbers."""
    if shape is None:
        return None
    if isinstance(shape, dict):
        return {key: _filled(each, arrays, stop, name) for key, each in shape.items()}
    if isinstance(shape, list):
        return [_filled(each, arrays, stop, name) for each in shape]
    key = f"{name}_{shape}"
    return stop.plain[key] if key in stop.plain else keras.ops.convert_to_tensor(arrays[key])
