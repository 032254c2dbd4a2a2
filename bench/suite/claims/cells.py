"""The cells of a suite as claims name them: `factor = level`, or a list, as in `[[exclude]]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from bench.errors import SuiteError, nearest
from bench.factors import (
    FACTORS,
    Choice,
    dataset_level,
    has_time,
    inner_tables,
    planned_heads,
    planned_moments,
    planned_positions,
    show,
)
from bench.quantities import Slice
from bench.suite.cells import Cell, Levels, read_partial
from bench.suite.claims.model import Cells
from bench.suite.record import Record


class CellNames:
    """What a claim may name: the levels of a suite, its cells, and the steps that they record."""

    def __init__(self, levels: Levels, cells: Sequence[Cell], replicates: int, record: Record) -> None:
        self.replicates = replicates
        self._levels = levels
        self._cells = cells
        self._record = record

    def read(self, written: Mapping[str, Any]) -> Cells:
        """The levels that a partial cell means, at least one of the suite's cells among them; {} means all.

        Raises:
            SuiteError: an unknown factor or level, or no cell has them together.
        """
        if not written:
            return {}
        part = read_partial(self._levels, written, add=False)
        cells = {factor: tuple(choice.column for choice in choices) for factor, choices in part.items()}
        if not self.matching(cells):
            named = ", ".join(f"{factor} = {show(value)}" for factor, value in written.items())
            raise SuiteError(f"the suite has no cell with {named}.")
        return cells

    @cached_property
    def _schedules(self) -> list[dict[str, tuple[int, ...]]]:
        """Each recorded table's steps, for each number of steps that cells have."""
        return [self._record.schedules(steps) for steps in {int(cell["steps"].value or 0) for cell in self._cells}]

    def matching(self, cells: Cells) -> set[int]:
        """The cells that match, by their place in the suite."""
        return {
            place
            for place, cell in enumerate(self._cells)
            if all(cell[factor].column in levels for factor, levels in cells.items())
        }

    def unpaired(self, of: Cells, against: Cells, free: Sequence[str]) -> list[str]:
        """Factors by which no cell of one side has a partner on the other; empty where some cells pair.

        Cells pair that agree in every factor but the `free` ones and those that name the two sides.
        """
        own = {factor for factor in {*of, *against} if of.get(factor) != against.get(factor)}
        sides = [[self._cells[place] for place in sorted(self.matching(side))] for side in (of, against)]
        shared = [factor for factor in sides[0][0] if factor not in own and factor not in free]
        first, second = ({tuple(cell[factor].column for factor in shared) for cell in cells} for cells in sides)
        if first & second:
            return []
        return [
            factor
            for place, factor in enumerate(shared)
            if not {key[place] for key in first} & {key[place] for key in second}
        ] or shared

    def levels(
        self, factor: str, sides: Sequence[Mapping[str, Any]], *, numeric: bool
    ) -> tuple[tuple[float, Cells], ...]:
        """A factor's levels that occur on every side, at least two: a number stands at itself, a word at its place.

        Raises:
            SuiteError: it is no factor, has no two levels there, or is not the number that it must be.
        """
        if factor not in FACTORS:
            raise SuiteError(f"{show(factor)} is not a factor. {nearest(factor, FACTORS)}")
        if numeric and FACTORS[factor].number is None:
            raise SuiteError(f"{factor} is not a number: give a list of {{ x, cells }}, or another take.")
        known: Sequence[Choice] = self._levels.varied.get(factor, ())
        found: list[Choice] = []
        for choice in known:
            wanted = [self.matching(self.read(side)) & self.matching({factor: (choice.column,)}) for side in sides]
            if all(wanted):
                found.append(choice)
        if len(found) < 2:
            shown = ", ".join(choice.label for choice in found) or "none"
            raise SuiteError(f"{factor} needs two levels that every side has; here it is {shown}.")
        ordered = sorted(found, key=lambda choice: choice.value or 0) if FACTORS[factor].number else found
        return tuple(
            (float(place if choice.value is None else choice.value), {factor: (choice.column,)})
            for place, choice in enumerate(ordered)
        )

    def check_same_levels(self, factor: str, sides: Sequence[Mapping[str, Any]]) -> None:
        """Refuse sides of which one has levels of a factor that the other has not: the choice would not be fair.

        Raises:
            SuiteError: they differ.
        """
        each = [{self._cells[place][factor].label for place in self.matching(self.read(side))} for side in sides]
        for one, other in pairwise(each):
            if one != other:
                shown = ", ".join(sorted(one ^ other))
                raise SuiteError(f"{factor} {shown}: only one side has it. Both must choose from the same levels.")

    def check_recorded(self, table: str, step: int | None = None) -> None:
        """Refuse a table that no run of the suite records, or not at this step.

        Raises:
            SuiteError: it is none; the message lists the nearest steps.
        """
        recorded = sorted({each for schedules in self._schedules for each in schedules.get(table, ())})
        if not recorded:
            raise SuiteError(f'{table} is never recorded here: change its [record] {table} = "never".')
        if step is not None and step not in recorded:
            raise SuiteError(f"step: {table} has none at {step}; {_nearest(step, recorded)}.")

    def check_lags(self, asked: Slice) -> None:
        """Refuse lags that no cell keeps, where the lengths of all cells' sequences are known.

        Raises:
            SuiteError: a lag is none of them, or a slope has fewer than two; the message lists the nearest.
        """
        if not any(isinstance(each, int | tuple) for each in (asked.lag, asked.over_lag)):
            return
        structures = [cell for cell in self._cells if has_time(cell["architecture"])]
        levels = [dataset_level(cell["dataset"]) for cell in structures]
        if not all(level is not None and level.shape for level in levels):
            return
        kept = sorted({moment.lag for cell in structures for _, moment in planned_moments(cell)})
        for key in ("lag", "over_lag"):
            lag = getattr(asked, key)
            if isinstance(lag, int) and lag not in kept:
                raise SuiteError(f"{key}: no time step with lag {lag} is kept; {_nearest(lag, kept)}.")
        if isinstance(asked.lag, tuple):
            low, high = asked.lag
            if sum(low <= lag <= high for lag in kept) < 2:
                raise SuiteError(f"lags: fewer than two are kept from {low} to {high}; {_nearest(low, kept)}.")

    def check_heads(self, asked: Slice) -> None:
        """Refuse a head that no cell has.

        Raises:
            SuiteError: it is none of them; the message lists the nearest.
        """
        if not isinstance(asked.head, int):
            return
        kept = sorted({head for cell in self._cells for _, head in planned_heads(cell)})
        if asked.head not in kept:
            raise SuiteError(f"head: none with the number {asked.head} is kept; {_nearest(asked.head, kept)}.")

    def check_places(self, asked: Slice) -> None:
        """Refuse positions that no cell keeps, where the sizes of all cells' samples are known.

        Raises:
            SuiteError: a position is none of them; the message lists those rows and columns that are kept.
        """
        if not any(isinstance(each, tuple) for each in (asked.place, asked.over_place)):
            return
        structures = [cell for cell in self._cells if "positions" in inner_tables(cell)]
        levels = [dataset_level(cell["dataset"]) for cell in structures]
        if not all(level is not None and level.shape for level in levels):
            return
        by_layer: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for number, cell in enumerate(structures):
            for layer, row, column in planned_positions(cell):
                by_layer.setdefault((number, layer), set()).add((row, column))
        for key, place in (("position", asked.place), ("over_position", asked.over_place)):
            if isinstance(place, tuple) and not any(_has(kept, place) for kept in by_layer.values()):
                kept = max(by_layer.values(), key=len, default=set())
                rows, columns = (", ".join(map(str, sorted({each[axis] for each in kept}))) for axis in (0, 1))
                raise SuiteError(f"{key}: [{place[0]}, {place[1]}] is not kept. Rows: {rows}; columns: {columns}.")


def _has(kept: set[tuple[int, int]], place: tuple[int, int]) -> bool:
    """Whether a position is among a layer's, of which the last are there."""
    ends = [max(each[axis] for each in kept) for axis in (0, 1)]
    row, column = (at if at >= 0 else end + 1 + at for at, end in zip(place, ends, strict=True))
    return (row, column) in kept


def _nearest(wanted: int, known: Sequence[int]) -> str:
    nearby = sorted(sorted(known, key=lambda each: abs(each - wanted))[:5])
    return f"the nearest are {', '.join(map(str, nearby))}"
