"""`[[claims]]` as a suite writes them: tables, keys, and one clear sentence for what is wrong in them.

What they mean for its cells, `read.py` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from bench.errors import SuiteError, nearest
from bench.factors import show
from bench.suite.file import limit

CLAIM_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Word = Annotated[str, Field(min_length=1)]

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    "string_type": "text",
    "int_type": "whole number",
    "float_type": "number",
    "list_type": "list",
    "dict_type": "table",
    "model_type": "table",
}


class Keys(BaseModel):
    """A table that has these keys and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RowTable(Keys):
    """One point of a reduction that names its own cells."""

    x: Annotated[float, Field(description="Where it stands.")]
    cells: Annotated[dict[str, Any], Field(description="Which cells stand there: factor = level, or a list.")]


class ReduceTable(Keys):
    """Runs that differ along one factor become one number per replicate."""

    over: Annotated[
        str | Annotated[list[RowTable], Field(min_length=2)], Field(description="A factor, or a list of { x, cells }.")
    ]
    take: Annotated[
        Literal["mean", "median", "min", "max", "slope", "rank_correlation", "largest", "smallest"],
        Field(description="largest and smallest: the level, of those where the number is at least 1/2."),
    ]
    x: Annotated[Literal["level", "ln_level"], Field(description="Of slope: against the level or its ln.")] = "level"


class PartTable(Keys):
    """What one part of a rule says; a rule without parts is its own part."""

    number: Annotated[dict[str, Any] | None, Field(description="The number of each run.")] = None
    ln: Annotated[bool, Field(description="Go on with the natural logarithm of that number.")] = False
    where: Annotated[dict[str, Any], Field(description="The runs it is about: factor = level, or a list.")] = {}
    of: Annotated[dict[str, Any] | None, Field(description="The runs that are compared.")] = None
    against: Annotated[dict[str, Any] | None, Field(description="The runs that they are compared with.")] = None
    best: Annotated[
        str | list[str] | None,
        Field(description="Factors of which each network is judged at its best level, the same for both sides."),
    ] = None
    best_by: Annotated[
        Literal["accuracy", "loss", "lowest", "highest"],
        Field(description="Final training accuracy, then loss; that loss; or the number itself."),
    ] = "accuracy"
    reduce: Annotated[
        ReduceTable | list[ReduceTable],
        Field(description="From the runs of a replicate to one number; several are done in their order."),
    ] = []
    statistic: Annotated[
        Literal["mean", "median", "each"], Field(description="Over replicates: of which the region is claimed.")
    ] = "mean"
    compare: Annotated[Literal["difference", "ratio"], Field(description="How of is compared with against.")] = (
        "difference"
    )
    least: Annotated[float | None, Field(description="The lower edge of the claimed region.")] = None
    most: Annotated[float | None, Field(description="The upper edge of the claimed region.")] = None
    level: Annotated[float, Field(ge=0.5, lt=1.0, description="The confidence of the interval.")] = 0.95
    lost: Annotated[
        float | Literal["unknown", "measured", "excluded", "chance"],
        Field(
            union_mode="left_to_right",
            description="What stands for a run that diverged or failed: anything, what was measured before, "
            "nothing, accuracy at chance, or this number.",
        ),
    ] = "unknown"


class NamedPartTable(PartTable):
    """One part of a rule that has several; what it leaves out stands in the rule."""

    name: Annotated[str, Field(min_length=1, max_length=60, description="Names the part.")]


class RuleTable(PartTable):
    """What decides a claim."""

    all: Annotated[list[NamedPartTable], Field(min_length=1, description="Parts that must all hold.")] | None = None
    any: Annotated[list[NamedPartTable], Field(min_length=1, description="Parts of which one must hold.")] | None = None


class ClaimTable(Keys):
    """A statement of the literature and the rule that decides it."""

    id: Annotated[str, Field(pattern=CLAIM_NAME, max_length=60, description="Letters, digits, _, - and dots.")]
    statement: Annotated[Word, Field(description="What is claimed, in one sentence.")]
    source: Annotated[Word, Field(description="Who claimed it, where.")]
    paper: Annotated[Word, Field(description="The source's own numbers and conditions.")] = ""
    differs: Annotated[Word, Field(description="What differs here.")] = ""
    rule: Annotated[RuleTable, Field(description="What decides it.")]


def validated(model: type[Model], written: Mapping[str, Any]) -> Model:
    """The model of a table.

    Raises:
        SuiteError: a key is unknown or missing, or a value is not allowed.
    """
    try:
        return model.model_validate(dict(written))
    except ValidationError as error:
        # An unknown key says more than the missing one that it was meant to be; of the branches of a choice, the
        # one that got furthest is the one that was meant.
        found = sorted(error.errors(), key=_rank)
        raise SuiteError(_sentence(found[0], model, written)) from None


def _rank(error: ErrorDetails) -> tuple[bool, int, bool]:
    return error["type"] != "extra_forbidden", -len(error["loc"]), error["type"] != "literal_error"


def _sentence(error: ErrorDetails, model: type[BaseModel], written: Mapping[str, Any]) -> str:
    place, inner = _place(error, written)
    if error["type"] == "missing":
        return f"{place} is missing."
    if error["type"] == "extra_forbidden":
        return f"{place} is not a key. {nearest(error['loc'][-1], _keys(model, inner))}"
    if error["type"] in _KINDS:
        return f"{place}: {show(error['input'])} is not a {_KINDS[error['type']]}."
    return f"{place}: {show(error['input'])} is not allowed: {_limit(error)}."


def _place(error: ErrorDetails, written: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Where the error is, as a reader counts, and the keys on the way: pydantic names the branches of a choice too."""
    words: list[str] = []
    keys: list[str] = []
    at: Any = written
    for each in error["loc"]:
        last = each is error["loc"][-1] and error["type"] in ("missing", "extra_forbidden")
        if isinstance(each, int) and isinstance(at, list):
            words.append(str(each + 1))
            at = at[each]
        elif isinstance(at, Mapping) and (each in at or last):
            words.append(str(each))
            keys.append(str(each))
            at = at.get(each)
    return " ".join(words), keys


def _keys(model: type[BaseModel], inner: list[str]) -> list[str]:
    """The keys that the table may have in which an unknown one stands."""
    inside: dict[str, type[BaseModel]] = {
        "rule": RuleTable,
        "all": NamedPartTable,
        "any": NamedPartTable,
        "reduce": ReduceTable,
        "over": RowTable,
    }
    tables: list[type[BaseModel]] = [model, *(inside[key] for key in inner[:-1] if key in inside)]
    return list(tables[-1].model_fields)


def _limit(error: ErrorDetails) -> str:
    return limit(
        error,
        string_pattern_mismatch="only A to Z, a to z, digits, _, - and dots may stand in it",
        literal_error=f"it is {error.get('ctx', {}).get('expected')}{_or_a_number(error)}",
    )


def _or_a_number(error: ErrorDetails) -> str:
    """The words of a choice are named in its branch's place; the choices here have a number beside them."""
    return ", or a number" if str(error["loc"][-1]).startswith("literal[") else ""
