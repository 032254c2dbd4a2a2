"""What architectures from outside say of themselves, asked of a worker before anything trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.engine.datasets import load
from bench.engine.fitting import check_sample
from bench.engine.objective import Objective
from bench.engine.own_model import check_cell, costs_of_model, trains_alone
from bench.engine.targets import architecture_level
from bench.errors import SuiteError
from bench.factors import ArchitectureLevel, Choice, Costs, dataset_level
from bench.plan import sizes_of

Cell = Mapping[str, Choice]


def costs_of_cells(cells: Sequence[Cell]) -> list[Costs | None]:
    """What a run of each cell takes, by its architecture from outside; None where that says nothing.

    Raises:
        SuiteError: the function cannot be imported, has no use for a cell's level, or says no costs.
        DataError: a dataset whose sizes only the data can tell cannot be used.
    """
    return [_costs(cell) for cell in cells]


def _costs(cell: Cell) -> Costs | None:
    name = cell["architecture"].name
    if alone := trains_alone(name):
        check_cell(cell)
    level = architecture_level(name)
    if level is not None:
        _check(cell, level)
    elif not alone:
        return None
    if alone or level is None:
        return costs_of_model(cell, *_sizes_of_model(cell["dataset"]))
    sizes = sizes_of(cell["dataset"])
    if sizes is None:  # nobody can count what a network takes of samples of another shape
        data = load(cell["dataset"], "standardize")
        check_sample(cell["dataset"], data.shape, cell["architecture"].name)
        sizes = (*data.shape, data.vocabulary) if data.vocabulary else data.shape, Objective.of(data).outputs
    costs = level.costs(cell, *sizes)
    if not isinstance(costs, Costs):
        raise SuiteError(
            f'architecture "{cell["architecture"].label}": its costs are a {type(costs).__name__}, no Costs.'
        )
    return costs


def _sizes_of_model(dataset: Choice) -> tuple[tuple[int, ...], int]:
    """A sample's shape as data have it, tokens being numbers, and the units of a head."""
    known = dataset_level(dataset)
    if known is not None and known.shape:
        return known.shape, known.outputs
    data = load(dataset, "standardize")
    return data.shape, Objective.of(data).outputs


def _check(cell: Cell, level: ArchitectureLevel) -> None:
    """Refuse what the architecture cannot be made with, as suites do for the shipped ones."""
    broken = {factor: level.objection(factor, choice) for factor, choice in cell.items()}
    data = dataset_level(cell["dataset"])
    if data is not None:
        broken["dataset"] = broken["dataset"] or level.data_objection(data)
    for factor, why in broken.items():
        if why:
            raise SuiteError(
                f"architecture {cell['architecture'].label} and {factor} {cell[factor].label} do not go together: {why}"
            )
