"""The run's training rows in a script: made there by their rule, loaded by Keras, or taken from a file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from bench.engine.datasets import Dataset, load
from bench.engine.objective import Objective
from bench.factors import FACTORS, DataKind, DatasetLevel, TaskLevel
from bench.script.recorded import Recorded

BESIDE = "text", "shapes"  # tasks that take more than a few lines


@dataclass(frozen=True)
class Data:
    """Training rows as a script has them.

    Attributes:
        template: of the lines that make `x_train` and `y_train`; its folder is `data`.
        values: what the template shows.
        shape: of a sample as the model takes it.
        outputs: of the head: one a class or value, of binary cross-entropy one; where `each`, at each step.
        each: whether there is a class at each step.
        objective: what is trained for.
        arrays: what lies in the file beside the script.
        tokens: how many there are that the model takes as they are; 0: it takes none.
        vocabulary: how many tokens there are, which become one-hot; 0: samples are numbers.
        words: what the rows are.
        flattens: whether samples become vectors once they are made.
    """

    template: str
    values: Mapping[str, object]
    shape: tuple[int, ...]
    outputs: int
    each: bool
    objective: Objective
    words: str
    vocabulary: int = 0
    tokens: int = 0
    flattens: bool = False
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def data_of(recorded: Recorded, *, flattens: bool, embeds: bool = False) -> Data:
    """The rows of a run.

    Args:
        flattens: whether the model takes samples as vectors.
        embeds: whether it takes tokens as they are.

    Raises:
        BenchError: the data are missing, or others than the run's.
    """
    choice, scaling = recorded["dataset"], recorded["preprocessing"].name
    data = load(choice, scaling, recorded["target_preprocessing"].name)
    objective = Objective.of(data, recorded["loss"])
    shape = (prod(data.shape),) if flattens else data.shape
    each = data.kind is DataKind.CLASSES_EACH
    level = FACTORS["dataset"].level(choice.name)
    words = _words(recorded, data)
    template, values, arrays = "beside", {"name": choice.label, "scaled": not data.vocabulary}, {}
    if isinstance(level, TaskLevel) and choice.name not in BESIDE and recorded["target_preprocessing"].is_none:
        template, values = choice.name, dict(choice.settings)
    elif isinstance(level, DatasetLevel) and level.keras_file:
        axes = tuple(range(1, 2 if flattens else len(data.shape) + 1))
        sample = ", ".join(map(str, data.shape))
        template, values = "keras", {"name": choice.name, "scaling": scaling, "axes": axes, "sample": sample}
    else:
        x = data.x_train.reshape(len(data.x_train), -1) if flattens else data.x_train
        arrays = {"x_train": x, "y_train": data.y_train}
    return Data(
        template, values | {"flattens": flattens}, shape,
        objective.outputs // objective.steps if each else objective.outputs, each, objective, words,
        0 if embeds else data.vocabulary, data.vocabulary if embeds else 0,
        flattens and template not in ("beside", "keras"), arrays,
    )  # fmt: skip


def _words(recorded: Recorded, data: Dataset) -> str:
    """`digits (1438 rows of 8 x 8 x 1 numbers, standardized)`."""
    choice, scaling = recorded["dataset"], recorded["preprocessing"].name
    said = {"none": "", "scale": ", from 0 to 1", "standardize": ", standardized"}.get(scaling, f", {scaling}")
    said = "" if data.vocabulary else said
    numbers = f"tokens of {data.vocabulary}" if data.vocabulary else "numbers"
    sizes = data.shape[:-1] if data.vocabulary else data.shape
    level = FACTORS["dataset"].level(choice.name)
    if isinstance(level, TaskLevel) and not level.scaled:
        said = ""
    return f"{choice.label} ({len(data.y_train)} rows of {'x'.join(map(str, sizes))} {numbers}{said})"
