"""Combinations of levels that cannot be trained, as far as no data must be read to know it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.errors import SuiteError
from bench.factors import FACTORS, ActivationLevel, ArchitectureLevel, Choice, DatasetLevel
from bench.suite.model import Cell


def check_combinations(cells: Iterable[Cell]) -> None:
    """Refuse cells that no network could train.

    Raises:
        SuiteError: a cell breaks a rule; the message names the levels and the rule.
    """
    seen: set[tuple[object, ...]] = set()
    for cell in cells:
        for factors, rule in _RULES:
            choices = [cell[factor] for factor in factors]
            pair = (rule, *map(id, choices))
            if pair in seen:
                continue
            seen.add(pair)
            broken = rule(*choices)
            if broken:
                named = " and ".join(
                    f"{factor} {choice.label}" for factor, choice in zip(factors, choices, strict=True)
                )
                raise SuiteError(
                    f"{named} do not go together: {broken} Change one, or take the pair away by [[exclude]]."
                )


def _data_fits_network(dataset: Choice, architecture: Choice) -> str:
    data, network = FACTORS["dataset"].level(dataset.name), FACTORS["architecture"].level(architecture.name)
    if not isinstance(data, DatasetLevel) or not isinstance(network, ArchitectureLevel):
        return ""
    if not data.kind or data.kind in network.accepts:
        return ""
    return f"a sample of {data.name} is a {data.kind}, and {network.name} takes {', '.join(network.accepts)}."


def _batch_fits_data(dataset: Choice, batch_size: Choice) -> str:
    data = FACTORS["dataset"].level(dataset.name)
    if not isinstance(data, DatasetLevel) or not data.train_rows or (batch_size.value or 0) <= data.train_rows:
        return ""
    return f"{data.name} has {data.train_rows} training rows."


def _groups_divide_width(normalization: Choice, width: Choice) -> str:
    if normalization.name != "group_normalization":
        return ""
    groups = int(normalization.setting("groups"))
    return f"groups = {groups} must divide the width." if int(width.value or 0) % groups else ""


def _skip_has_a_block(skip: Choice, depth: Choice) -> str:
    if skip.is_none or (depth.value or 0) > 1:
        return ""
    return "the first hidden layer is outside the blocks, so a skip needs depth 2 or more."


def _critical_exists(initializer: Choice, activation: Choice) -> str:
    level = FACTORS["activation"].level(activation.name)
    if initializer.name != "critical" or not isinstance(level, ActivationLevel) or level.critical:
        return ""
    return f"no variance of weights and biases makes {activation.name} critical."


def _critical_draws_biases(initializer: Choice, bias_initializer: Choice) -> str:
    if initializer.name != "critical" or bias_initializer.name == "zeros":
        return ""
    return "critical draws the biases too. Leave bias_initializer at zeros, and give critical its bias_stddev."


_RULES: tuple[tuple[tuple[str, str], Callable[[Choice, Choice], str]], ...] = (
    (("dataset", "architecture"), _data_fits_network),
    (("dataset", "batch_size"), _batch_fits_data),
    (("normalization", "width"), _groups_divide_width),
    (("skip", "depth"), _skip_has_a_block),
    (("initializer", "activation"), _critical_exists),
    (("initializer", "bias_initializer"), _critical_draws_biases),
)
