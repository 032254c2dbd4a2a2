"""A suite file's outer shape: its tables and keys, and one clear sentence when they are wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from bench.errors import SuiteError, nearest, printable
from bench.factors import show

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
MAX_NAME = 60
MAX_REPLICATES = 10_000
MAX_NESTING = 8  # tables and lists within each other; a suite needs 5
MAX_CLAIM_NESTING = 14  # of the claims, which need 11
MAX_SEED = 2**31 - 1
_NAMES_FILES = "it names files: A to Z, a to z, digits, _ and -, the first a letter or digit"
_KINDS = {"string_type": "text", "int_type": "whole number", "list_type": "list of tables", "dict_type": "table"}


class SuiteTable(BaseModel):
    """`[suite]`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[
        str,
        Field(
            pattern=NAME, max_length=MAX_NAME, description="Names the results folder: A to Z, a to z, digits, _ and -."
        ),
    ]
    question: Annotated[str, Field(min_length=1, description="What the suite asks; the report opens with it.")]
    replicates: Annotated[
        int, Field(ge=1, le=MAX_REPLICATES, description="Independent repetitions of each cell, from 0.")
    ]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="All randomness follows from it and the replicate.")] = 0
    title: Annotated[str, Field(min_length=1, description="The report's heading; the name if left out.")] | None = None


class SuiteFile(BaseModel):
    """The whole file. What its factors may be is not known here: `bench.factors.choose` checks it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    suite: SuiteTable
    factors: dict[str, Any]
    fixed: dict[str, Any] = {}
    record: dict[str, Any] = {}
    include: list[dict[str, Any]] = []
    exclude: list[dict[str, Any]] = []
    verdicts: dict[str, Any] = {}
    report: dict[str, Any] = {}
    claims: list[dict[str, Any]] = []


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        SuiteError: there is no such file, or it is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        suites = sorted(found.name for found in path.parent.glob("*.toml"))
        others = nearest(path.name, suites) if suites else f"{path.parent} has no suite."
        raise SuiteError(f"{path}: there is no such file. {others}") from None
    except UnicodeDecodeError:
        raise SuiteError(f"{path}: the file is not UTF-8 text.") from None
    except OSError as error:
        raise SuiteError(f"{path}: the file cannot be read: {error.strerror}.") from None


def parse(text: str) -> SuiteFile:
    """The file's tables and keys.

    Raises:
        SuiteError: it is not TOML, a key is unknown or missing, or a value has the wrong type.
    """
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"this is not TOML: {printable(str(error))}.") from None
    except RecursionError:
        raise SuiteError(_too_deep(MAX_NESTING)) from None
    except ValueError:  # of int(), which takes only so many digits
        raise SuiteError("a whole number has too many digits.") from None
    _check_nesting({key: value for key, value in written.items() if key != "claims"}, MAX_NESTING)
    _check_nesting(written, MAX_CLAIM_NESTING)
    try:
        return SuiteFile.model_validate(written)
    except ValidationError as error:
        # An unknown key says more than the missing one that it was meant to be.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise SuiteError(_sentence(first)) from None


def _check_nesting(written: dict[str, Any], most: int) -> None:
    level: list[object] = [written]
    for _ in range(most):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [value for values in inner for value in values]
    if level:
        raise SuiteError(_too_deep(most))


def _too_deep(most: int) -> str:
    return f"tables and lists are nested more than {most} deep: a suite never needs that."


def _sentence(error: ErrorDetails) -> str:
    *tables, key = error["loc"]
    where = " ".join([*(f"[{table}]" for table in tables), str(key)]) if tables else f"[{key}]"
    if isinstance(key, int):  # one of a list of tables
        where = f"[[{tables[0]}]] {key + 1}"
    if error["type"] == "missing":
        return f"{where} is missing."
    if error["type"] == "extra_forbidden":
        known = (SuiteTable if tables else SuiteFile).model_fields
        return f"{where} is not a key of a suite. {nearest(key, known)}"
    kind = _KINDS.get(error["type"])
    if kind:
        return f"{where}: {show(error['input'])} is not a {kind}."
    return f"{where}: {show(error['input'])} is not allowed: {limit(error, string_pattern_mismatch=_NAMES_FILES)}."


def limit(error: ErrorDetails, **own: str) -> str:
    """Which limit a value breaks, in words; `own` are those of further types of errors."""
    limits = error.get("ctx", {})
    said = {
        "greater_than": f"it must be above {limits.get('gt')}",
        "greater_than_equal": f"it must be at least {limits.get('ge')}",
        "less_than": f"it must be below {limits.get('lt')}",
        "less_than_equal": f"it must be at most {limits.get('le')}",
        "string_too_short": "it must not be empty",
        "string_too_long": f"it must have at most {limits.get('max_length')} characters",
        "too_short": f"it needs at least {limits.get('min_length')}",
    }
    return (said | own).get(error["type"], error["msg"])
