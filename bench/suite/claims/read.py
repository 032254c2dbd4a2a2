"""`[[claims]]` → `Claim`s: checked against the suite's factors, levels and cells, so that none fails after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import SuiteError, during
from bench.factors import show
from bench.quantities import ACCURACY, Quantity
from bench.suite.claims.cells import CellNames
from bench.suite.claims.file import ClaimTable, PartTable, ReduceTable, RowTable, RuleTable, validated
from bench.suite.claims.model import Cells, Claim, Part, Reduction
from bench.suite.claims.numbers import read_number
from bench.suite.record import RECORDED

# Of a table that is merged, the keys whose tables are merged too, not replaced.
_MERGED = ("where",)


@dataclass(frozen=True)
class _Named:
    """The cells of a part as written: what all share, then each side."""

    of: Mapping[str, Any]
    against: Mapping[str, Any] | None

    @property
    def sides(self) -> list[Mapping[str, Any]]:
        return [self.of] if self.against is None else [self.of, self.against]


def read_claims(written: Sequence[Mapping[str, Any]], cells: CellNames) -> tuple[Claim, ...]:
    """The claims of a suite with these cells.

    Raises:
        SuiteError: a key, value, name or cell is wrong; the message says where and what is allowed.
    """
    claims: list[Claim] = []
    for number, table in enumerate(written, 1):
        named = f" ({table['id']})" if isinstance(table.get("id"), str) else ""
        with during(f"[[claims]] {number}{named}:"):
            claim = _read_claim(table, cells)
            if any(claim.id == other.id for other in claims):
                raise SuiteError(f"id: {show(claim.id)} is there twice.")
            claims.append(claim)
    return tuple(claims)


def _read_claim(written: Mapping[str, Any], cells: CellNames) -> Claim:
    table = validated(ClaimTable, written)
    needs, tables = _parts(table.rule)
    parts = []
    for name, part in tables:
        with during(f"rule {show(name)}:" if name else "rule:"):
            parts.append(_read_part(name, part, cells))
    return Claim(table.id, table.statement, table.source, table.paper, table.differs, needs, tuple(parts))


def _parts(rule: RuleTable) -> tuple[str, list[tuple[str, PartTable]]]:
    """How many parts must hold, and each with what the rule says for all of them."""
    if rule.all is None and rule.any is None:
        return "all", [("", rule)]
    if rule.all is not None and rule.any is not None:
        raise SuiteError("rule: all and any: give one of them.")
    common = rule.model_dump(exclude_unset=True, exclude={"all", "any"})
    parts: list[tuple[str, PartTable]] = []
    for part in rule.all or rule.any or ():
        if part.name in [name for name, _ in parts]:
            raise SuiteError(f"rule: name: {show(part.name)} is there twice.")
        own = part.model_dump(exclude_unset=True, exclude={"name"})
        merged = {key: common[key] | own[key] for key in _MERGED if key in common and key in own}
        parts.append((part.name, PartTable.model_validate(common | own | merged)))
    return ("all" if rule.all is not None else "any"), parts


def _read_part(name: str, table: PartTable, cells: CellNames) -> Part:
    number = _read_number(table, cells)
    _check_region(table)
    if table.against is not None and table.of is None:
        raise SuiteError("of is missing: against compares it with something.")
    if "compare" in table.model_fields_set and table.against is None:
        raise SuiteError("compare: there is nothing to compare with; give of and against.")
    if table.ln and (table.compare == "ratio" or number.at_least is not None):
        raise SuiteError('ln: compare = "ratio" takes logarithms itself, and whether a run learned has none.')
    named = _Named(
        {**table.where, **(table.of or {})}, None if table.against is None else {**table.where, **table.against}
    )
    read = []
    for key, side in zip(("of" if table.of is not None else "where", "against"), named.sides, strict=False):
        with during(f"{key}:"):
            read.append(cells.read(side))
    if len(read) == 2 and cells.matching(read[0]) & cells.matching(read[1]):
        raise SuiteError("of and against share cells: nothing can be compared with itself.")
    reductions = _reductions(table, named, cells)
    best = _read_best(table, named, reductions, cells)
    if len(read) == 2:
        free = [*best, *(factor for reduction in reductions for factor in reduction.factors)]
        alone = cells.unpaired(read[0], read[1], free)
        if alone:
            raise SuiteError(
                f"of and against have no pair: they differ in {' and '.join(alone)} too; name its levels on both sides."
            )
    _check_levels(reductions, number)
    return Part(
        name=name,
        number=number,
        ln=table.ln,
        of=read[0],
        against=read[1] if len(read) == 2 else None,
        best=best,
        best_by=table.best_by,
        reduce=reductions,
        statistic=table.statistic,
        compare=table.compare,
        least=None if table.least is None else float(table.least),
        most=None if table.most is None else float(table.most),
        level=table.level,
        lost=table.lost if isinstance(table.lost, str) else float(table.lost),
        planned=len(set().union(*map(cells.matching, read))) * cells.replicates,
    )


def _read_number(table: PartTable, cells: CellNames) -> Quantity:
    if table.number is None:
        raise SuiteError('number is missing: what each run is judged by, such as { response = "signal_ratio_start" }.')
    number = read_number(table.number)
    if number.table in RECORDED:
        with during("number:"):
            cells.check_recorded(number.table, number.step if isinstance(number.step, int) else None)
            cells.check_lags(number.slice)
            cells.check_heads(number.slice)
            cells.check_places(number.slice)
    if table.lost == "chance" and (number.at_least is not None or number.counts_steps or number.of != ACCURACY):
        raise SuiteError('lost: "chance" is an accuracy, and the number is none.')
    if (number.at_least is not None or number.counts_steps) and "lost" in table.model_fields_set:
        raise SuiteError("lost: a lost run did not learn or did not get there; this number leaves no choice.")
    return number


def _check_region(table: PartTable) -> None:
    if table.least is None and table.most is None:
        raise SuiteError("least or most is missing: the region that is claimed.")
    if table.least is not None and table.most is not None and not table.least < table.most:
        raise SuiteError(f"least = {table.least} must be less than most = {table.most}.")
    edges = [edge for edge in (table.least, table.most) if edge is not None]
    if any(edge != edge or abs(edge) == float("inf") for edge in edges):
        raise SuiteError("least and most: give finite numbers; leave an edge out where the region is open.")
    if table.compare == "ratio" and any(edge <= 0 for edge in edges):
        raise SuiteError('least and most: with compare = "ratio" they are ratios, so above 0.')


def _reductions(table: PartTable, named: _Named, cells: CellNames) -> tuple[Reduction, ...]:
    written = table.reduce if isinstance(table.reduce, list) else [table.reduce]
    found = []
    for number, each in enumerate(written, 1):
        with during("reduce:" if len(written) == 1 else f"reduce {number}:"):
            found.append(_reduction(each, named, cells))
    return tuple(found)


def _check_levels(reductions: Sequence[Reduction], number: Quantity) -> None:
    for place, reduction in enumerate(reductions):
        if reduction.take in ("largest", "smallest") and (place or number.at_least is None):
            raise SuiteError(
                f"reduce: {reduction.take} is of levels that learned: it needs such a number and comes first."
            )


def _reduction(table: ReduceTable, named: _Named, cells: CellNames) -> Reduction:
    log = table.x == "ln_level"
    if log and table.take != "slope":
        raise SuiteError(f'x: it belongs to take = "slope", not {show(table.take)}.')
    if isinstance(table.over, str):
        rows = cells.levels(table.over, named.sides, numeric=table.take in ("slope", "largest", "smallest"))
        factors: tuple[str, ...] = (table.over,)
    else:
        rows = tuple(_row(number, row, named, cells) for number, row in enumerate(table.over, 1))
        factors = tuple(dict.fromkeys(factor for _, row_cells in rows for factor in row_cells))
    if log and any(x <= 0.0 for x, _ in rows):
        raise SuiteError("x: ln_level needs levels above 0.")
    return Reduction(factors, rows, table.take, log)


def _row(number: int, row: RowTable, named: _Named, cells: CellNames) -> tuple[float, Cells]:
    with during(f"over {number}: cells:"):
        read = cells.read(row.cells)
        for side in named.sides:
            if not cells.matching(read) & cells.matching(cells.read(side)):
                raise SuiteError(f"{show(dict(row.cells))} has no cell in common with {show(dict(side))}.")
        return float(row.x), read


def _read_best(table: PartTable, named: _Named, reductions: Sequence[Reduction], cells: CellNames) -> tuple[str, ...]:
    if table.best is None:
        if "best_by" in table.model_fields_set:
            raise SuiteError("best_by: it belongs to best.")
        return ()
    if table.best_by in ("accuracy", "loss"):
        with during("best:"):
            cells.check_recorded("evaluations")
    factors = (table.best,) if isinstance(table.best, str) else tuple(table.best)
    for factor in factors:
        with during("best:"):
            cells.levels(factor, named.sides, numeric=False)
            cells.check_same_levels(factor, named.sides)
            if any(factor in reduction.factors for reduction in reductions):
                raise SuiteError(f"{factor} is in reduce too: it is either chosen or reduced.")
    return factors
