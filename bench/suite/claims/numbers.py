"""The number of a run that a claim speaks of: a response, whether the run learned, or a recorded column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import SuiteError, nearest
from bench.factors import show
from bench.suite.claims.responses import RESPONSE_NAMES

# What a number can be read from: a row a run and step, and in some a layer.
LAYERED = ("gradient_norms", "activations")
READABLE = (*LAYERED, "loss_curves", "evaluations")
_NOT_NUMBERS = ("run_id", "step", "layer_index", "layer_name", "split")

Split = Literal["train", "validation"]
Step = Literal["start", "end", "change", "mean", "min", "max"]
Take = Literal["mean", "median", "min", "max", "first_less_last", "slope"]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResponseNumber(_Keys):
    """One of the responses that the report knows."""

    response: Annotated[str, Field(description="A response's name, such as signal_ratio_start.")]


class LearnedNumber(_Keys):
    """1 if the run ended with at least this accuracy, else 0. A lost run did not learn."""

    learned: Annotated[float, Field(gt=0.0, le=1.0, description="The accuracy from which a run counts as learned.")]
    split: Annotated[Split, Field(description="The samples on which the accuracy was measured.")] = "train"


class ColumnNumber(_Keys):
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
    ] = [0, -1]
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
    below: Annotated[float | None, Field(description="Makes it the first step with a value at or under this.")] = None
    above: Annotated[float | None, Field(description="Makes it the first step with a value at or over this.")] = None
    smooth: Annotated[int, Field(ge=1, description="With below or above: mean over so many recorded steps.")] = 1

    @property
    def source(self) -> str:
        """The table that holds the column."""
        return self.table or _tables_with(self.column)[0]

    @property
    def counts_steps(self) -> bool:
        """Whether the number is a step, which a run may not reach."""
        return self.below is not None or self.above is not None


Number = ResponseNumber | LearnedNumber | ColumnNumber
_KINDS: dict[str, type[ResponseNumber] | type[LearnedNumber] | type[ColumnNumber]] = {
    "response": ResponseNumber,
    "learned": LearnedNumber,
    "column": ColumnNumber,
}


def number_model(written: Mapping[str, Any]) -> type[ResponseNumber] | type[LearnedNumber] | type[ColumnNumber]:
    """The kind of number that a table is: by the first of its telling keys.

    Raises:
        SuiteError: it has none of them.
    """
    for key, kind in _KINDS.items():
        if key in written:
            return kind
    got = next(iter(written), "")
    raise SuiteError(f"number: it needs one of its keys response, learned or column. {nearest(got, _KINDS)}")


def check_number(number: Number) -> None:
    """Refuse a number that no table can give.

    Raises:
        SuiteError: an unknown response, table or column, or keys that do not go together.
    """
    if isinstance(number, ResponseNumber) and number.response not in RESPONSE_NAMES:
        raise SuiteError(f"response: {show(number.response)} is not one. {nearest(number.response, RESPONSE_NAMES)}")
    if isinstance(number, ColumnNumber):
        _check_column(number)


def _check_column(number: ColumnNumber) -> None:
    _check_names(number)
    written = number.model_fields_set
    for rule in (_layers_fit, _steps_fit):
        problem = rule(number, written)
        if problem:
            raise SuiteError(problem)
    if number.source != "evaluations" and "split" in written:
        raise SuiteError(f"split: only evaluations have one, and {number.column} is in {number.source}.")


def _layers_fit(number: ColumnNumber, written: set[str]) -> str:
    told = sorted(written & {"layers", "take", "on"})
    if number.source not in LAYERED:
        return f"{told[0]}: {number.source} has no layers." if told else ""
    if number.layers == "head" and number.source != "gradient_norms":
        return f"layers: {number.source} has no head, only hidden layers."
    if isinstance(number.layers, list):
        if len(number.layers) != 2:
            return f"layers: {show(number.layers)} is neither a layer nor two, [from, to]."
    elif {"take", "on"} & written:
        return f"take: {show(number.layers)} is one layer: there is nothing to take."
    if "on" in written and number.take != "slope":
        return f'on: it belongs to take = "slope", not {show(number.take)}.'
    return ""


def _steps_fit(number: ColumnNumber, written: set[str]) -> str:
    if number.below is not None and number.above is not None:
        return "below and above: give one of them."
    if number.counts_steps and "step" in written:
        return "step: with below or above the number is a step; leave it out."
    if "smooth" in written and not number.counts_steps:
        return "smooth: it belongs to below or above."
    if isinstance(number.step, int) and number.step < 0:
        return f'step: {number.step} is not one; the last is "end".'
    return ""


def _check_names(number: ColumnNumber) -> None:
    tables = _tables_with(number.column)
    if not tables:
        known = sorted({name for table in READABLE for name in _columns(table)})
        raise SuiteError(f"column: {show(number.column)} is not one. {nearest(number.column, known)}")
    if number.table is None and len(tables) > 1:
        raise SuiteError(f"table: {number.column} is in {' and '.join(tables)}; say which.")
    if number.table is not None and number.table not in tables:
        raise SuiteError(f"table: {show(number.table)} has no {number.column}. {nearest(number.table, tables)}")
    if number.over is not None and number.over not in _columns(number.source):
        raise SuiteError(
            f"over: {show(number.over)} is not a column of {number.source}. "
            f"{nearest(number.over, _columns(number.source))}"
        )


def _columns(table: str) -> list[str]:
    from bench.schema import TABLES  # with it comes pyarrow, which a suite without claims need not wait for

    return [name for name in TABLES[table].columns if name not in _NOT_NUMBERS]


def _tables_with(column: str) -> list[str]:
    return [table for table in READABLE if column in _columns(table)]
