"""The trainability map: a tile for each pair of levels, as dark as the share of its runs that learned."""

from __future__ import annotations

import seaborn as sns

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, Drawing, canvas, finish

MAP = "viridis"


def draw(panel: Panel, scale: Scale) -> Drawing:
    """Each tile carries `learned/runs`; a pair that was not run stays empty."""
    rows = panel.rows.assign(share=panel.rows["learned"] / panel.rows["runs"])
    rows["label"] = rows["learned"].astype(str) + "/" + rows["runs"].astype(str)
    order = {"index": list(scale.y_levels), "columns": list(scale.x_levels)}
    share, label = (rows.pivot(index="y", columns="x", values=v).reindex(**order) for v in ("share", "label"))
    longest = max(len(level) for level in scale.y_levels)
    crowded = sum(len(level) for level in scale.x_levels) > 26
    width = 0.6 + 0.07 * longest + 0.62 * len(scale.x_levels)
    height = 0.75 + 0.36 * len(scale.y_levels) + (0.5 if crowded else 0.0)
    with canvas(max(2.2, width), max(1.4, height)) as (figure, axes):
        sns.heatmap(
            share.astype(float), vmin=0.0, vmax=1.0, cmap=MAP, cbar=False, linewidths=1.5, linecolor="none",
            annot=label.fillna("").to_numpy(), fmt="", annot_kws={"fontsize": 9}, ax=axes,
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label)
        axes.tick_params(axis="y", rotation=0, length=0)
        axes.tick_params(axis="x", rotation=30 if crowded else 0, length=0)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right" if crowded else "center")
        for spine in axes.spines.values():
            spine.set_edgecolor(GRID)
        cells = [f"{row.y} {row.x}: {row.label}" for row in rows.sort_values(["y", "x"]).itertuples()]
        return finish(figure, f"{panel.title or 'All runs'}. Runs that learned, of runs: {', '.join(cells)}.")
