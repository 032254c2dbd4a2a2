"""The sets that come with the project, read from the TOML files beside this one."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from bench.rules.model import LearnedRule, RuleSet

OWN = "gradtrial"
NAMES = (OWN, "autotrainer", "deepdiagnosis", "sagemaker_debugger", "thedeepchecker")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("bench.rules").joinpath(f"{name}.toml").read_text("utf-8"))


@cache
def rule_set(name: str) -> RuleSet:
    """The set of that name.

    Raises:
        FileNotFoundError: there is none.
    """
    return RuleSet.model_validate(_read(name))


@cache
def learned_rule() -> LearnedRule:
    """When a run counts as having learned, whatever the rule set."""
    return LearnedRule.model_validate(_read("outcome"))
