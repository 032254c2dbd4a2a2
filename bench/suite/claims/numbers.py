"""The number of a run that a claim speaks of: a quantity by name, whether the run learned, or a recorded column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.errors import SuiteError, during, nearest
from bench.factors import GROUPS, show
from bench.quantities import ACCURACY, LAYERED, QUANTITIES, SLICED, WITH_LAYERS, Quantity, Slice
from bench.suite.claims.file import Keys, validated

# What a number can be read from: a row a run and step, and in some a layer and what else is told apart within it.
READABLE = (*LAYERED, "loss_curves", "evaluations", *SLICED)
NAMED = tuple(name for name, each in QUANTITIES.items() if not each.per_step)
_NOT_NUMBERS = (
    "run_id", "step", "layer_index", "layer_name", "split", "direction", "time", "lag", "group", "head",
    "row", "column",
)  # fmt: skip
_IN_TIME = ("lag", "lags", "horizon")  # one of them says of which time step a number is
_OF_TIME = ("over_lag", "direction")  # and these stand beside it
_OF_PLACE = ("position", "over_position")

Split = Literal["train", "validation"]
Step = Literal["start", "end", "change", "mean", "min", "max"]
Lag = Annotated[int, Field(ge=0)] | Literal["first", "last"]
Place = list[int] | Literal["corner", "edge", "center"]
Take = Literal["mean", "median", "min", "max", "first_less_last", "slope"]


class NamedTable(Keys):
    """One of the quantities that have a name."""

    response: Annotated[str, Field(description="A quantity's name, such as signal_ratio_start.")]


class LearnedTable(Keys):
    """1 if the run ended with at least this accuracy, else 0. A lost run did not learn."""

    learned: Annotated[float, Field(gt=0.0, le=1.0, description="The accuracy from which a run counts as learned.")]
    split: Annotated[Split, Field(description="The samples on which the accuracy was measured.")] = "train"


class ColumnTable(Keys):
    """One number per run from a recorded column: transform, then over layers, then over steps."""

    column: Annotated[str, Field(description="A column of docs/tables.md with a number in it.")]
    table: Annotated[str | None, Field(description="Its table; needed where two tables have the column.")] = None
    split: Annotated[Split, Field(description="Of evaluations: which samples.")] = "train"
    over: Annotated[str | None, Field(description="A column of the same table to divide by.")] = None
    transform: Annotated[
        Literal["none", "ln", "log10", "square"], Field(description="Done to each value before anything else.")
    ] = "none"
    layers: Annotated[
        int | Literal["first", "last", "head"] | list[int],
        Field(
            union_mode="left_to_right",
            description="One layer, or [from, to], both included; 0 is nearest the input, -1 the last hidden layer. "
            "Left out: all hidden layers.",
        ),
    ] = [0, -1]  # noqa: RUF012 (pydantic copies it)
    take: Annotated[Take, Field(description="How several layers make one number.")] = "mean"
    on: Annotated[Literal["layer", "ln_layer"], Field(description="Of slope: against the index, or ln(1 + index).")] = (
        "layer"
    )
    step: Annotated[
        int | Step,
        Field(
            union_mode="left_to_right",
            description="A recorded step; start or end, the first or last recorded; change, end less start; "
            "or over all recorded steps.",
        ),
    ] = "end"
    lag: Annotated[
        Lag | None,
        Field(
            union_mode="left_to_right",
            description="Of time_gradients: the time step with this lag; or the first or last that the layer takes.",
        ),
    ] = None
    over_lag: Annotated[
        Lag | None, Field(union_mode="left_to_right", description="Divide by the value there, before transform.")
    ] = None
    lags: Annotated[
        list[int] | None,
        Field(description="Of time_gradients: the slope of the transformed value against the lag, [from, to]."),
    ] = None
    horizon: Annotated[
        float | None,
        Field(gt=0.0, lt=1.0, description="Makes it the smallest lag with less than this share of that at lag 0."),
    ] = None
    direction: Annotated[
        Literal["forward", "backward"] | None,
        Field(description="Of time_gradients: left out, the mean over the directions of a layer."),
    ] = None
    group: Annotated[str | None, Field(description="Of parameter_groups: which, such as kernel or gate_f.")] = None
    head: Annotated[
        Annotated[int, Field(ge=0)] | Literal["mean", "min", "max"] | None,
        Field(
            union_mode="left_to_right",
            description="Of attention: one head; or the mean, smallest or largest over all. Left out: the mean.",
        ),
    ] = None
    position: Annotated[
        Place | None,
        Field(
            union_mode="left_to_right",
            description="Of positions: [row, column], -1 the last; or the mean over corners, edges (without them) or "
            "the center. Left out: over all.",
        ),
    ] = None
    over_position: Annotated[
        Place | None, Field(union_mode="left_to_right", description="Divide by the value there, before transform.")
    ] = None
    below: Annotated[float | None, Field(description="Makes it the first step with a value at or under this.")] = None
    above: Annotated[float | None, Field(description="Makes it the first step with a value at or over this.")] = None
    smooth: Annotated[int, Field(ge=1, description="With below or above: mean over so many recorded steps.")] = 1


KINDS: dict[str, type[NamedTable | LearnedTable | ColumnTable]] = {
    "response": NamedTable,
    "learned": LearnedTable,
    "column": ColumnTable,
}


def read_number(written: Mapping[str, Any]) -> Quantity:
    """The quantity that a table means: its kind is that of the first of its telling keys.

    Raises:
        SuiteError: it has none of them, names what is no quantity, table or column, or has keys that do not go
            together.
    """
    kind = next((kind for key, kind in KINDS.items() if key in written), None)
    if kind is None:
        known = nearest(next(iter(written), ""), KINDS)
        raise SuiteError(f"number: it needs one of its keys response, learned or column. {known}")
    with during("number:"):
        number = validated(kind, written)
        if isinstance(number, NamedTable):
            return _named(number.response)
        if isinstance(number, LearnedTable):
            return Quantity(table="evaluations", of=ACCURACY, split=number.split, at_least=number.learned)
        return _of_column(number)


def _named(name: str) -> Quantity:
    if name in NAMED:
        return QUANTITIES[name]
    if name in QUANTITIES:
        raise SuiteError(f"response: {show(name)} is a number of each recorded step. {nearest(name, NAMED)}")
    raise SuiteError(f"response: {show(name)} is not one. {nearest(name, NAMED)}")


def _of_column(number: ColumnTable) -> Quantity:
    """The quantity without a name that a claim writes out."""
    table = _check_names(number)
    for problem in (
        _layers_fit(number, table),
        _steps_fit(number),
        _times_fit(number, table),
        _group_fits(number, table),
        _head_fits(number, table),
        _place_fits(number, table),
    ):
        if problem:
            raise SuiteError(problem)
    if table != "evaluations" and "split" in number.model_fields_set:
        raise SuiteError(f"split: only evaluations have one, and {number.column} is in {table}.")
    over = () if number.over is None else ((number.over, -1.0),)
    limited = number.below is not None or number.above is not None
    return Quantity(
        table=table,
        of=((number.column, 1.0), *over),
        transform=number.transform,
        split=number.split if table == "evaluations" else "",
        slice=Slice(
            lag=number.lag if number.lags is None else (number.lags[0], number.lags[1]),
            over_lag=number.over_lag,
            horizon=number.horizon,
            direction=number.direction or "",
            group=number.group or "",
            head="mean" if number.head is None else number.head,
            place=_place(number.position),
            over_place=_place(number.over_position),
        ),
        layers=(number.layers[0], number.layers[1]) if isinstance(number.layers, list) else number.layers,
        take=number.take,
        on=number.on,
        whole=True,
        step="first" if limited else number.step,
        below=number.below,
        above=number.above,
        smooth=number.smooth,
    )


def _layers_fit(number: ColumnTable, table: str) -> str:
    written = number.model_fields_set
    told = sorted(written & {"layers", "take", "on"})
    if table not in WITH_LAYERS:
        return f"{told[0]}: {table} has no layers." if told else ""
    if number.layers == "head" and table not in ("gradient_norms", "parameter_groups"):
        return f"layers: {table} has no head, only hidden layers."
    if isinstance(number.layers, list):
        if len(number.layers) != 2:
            return f"layers: {show(number.layers)} is neither a layer nor two, [from, to]."
    elif {"take", "on"} & written:
        return f"take: {show(number.layers)} is one layer: there is nothing to take."
    if "on" in written and number.take != "slope":
        return f'on: it belongs to take = "slope", not {show(number.take)}.'
    return ""


def _steps_fit(number: ColumnTable) -> str:
    written = number.model_fields_set
    limited = number.below is not None or number.above is not None
    if number.below is not None and number.above is not None:
        return "below and above: give one of them."
    if limited and "step" in written:
        return "step: with below or above the number is a step; leave it out."
    if "smooth" in written and not limited:
        return "smooth: it belongs to below or above."
    if isinstance(number.step, int) and number.step < 0:
        return f'step: {number.step} is not one; the last is "end".'
    return ""


def _times_fit(number: ColumnTable, table: str) -> str:
    given = [key for key in _IN_TIME if getattr(number, key) is not None]
    others = [key for key in _OF_TIME if getattr(number, key) is not None]
    if table != "time_gradients":
        told = [*given, *others]
        return f"{told[0]}: only time_gradients has time steps, and {number.column} is in {table}." if told else ""
    if len(given) != 1:
        both = f"{' and '.join(given)}: give one of them" if given else "lag is missing"
        return (
            f"{both}: lag = 40 is one time step, lags = [10, 50] the slope between two, horizon = 0.01 where it ends."
        )
    if number.over_lag is not None and number.lag is None:
        return f"over_lag: it belongs to lag, not {given[0]}."
    if number.lags is not None and (len(number.lags) != 2 or not 0 <= number.lags[0] < number.lags[1]):
        return f"lags: {show(number.lags)} is not [from, to], two whole numbers from 0 on, the larger last."
    if number.horizon is not None and number.transform != "none":
        return "transform: a horizon is a lag; ln = true beside the number takes its logarithm."
    limited = number.below is not None or number.above is not None
    if number.horizon is not None and (limited or number.step in ("change", "mean")):
        return "step: a horizon may lie beyond the sequence; take it at a step, the start or the end."
    return ""


def _group_fits(number: ColumnTable, table: str) -> str:
    if table != "parameter_groups":
        told = f"group: only parameter_groups has any, and {number.column} is in {table}."
        return "" if number.group is None else told
    if number.group is None:
        return f"group is missing: which of {', '.join(GROUPS)}."
    return "" if number.group in GROUPS else f"group: {show(number.group)} is not one. {nearest(number.group, GROUPS)}"


def _head_fits(number: ColumnTable, table: str) -> str:
    if number.head is None or table == "attention":
        return ""
    return f"head: only attention has any, and {number.column} is in {table}."


def _place_fits(number: ColumnTable, table: str) -> str:
    for key in _OF_PLACE:
        place = getattr(number, key)
        if place is not None and table != "positions":
            return f"{key}: only positions has any, and {number.column} is in {table}."
        if isinstance(place, list) and len(place) != 2:
            return f"{key}: {show(place)} is not [row, column]; of a sequence the row is 0."
    return ""


def _place(written: Place | None) -> tuple[int, int] | str:
    return (written[0], written[1]) if isinstance(written, list) else written or ""


def _check_names(number: ColumnTable) -> str:
    """The table that holds the column."""
    tables = [table for table in READABLE if number.column in _columns(table)]
    if number.table is None and len(tables) > 1:  # a time step, a group or the like, or their absence, says which
        telling = {
            "parameter_groups": ("group",), "time_gradients": (*_IN_TIME, *_OF_TIME), "attention": ("head",),
            "positions": _OF_PLACE,
        }  # fmt: skip
        told = [name for name, keys in telling.items() if any(getattr(number, key) is not None for key in keys)]
        meant = told[0] if told else ""
        plain = [table for table in tables if table not in SLICED]
        tables = [meant] if meant in tables else plain or tables
    if not tables:
        known = sorted({name for table in READABLE for name in _columns(table)})
        raise SuiteError(f"column: {show(number.column)} is not one. {nearest(number.column, known)}")
    if number.table is None and len(tables) > 1:
        raise SuiteError(f"table: {number.column} is in {' and '.join(tables)}; say which.")
    if number.table is not None and number.table not in tables:
        raise SuiteError(f"table: {show(number.table)} has no {number.column}. {nearest(number.table, tables)}")
    table = number.table or tables[0]
    columns = _columns(table)
    if number.over is not None and number.over not in columns:
        raise SuiteError(f"over: {show(number.over)} is not a column of {table}. {nearest(number.over, columns)}")
    return table


def _columns(table: str) -> list[str]:
    from bench.schema import TABLES  # with it comes pyarrow, which a suite without claims need not wait for

    return [name for name in TABLES[table].columns if name not in _NOT_NUMBERS]
