"""One clear sentence for what is wrong in a claim's tables and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bench.errors import SuiteError, nearest
from bench.factors import show
from bench.suite.file import limit

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    "string_type": "text",
    "int_type": "whole number",
    "float_type": "number",
    "list_type": "list",
    "dict_type": "table",
    "model_type": "table",
}


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
    from bench.suite.claims.file import NamedPartTable, ReduceTable, RowTable, RuleTable

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
