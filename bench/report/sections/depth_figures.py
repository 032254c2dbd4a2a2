"""What depth does: the best training loss by depth for each kind of network, its figure, sentence and table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.depths import TUNED, best_by_depth, degraded
from bench.analysis.recipes import LOSS_MARGIN
from bench.report.axes import ALL
from bench.report.blocks import Figure, Panel, Scale, Sentence, Table
from bench.report.frames import Frames
from bench.report.sections.network_words import shortest, varying, words_of
from bench.text import integer, number, of, plural, spoken

MOST_PANELS, MOST_SERIES, MOST_ROWS = 12, 8, 40
LOWEST = 1e-6
ALIKE = 0.1  # relative: losses that a sentence need not tell apart
SOURCE = "Tables runs and evaluations; rule: docs/rules.md, Depth."
BASIS = (
    "median over replicates of the final loss on the training sample, at the best of the rates tried at each depth; a "
    "lost run counts as infinite"
)


class Depths:
    """What the runs of an architecture say of depth.

    Attributes:
        rows: what `best_by_depth` returned, `falls` what `degraded` made of it.
        axes: those that tell the kinds apart.
        unit: what a depth counts, `layer` or `block`.
    """

    def __init__(self, frames: Frames, runs: pd.DataFrame, unit: str) -> None:
        self.unit = unit
        self.axes = varying(frames, runs, ("depth", *TUNED))
        by = [axis.factor for axis in self.axes]
        self.rows = best_by_depth(runs, by) if runs["depth"].astype(str).nunique() > 1 else pd.DataFrame()
        self.falls = degraded(self.rows, by) if len(self.rows) else pd.DataFrame()
        # Only what still tells kinds apart is said of them.
        self.axes = [axis for axis in self.axes if len(self.rows) and self.rows[axis.factor].astype(str).nunique() > 1]

    @property
    def known(self) -> bool:
        """Whether any kind was trained at two depths."""
        return len(self.falls) > 0

    def sentence(self) -> Sentence:
        """The kind whose loss rises most, and the one whose loss rises least."""
        ranked = self.falls.sort_values("rise", kind="stable")
        best, worst = ranked.iloc[0], ranked.iloc[-1]
        counted = self.rows
        lost = int(counted["diverged"].sum() + counted["failed"].sum())
        rising = int((self.falls["rise"] > LOSS_MARGIN).sum())
        basis = f"{BASIS}; {plural(int(counted['runs'].sum()), 'run')}, {integer(lost)} lost"
        if len(ranked) == 1 or not rising:
            return Sentence(f"{self._span(worst if rising else best)}{_goes(worst if rising else best)}.", basis)
        head = f"{self._span(worst)}{_goes(worst)} with {words_of(worst, self.axes, absent=True)}"
        options = (
            f"{head}, {_other(worst, best)} with {words_of(best, self.axes, absent=True)}.",
            f"{head}.",
            f"{self._span(worst)}{_goes(worst)} at worst, from {_ends(best)} at best.",
        )
        return Sentence(shortest(options), basis)

    def _span(self, fall: pd.Series) -> str:
        return f"From {integer(int(fall['shallow']))} to {plural(int(fall['deep']), self.unit)} "

    def figure(self, key: str, series: str) -> Figure:
        """The best training loss over depth: a line for each level of a factor, a panel for each kind else alike."""
        colour = next((axis for axis in self.axes if axis.factor == series), None)
        others = [axis for axis in self.axes if axis is not colour]
        by = [axis.factor for axis in others]
        grouped = list(self.rows.groupby(by, observed=True, sort=True)) if by else [((), self.rows)]
        grouped.sort(key=lambda each: -(each[1][series].nunique() if colour else 0))
        shown = grouped[:MOST_PANELS]
        panels = []
        for _, own in shown:
            title = words_of(own.iloc[0], others) if others else ""
            names = own[series].astype(str) if colour else ALL
            logs = {name: np.log10(own[name].to_numpy(float).clip(LOWEST)) for name in ("median", "lower", "upper")}
            drawn = own.assign(**logs, series=names, rate=np.log10(own["depth"]), lost=own["diverged"] + own["failed"])
            kept = ["series", "rate", "median", "lower", "upper", "lost", "runs", "learned", "diverged", "failed"]
            panels.append(Panel(title, drawn[kept].reset_index(drop=True)))
        drawn = pd.concat([panel.rows for panel in panels])
        finite = drawn[["median", "upper"]].to_numpy(float)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
        rising = int((self.falls["rise"] > LOSS_MARGIN).sum())
        left = len(grouped) - len(shown)
        levels = tuple(level for level in (colour.levels if colour else (ALL,)) if (drawn["series"] == level).any())
        found = f"The best training loss rises with depth in {of(rising, len(self.falls), 'kind')} of network"
        return Figure(
            key, "rate_curve", found,
            Scale(
                f"depth: {self.unit}s", "best training loss", series=levels[:MOST_SERIES],
                x_limits=(float(drawn["rate"].min()), float(drawn["rate"].max())), y_limits=(low - 0.25, high + 0.5),
            ),
            tuple(panels), 3, spoken(series) if colour and len(levels) > 1 else "",
            (f"{plural(left, 'more kind')}: see the table.",) if left else (),
            subtitle="Line and band: median and range over replicates at the best rate of each depth. Crosses: how "
            "many runs were lost at any rate.",
            source=SOURCE,
        )  # fmt: skip

    def table(self) -> Table:
        """Every kind and depth with its best loss, and how all of its runs ended."""
        lines = []
        for row in self.rows.head(MOST_ROWS).to_dict("records"):
            lines.append((
                words_of(row, self.axes, absent=True) if self.axes else "all networks", integer(int(row["depth"])),
                _loss(row["median"]), f"{_loss(row['lower'])} to {_loss(row['upper'])}", str(row["rate"]),
                number(row["naive"]), of(int(row["learned"]), int(row["runs"])), integer(int(row["diverged"])),
                integer(int(row["failed"])),
            ))  # fmt: skip
        left = len(self.rows) - len(lines)
        more = f"{plural(left, 'more row')}: see the tables. " if left > 0 else ""
        heads = (
            "network", f"{self.unit}s", "best training loss", "range", "at rate", "constant answer", "learned",
            "diverged", "failed",
        )  # fmt: skip
        return Table(
            "The best training loss by depth", heads, tuple(lines), tuple(range(1, 9)),
            f"{more}Loss: median and range over replicates at the best rate. Learned, diverged, failed: of all runs at "
            "that depth, whatever their rate.",
        )  # fmt: skip


def _goes(fall: pd.Series) -> str:
    return f"the best training loss goes from {_ends(fall)}"


def _ends(fall: pd.Series) -> str:
    """`0.05 to 2.3`."""
    return f"{_loss(fall['first'])} to {'no finite one' if np.isinf(fall['last']) else _loss(fall['last'])}"


def _other(worst: pd.Series, best: pd.Series) -> str:
    """`to 0.07` where both start alike, else `from 0.05 to 0.07`."""
    alike = abs(worst["first"] - best["first"]) <= ALIKE * abs(worst["first"])
    return f"to {_loss(best['last'])}" if alike else f"from {_ends(best)}"


def _loss(value: float) -> str:
    return "lost" if np.isinf(value) else number(value)
