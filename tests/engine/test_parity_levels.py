"""Each level of each factor that a step depends on is in a case that is held to lone Keras models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from bench.factors import ABSENT, ARCHITECTURE, FACTORS, ArchitectureLevel, choose
from bench.plan import Run
from tests.engine import test_conv, test_precision, test_transformer

# Compared by themselves: what data, draws and targets are is the same code for every architecture.
ELSEWHERE = {
    "dataset", "preprocessing", "target_preprocessing", "architecture", "initializer", "bias_initializer", "loss",
    "class_weight",  # with losses
}  # fmt: skip
FAMILIES: dict[str, Any] = {"conv": test_conv, "transformer": test_transformer}
NUMBERS = {
    "conv": {"kernel_size": {1, 3, 5, 7}},
    "transformer": {"heads": {1, 2, 4}, "feed_forward": {1, 2, 4}, "z_loss": {0, 0.1}, "attention_gain": {0.5, 1, 3}},
}
HALVES = {("mixed_float16", "none"), ("mixed_float16", "fixed"), ("mixed_float16", "dynamic"), ("mixed_bfloat16", "")}


def plain(cases: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """The values of each case of a test."""
    for case in cases:
        values = getattr(case, "values", case)
        yield tuple(values) if isinstance(values, tuple | list) else (values,)


def levels_of(architecture: ArchitectureLevel) -> set[tuple[str, str]]:
    """Each factor of its steps with each of its levels that the architecture can be made with."""
    return {
        (name, level.name)
        for name, factor in FACTORS.items()
        for level in factor.levels
        if name not in ELSEWHERE | {"precision"} and not architecture.unused.get(name)
        and not architecture.objection(name, choose(factor, level.name))
    }  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_level_of_an_architecture_is_compared(name: str) -> None:
    module, level = FAMILIES[name], ARCHITECTURE.level(name)
    assert isinstance(level, ArchitectureLevel)
    runs: list[Run] = [run for case in plain(module.CASES) for run in module.cohort_of(*case).runs]
    found = {(factor, choice.name) for run in runs for factor, choice in run.choices.items()}
    assert levels_of(level) <= found
    for number, least in NUMBERS[name].items():
        assert least <= {run.choices[number].value for run in runs}, number


def test_every_precision_is_compared_in_every_architecture() -> None:
    runs = [test_precision.cohort_of(*case).runs[0] for case in plain(test_precision.CASES)]
    found = {
        (run.choices["architecture"].name, run.choices["precision"].name,
         dict(run.choices["precision"].settings).get("loss_scale", ""))
        for run in runs
    }  # fmt: skip
    assert found == {(each.name, *half) for each in ARCHITECTURE.levels for half in HALVES}
    assert {half for half, _ in HALVES} == {level.name for level in FACTORS["precision"].levels} - set(ABSENT)
