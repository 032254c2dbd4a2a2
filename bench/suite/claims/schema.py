"""The JSON Schema of `[[claims]]`, from the same models that check them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from bench.suite.claims.file import ClaimTable
from bench.suite.claims.numbers import KINDS, NAMED

_CELLS = ("where", "of", "against", "cells")  # keys whose tables name cells
_REF = "#/definitions/{model}"


def claims_schema(cells: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of the list of claims, and the definitions it needs; `cells` is that of a table that names cells."""
    models = [(model, "validation") for model in (ClaimTable, *KINDS.values())]
    _, generated = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
    definitions: dict[str, Any] = generated["$defs"]
    definitions["NamedTable"]["properties"]["response"]["enum"] = list(NAMED)
    numbers = {"anyOf": [_ref(model.__name__) for model in KINDS.values()]}
    for definition in definitions.values():
        properties = definition["properties"]
        for key in properties:
            if key in _CELLS:
                properties[key] = _ref("Cells")
            elif key == "number":
                properties[key] = numbers | {"description": properties[key]["description"]}
            properties[key].pop("title", None)
    definitions["Cells"] = dict(cells) | {"description": "Which cells: factor = level, or a list of them."}
    claims = {
        "type": "array",
        "items": _ref("ClaimTable"),
        "description": "What is claimed of the suite's cells, and the rule that decides it.",
    }
    return claims, definitions


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}
