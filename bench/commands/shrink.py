"""How a plan that takes over an hour could be made shorter: said before it trains, and not asked."""

from __future__ import annotations

from bench.suite import Suite
from bench.text import duration, listed

LONG_SECONDS = 3600.0


def long_plan(suite: Suite, seconds: float) -> str:
    """What is said of a plan that takes so long; empty if that is no more than an hour."""
    if seconds <= LONG_SECONDS:
        return ""
    factors = sorted(suite.factors.items(), key=lambda item: len(item[1]), reverse=True)
    levels = [f"{name} ({len(choices)})" for name, choices in factors if len(choices) > 1]
    steps = max(int(cell["steps"].value or 0) for cell in suite.cells)
    ways = [f"fewer levels of {listed(levels)}"] if levels else []
    ways += [f"fewer replicates ({suite.replicates})"] if suite.replicates > 1 else []
    ways += [f"fewer steps (up to {steps})"]
    part = f", or a part of it at a time by --only '{_part(suite)}'" if levels else ""
    return f"This takes over an hour, about {duration(seconds)}. What would shorten it: {listed(ways)}{part}."


def _part(suite: Suite) -> str:
    """An expression for --only that leaves one level of the first factor that has several."""
    name, choices = next((name, choices) for name, choices in suite.factors.items() if len(choices) > 1)
    return f"{name}=={choices[0].label}" if choices[0].value is not None else f'{name}=="{choices[0].name}"'
