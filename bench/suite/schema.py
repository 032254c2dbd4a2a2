"""The JSON Schema of a suite file, from which editors complete and check; generated from what checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic.json_schema import models_json_schema

from bench.factors import FACTORS, PLUGIN, Factor, Level, Number, Setting
from bench.rules import NAMES, rule_set, threshold_names
from bench.suite.claims.file import ClaimTable
from bench.suite.claims.numbers import KINDS, NAMED
from bench.suite.file import SuiteTable
from bench.suite.record import RECORDED, Record

Schema = Mapping[str, object]

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_CELLS = ("where", "of", "against", "cells")  # keys whose tables name cells
_REF = "#/definitions/{model}"


def suite_schema() -> dict[str, object]:
    """The schema, in draft 7: the newest that TOML editors take."""
    levels = {name: _factor(factor) for name, factor in FACTORS.items()}
    several = {name: {"anyOf": [_ref(name), _list(_ref(name))]} for name in FACTORS}
    claims, claim_tables = _claims(_table(several))
    suite = SuiteTable.model_json_schema() | {"description": "What the suite is called, and what it asks."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A suite of gradtrial",
        "description": "docs/suites.md says how to write one.",
        "definitions": levels | claim_tables,
        "required": ["suite", "factors"],
        **_table(
            {
                "suite": suite,
                "factors": _table({name: _list(_ref(name)) for name in FACTORS}, "What varies.") | {"minProperties": 1},
                "fixed": _table({name: _ref(name) for name in FACTORS}, "What does not, where the default is not it."),
                "record": _record(),
                "include": _cells(several, "Cells that are added to the product of the factors."),
                "exclude": _cells(several, "Cells that are taken away from the product of the factors."),
                "verdicts": _verdicts(),
                "report": _report(),
                "claims": claims,
            }
        ),
    }


def _factor(factor: Factor) -> Schema:
    if factor.number:
        return _number(factor.number) | {"description": factor.summary, "default": factor.default}
    words = [level.name for level in factor.levels if _is_complete(level)]
    choices: list[Schema] = [{"const": level.name} | _says(level) for level in factor.levels if _is_complete(level)]
    choices += [_level_table(level) for level in factor.levels if level.settings]
    choices.append(_table({"level": {"enum": words}}, "A level without settings.") | {"required": ["level"]})
    if factor.level("npz"):
        choices.append({"type": "string", "pattern": r"\.npz$", "description": "A local file."})
    if factor.plugins:
        choices += _plugin()
    return {"description": factor.summary, "default": factor.default, "anyOf": choices}


def _number(number: Number | Setting) -> dict[str, object]:
    kind = number.kind if isinstance(number, Number) else type(number.default)
    low = "exclusiveMinimum" if number.exclusive else "minimum"
    schema = {"type": _TYPES[kind], low: number.minimum, "maximum": number.maximum}
    return {key: value for key, value in schema.items() if value is not None}


def _level_table(level: Level) -> Schema:
    settings = {name: _setting(setting) for name, setting in level.settings.items()}
    required = [name for name, setting in level.settings.items() if setting.default == ""]
    return _table({"level": {"const": level.name}} | settings) | _says(level) | {"required": ["level", *required]}


def _is_complete(level: Level) -> bool:
    return all(setting.default != "" for setting in level.settings.values())


def _says(level: Level) -> dict[str, object]:
    return {"description": f"{level.summary} ({level.source})"}


def _setting(setting: Setting) -> Schema:
    says: dict[str, object] = {"description": setting.summary}
    if setting.default != "":
        says["default"] = setting.default
    if setting.or_number:
        return says | {"anyOf": [{"const": setting.default}, _number(replace(setting, default=0.0))]}
    return (says | {"enum": list(setting.allowed)}) if setting.allowed else (_number(setting) | says)


def _plugin() -> list[Schema]:
    word: Schema = {"type": "string", "pattern": f"^{PLUGIN}$", "description": "module:name, from outside."}
    table: Schema = {
        "type": "object",
        "properties": {"level": word},
        "required": ["level"],
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    }
    return [word, table]


def _record() -> Schema:
    at_least = {"every": 1, "log_spaced": 2}
    step = {"anyOf": [{"type": "integer", "minimum": 0}, {"const": "last"}]}
    rules: list[Schema] = [{"const": "every_step"}, {"const": "never"}]
    for rule, least in at_least.items():
        rules.append(_table({rule: {"type": "integer", "minimum": least}}) | {"required": [rule]})
    rules.append(_table({"at": _list(step)}) | {"required": ["at"]})
    defaults = Record()
    tables = {name: {"anyOf": rules, "description": f"Left out: {getattr(defaults, name)}."} for name in RECORDED}
    return _table(tables, "When each table is recorded.")


def _verdicts() -> Schema:
    sets: list[Schema] = [{"const": name, "description": rule_set(name).source} for name in NAMES]
    known = {name: {"type": "number"} for name in threshold_names()}
    return _table(
        {
            "rules": {"type": "array", "items": {"anyOf": sets}, "uniqueItems": True, "description": "Default: all."},
            "thresholds": _table(known, "Thresholds that this suite moves."),
        },
        "Which rule sets judge the runs, and by which thresholds. Changing them trains nothing again.",
    )


def _report() -> Schema:
    return _table(
        {
            "ask": {"enum": list(FACTORS), "description": "Left out: activation, or else the first factor of words."},
            "baseline": _table({name: _ref(name) for name in FACTORS}, "Left out: Keras's own default of each factor."),
        },
        "Of which factor's levels the report gives recipes, and from where it counts changes. It trains nothing again.",
    )


def _claims(cells: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The list of claims and the definitions it needs, from the models that check them; `cells` names cells."""
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


def _cells(several: Mapping[str, Schema], says: str) -> Schema:
    part = _table(several, "The factors it leaves out take all their levels.") | {"minProperties": 1}
    return {"type": "array", "items": part, "description": says}


def _table(properties: Mapping[str, Schema], says: str = "") -> dict[str, object]:
    described = {"description": says} if says else {}
    return {"type": "object", "additionalProperties": False, "properties": properties} | described


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}


def _ref(name: str) -> Schema:
    return {"$ref": _REF.format(model=name)}
