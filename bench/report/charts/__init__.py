"""The static charts: a panel and its scale in, an SVG and its alternative text out."""

from __future__ import annotations

from collections.abc import Callable

from bench.report.blocks import Panel, Scale
from bench.report.charts import (
    against,
    beside,
    claim,
    course,
    forest,
    heads,
    heatmap,
    lags,
    lines,
    roc,
    shares,
    strip,
    theory,
)
from bench.report.charts.canvas import Drawing

CHARTS: dict[str, Callable[[Panel, Scale], Drawing]] = {
    "against": against.draw,
    "activation": lines.draw_activation,
    "beside": beside.draw,
    "beside_plain": beside.draw_plain,
    "claim": claim.draw,
    "course": course.draw,
    "forest": forest.draw,
    "shares": shares.draw_bars,
    "matrix": shares.draw_matrix,
    "heatmap": heatmap.draw,
    "entropy_map": heads.draw_entropy,
    "logit_map": heads.draw_logits,
    "lag_map": heatmap.draw_lags,
    "lags": lags.draw,
    "rate_curve": lags.draw_rates,
    "tiles": heatmap.draw_tiles,
    "profile": lines.draw_profile,
    "strip": strip.draw,
    "curve": lines.draw_curve,
    "events": lines.draw_events,
    "survival": lines.draw_survival,
    "points": roc.draw_points,
    "roc": roc.draw_curve,
    "theory": theory.draw,
    "agreement": theory.draw_agreement,
    "departures": theory.draw_departures,
}

__all__ = ["CHARTS", "Drawing"]
