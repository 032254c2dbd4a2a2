"""What is measured, by which thresholds it is judged, and the numbers that a run is described by."""

from __future__ import annotations

from bench.quantities import OF_RUNS, QUANTITIES
from bench.report.blocks import Definition, Definitions, Fold, Heading, Section, Text
from bench.report.frames import Frames
from bench.report.sections.rules import condition_text
from bench.rules import OWN, RulesChoice
from bench.schema import TABLES
from bench.text import number, spoken

WORDS = (
    ("gradient_norms", "preactivation_grad_norm"),
    ("gradient_norms", "weight_grad_norm"),
    ("loss_curves", "loss"),
    ("evaluations", "accuracy"),
)


def section(frames: Frames) -> Section:
    """Columns, thresholds and responses."""
    words = (Definition(spoken(c), TABLES[t].columns[c].meaning, source=f"table {t}") for t, c in WORDS)
    responses = (Definition(r.name, r.definition, r.unit, f"table {r.table}; lost runs: {r.lost}") for r in OF_RUNS)
    blocks = (
        Heading("Measured while training"),
        Definitions(tuple(words)),
        Heading("Thresholds of this page"),
        Text("They judge the tables; changing one retrains nothing."),
        Definitions(_thresholds(frames.choice)),
        Fold("Quantities: one number for each run", (Definitions(tuple(responses)),)),
    )
    return Section("definitions", "Definitions and thresholds", "Definitions", blocks)


def _thresholds(choice: RulesChoice) -> tuple[Definition, ...]:
    learned = choice.learned
    own = [
        Definition(
            spoken(rule.name), " ".join(QUANTITIES[c.measure].definition for c in rule.conditions),
            "; ".join(condition_text(c) for c in rule.conditions), rule.source,
        )
        for rule in choice.own.rules
    ]  # fmt: skip
    published = [Definition(s.title, s.differs, source=s.source) for s in choice.sets if s.name != OWN]
    return (*own, *published, Definition("learned", learned.meaning, number(learned.learned_share), learned.source))
