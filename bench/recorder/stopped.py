"""What a stopped training leaves: the batch, every variable as before the step, and the model, to look at again.

`FOLDER/stopped/RUN/` has `step.npz` (variables and batch), `model.keras` where Keras can save the model, and
`stopped.json`, which says what was met.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bench.errors import ResultsError, nearest
from bench.recorder.layers import state_of

STOPPED = "stopped"
PARTS = {False: ("x", "y", "sample_weight"), True: ("args", "kwargs")}  # of a batch of `fit`, of a loop's own call
PLAIN = (bool, int, float, str, type(None))


class NonFinite(RuntimeError):  # noqa: N818 (named for what was met)
    """Training met a number that is not finite, and was stopped before the update.

    Attributes:
        step: the number of the step, from 0.
        tensor: what was not finite first: loss, gradient, weight, ...
        layer: whose it is; "" where it is no layer's.
    """

    def __init__(self, message: str, step: int, tensor: str, layer: str) -> None:
        super().__init__(message)
        self.step, self.tensor, self.layer = step, tensor, layer


@dataclass(frozen=True)
class Stop:
    """What was met: the step, the first tensor that was not finite, its layer, and why there is no model, if so."""

    run_id: str
    step: int
    kind: str
    tensor: str
    layer: str
    scale: float  # of the loss
    structure: dict[str, Any] = field(default_factory=dict)  # of each part of `PARTS`, with the arrays' numbers
    no_model: str = ""
    chain: list[dict[str, Any]] = field(default_factory=list)  # its tensors, where a loop of one's own made the step
    plain: dict[str, Any] = field(default_factory=dict)  # values of a part that are no arrays, by part and number


def save_stop(folder: Path, stop: Stop, model: keras.Model, optimizers: Sequence[Any], data: Any) -> Path:
    """Write all that one needs to make this step again, and return where.

    Raises:
        OSError: it cannot be written.
    """
    place = folder / STOPPED / stop.run_id
    place.mkdir(parents=True, exist_ok=True)
    arrays = {f"variable_{k}": np.asarray(each.value) for k, each in enumerate(state_of(model, optimizers))}
    structure: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    parts = data if stop.chain else keras.utils.unpack_x_y_sample_weight(data)
    for name, part in zip(PARTS[bool(stop.chain)], parts, strict=True):
        leaves = [] if part is None else keras.tree.flatten(part)
        plain |= {f"{name}_{k}": leaf for k, leaf in enumerate(leaves) if isinstance(leaf, PLAIN)}
        arrays |= {f"{name}_{k}": np.asarray(leaf) for k, leaf in enumerate(leaves) if not isinstance(leaf, PLAIN)}
        if part is not None:
            structure[name] = keras.tree.pack_sequence_as(part, list(range(len(leaves))))
    if odd := [name for name, array in arrays.items() if array.dtype == object]:
        raise TypeError(f"{odd[0]} of the step is neither an array nor a number nor text")
    np.savez(place / "step.npz", **arrays)  # type: ignore[arg-type]
    why = ""
    try:
        model.save(place / "model.keras")
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    told = asdict(stop) | {"structure": structure, "plain": plain, "no_model": why}
    (place / "stopped.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return place


def read_stop(folder: Path, run: str = "") -> tuple[Path, Stop]:
    """The stop of a run, or the one that there is.

    Raises:
        ResultsError: nothing was stopped there, several were and none is named, or the file is not one of ours.
    """
    there = sorted(path.parent.name for path in (folder / STOPPED).glob("*/stopped.json"))
    if not there:
        raise ResultsError(
            f'{folder}: no training was stopped here. Recorder(..., on_nonfinite="stop") keeps the step.'
        )
    fitting = [name for name in there if name == run] or [name for name in there if name.startswith(run)]
    if not fitting:
        raise ResultsError(f'{folder}: no stopped run "{run[:200]}". {nearest(run, there)}')
    if len(fitting) > 1:
        raise ResultsError(
            f"{folder}: {len(fitting)} runs were stopped here: {', '.join(fitting[:5])}. Name one by --run."
        )
    place = folder / STOPPED / fitting[0]
    try:
        return place, Stop(**json.loads((place / "stopped.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResultsError(f"{place / 'stopped.json'}: cannot be read ({error}).") from None
