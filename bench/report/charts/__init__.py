"""One file a chart: a panel and its scale in, an SVG and its alternative text out."""

from __future__ import annotations

from collections.abc import Callable

from bench.report.charts import activation, claim, curve, events, heatmap, profile, survival, theory, tiles, tradeoff
from bench.report.charts.canvas import Drawing
from bench.report.view import Panel, Scale

CHARTS: dict[str, Callable[[Panel, Scale], Drawing]] = {
    "activation": activation.draw,
    "claim": claim.draw,
    "heatmap": heatmap.draw,
    "tiles": tiles.draw,
    "profile": profile.draw,
    "curve": curve.draw,
    "events": events.draw,
    "survival": survival.draw,
    "theory": theory.draw,
    "tradeoff": tradeoff.draw,
}

__all__ = ["CHARTS", "Drawing"]
