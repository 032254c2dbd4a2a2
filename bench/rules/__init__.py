"""Named sets of rules, as data: from which measurement on a run counts as vanishing, exploding, dead, ...

One TOML file a set, in this folder, with the numbers and where they come from. Nothing is computed here.
"""

from __future__ import annotations

from bench.rules.choice import NAMES, OWN, WATCHING, RulesChoice, choose_rules, learned_rule, rule_set, threshold_names
from bench.rules.model import PATHOLOGIES, Comparison, Condition, LearnedRule, Rule, RuleSet, Symptom, When

__all__ = [
    "NAMES", "OWN", "PATHOLOGIES", "WATCHING", "Comparison", "Condition", "LearnedRule", "Rule", "RuleSet",
    "RulesChoice", "Symptom", "When", "choose_rules", "learned_rule", "rule_set", "threshold_names",
]  # fmt: skip
