"""What architectures from outside say of themselves, asked of a worker before anything trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.engine.datasets import load
from bench.engine.fitting import check_sample
from bench.engine.objective import Objective
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
    level = architecture_level(cell["architecture"].name)
    if level is None:
        return None
    _check(cell, level)
    sizes = sizes_of(cell["dataset"])
    if sizes is None:  # nobody can count what a network takes of samples of another shape
        data = load(cell["dataset"], "standardize")
        check_sample(cell["dataset"], data.shape, cell["architecture"].name)
        sizes = (*data.shape, data.vocabulary) if data.vocabulary else data.shape, Objective.of(data).outputs
    costs = level.costs(cell, *sizes)
    if not isinstance(costs, Costs):
        name = cell["architecture"].label
        raise SuiteError(f'architecture "{name}": its costs are a {type(costs).__name__}, no Costs.')
    return costs


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
