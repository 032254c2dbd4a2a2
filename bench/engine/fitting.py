"""Whether data fit the networks that are to take them: what a suite could not know before they were read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.engine.datasets import Dataset, kind_of, load, said_kind, vocabulary_of
from bench.engine.targets import architecture_level
from bench.errors import DataError
from bench.factors import (
    IN_SPACE,
    IN_TIME,
    OF_TARGETS,
    TOKENS,
    ArchitectureLevel,
    Choice,
    DataKind,
    a_kind,
    misfit_in_space,
    misfit_in_time,
    misfit_of_channels,
    misfit_of_pool,
    misfit_of_targets,
    misfit_of_tied,
    misfit_of_z_loss,
    sample_kind,
)


def try_dataset(asked: tuple[Any, ...]) -> str:
    """Load a dataset from which batches of a size are drawn for architectures; returns what is to be said of it.

    Args:
        asked: the dataset's choice, the batch's size, the architectures, and (factor, choice) of whatever must fit the
            length of its sequences, or what it asks for; of a convolutional network ("conv", choices of `IN_SPACE`),
            ("channels", those of width and initializer) and head_pool, of a transformer tied and z_loss.

    Raises:
        DataError: it cannot be used; the message says why.
    """
    choice, batch_size, architectures, *levels = asked
    data = load(choice, "standardize", "none")
    check_batch(choice, batch_size, len(data.y_train))
    for name in architectures:
        check_sample(choice, data.shape, name)
    for factor, level in levels:
        if factor in _FITTING:
            if misfit := _FITTING[factor](level, data):
                raise DataError(f'dataset "{choice.label}": {misfit}')
            continue
        check = misfit_in_time(factor, level, data.shape[0]) if factor in IN_TIME else ""
        misfit = check or (misfit_of_targets(factor, level, data.kind, data.classes) if factor in OF_TARGETS else "")
        if misfit:
            raise DataError(f'dataset "{choice.label}" and {factor} {level.label} do not go together: {misfit}')
    found = {DataKind.VALUES: "its targets are values to predict", DataKind.CLASSES_EACH: "a class at each step"}
    said = [] if said_kind(choice) else [found[data.kind]] if data.kind in found else []
    said += [data.labels] if data.labels else []
    return f'dataset "{choice.label}": {"; ".join(said)}' if said else ""


# What levels of convolutional networks and transformers object to.
_FITTING: dict[str, Callable[[Any, Dataset], str]] = {
    "conv": lambda levels, data: misfit_in_space(dict(zip(IN_SPACE, levels, strict=True)), data.shape),
    "channels": lambda levels, data: misfit_of_channels(levels[0], levels[1], data.shape),
    "head_pool": lambda head_pool, data: misfit_of_pool(head_pool, data.kind),
    "tied": lambda tied, data: misfit_of_tied(data.vocabulary, data.classes) if tied.name == "yes" else "",
    "z_loss": lambda z_loss, data: misfit_of_z_loss(z_loss, data.kind),
}


def check_sample(choice: Choice, shape: tuple[int, ...], architecture: str) -> None:
    """Refuse samples that an architecture cannot take; `mlp` takes all but tokens, one from outside what it says.

    Raises:
        DataError: they are of another kind.
    """
    level, kind = architecture_level(architecture), TOKENS if vocabulary_of(choice) else sample_kind(shape)
    if level is None or not level.accepts or kind in level.accepts:
        return
    if kind == TOKENS:
        raise DataError(
            f'dataset "{choice.label}": architecture {architecture} does not take tokens; recurrent and transformer do.'
        )
    if architecture != "mlp":
        sequence = (
            f", (time steps, features).{_hint_for_sequence(shape, level)}" if "sequence" in level.accepts else "."
        )
        raise DataError(
            f'dataset "{choice.label}": its samples have the shape {shape}; architecture {architecture} takes '
            f"{a_kind(*level.accepts)}{sequence}"
        )


def _hint_for_sequence(shape: tuple[int, ...], level: ArchitectureLevel) -> str:
    if len(shape) == 1:
        tokens = " Tokens: the setting tokens says how many there are." if TOKENS in level.accepts else ""
        return f" One feature a step: save x[..., None].{tokens}"
    return f" A row a step: save x.reshape(len(x), {shape[0]}, -1)." if len(shape) == 3 else ""


def check_batch(choice: Choice, batch_size: int, rows: int) -> None:
    """Refuse batches that are larger than the training rows.

    Raises:
        DataError: they are.
    """
    if batch_size > rows:
        raise DataError(f"batch_size {batch_size} is more than the {rows} training rows of {choice.label}.")


def answers_each(choice: Choice, length: int, outputs: int, networks: str) -> tuple[bool, int]:
    """Whether networks over sequences answer at each of so many steps, and the units that a head needs for an answer.

    Raises:
        DataError: there are other answers than one a step.
    """
    if kind_of(choice) is not DataKind.CLASSES_EACH:
        return False, outputs
    if outputs % length:
        raise DataError(f'dataset "{choice.label}": {networks} answer at each of {length} steps.')
    return True, outputs // length
