"""The stream of a transformer at the start, sub-layer by sub-layer: its gradient, and how alike its tokens are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.inside_theory import at_sublayers
from bench.analysis.quantities import log_ratio
from bench.analysis.tables import Moment, hidden
from bench.analysis.through_time import drawn_once
from bench.report.axes import ALL
from bench.report.blocks import Figure, Panel, Scale, Sentence, Table
from bench.report.frames import Frames
from bench.report.sections.network_words import at_start, shortest, varying, words_of
from bench.text import integer, number, of, plural, ratio, sentence, signed, spoken

MOST_PANELS, MOST_SERIES, MOST_ROWS = 12, 8, 24
SERIES = "block"
ROOM = 0.05  # of the axis, above and below the lines
LEVEL = 0.3  # decades: a gradient that changes by less keeps its size


@dataclass(frozen=True)
class What:
    """What is looked at of the stream.

    Attributes:
        key: of its figure; `column` of the theory's frame.
        label, drawn: of the axis, and of the figure.
        of_ten: whether its numbers are decades.
    """

    key: str
    column: str
    label: str
    drawn: str
    of_ten: bool


GRADIENT = What(
    "stream-gradient", "gradient", "gradient over last's",
    "Gradient for the stream that leaves each sub-layer, before the first update.", True,
)  # fmt: skip
TOKENS = What(
    "stream-tokens", "token_cosine", "cosine of two tokens",
    "Mean cosine of two tokens of a sample in the stream that leaves each sub-layer, before the first update.", False,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Transformers that are alike before the first update.

    Attributes:
        levels: their levels by factor; `name` the same in words.
        line: at, the sub-layer, median, lower, upper and predicted.
        networks: one run a replicate.
        reason: why theory says nothing of them; empty where it does.
    """

    levels: Mapping[str, str]
    name: str
    line: pd.DataFrame
    networks: int
    reason: str

    @property
    def first(self) -> float:
        """The median at the first sub-layer."""
        return float(self.line["median"].iloc[0])

    @property
    def last(self) -> float:
        """The median at the last."""
        return float(self.line["median"].iloc[-1])


class Streams:
    """One look at the streams of a suite's transformers, kind by kind, the largest change first."""

    def __init__(self, frames: Frames, runs: pd.DataFrame, what: What) -> None:
        self.what = what
        rows = _rows(frames, what)
        ids = set(rows["run_id"])
        known = runs[runs["run_id"].astype(str).isin(ids)]
        self.axes = at_start(varying(frames, known))
        by = [axis.factor for axis in self.axes]
        plain = frames.tables["runs"].set_index("run_id", drop=False)
        self.kinds: list[Kind] = []
        for _, own in known.groupby(by, observed=True, sort=True) if by else [((), known)]:
            if own.empty:
                continue
            once = drawn_once(own, by)["run_id"].astype(str).tolist()
            grouped = rows[rows["run_id"].isin(once)].groupby("at")["value"]
            line = grouped.agg(median="median", lower="min", upper="max").reset_index()
            told = at_sublayers({str(k): v for k, v in plain.loc[once[0]].to_dict().items()})
            reason = told if isinstance(told, str) else ""
            predicted = pd.Series(dtype=float) if isinstance(told, str) else told.set_index("layer_index")[what.column]
            line = line.assign(predicted=line["at"].map(predicted).astype(float))
            levels = {axis.factor: str(own[axis.factor].iloc[0]) for axis in self.axes}
            name = words_of(levels, self.axes) if self.axes else "all networks"
            self.kinds.append(Kind(levels, name, line, len(once), reason))
        self.kinds.sort(key=lambda each: -abs(each.first) if what.of_ten else -each.last)

    @property
    def told(self) -> int:
        """Of how many kinds theory says something."""
        return sum(bool(each.line["predicted"].notna().any()) for each in self.kinds)

    def sentence(self) -> Sentence | None:
        """The largest and the smallest change, or the most and the least alike tokens."""
        if not self.kinds:
            return None
        most, least = self.kinds[0], self.kinds[-1]
        networks = plural(sum(each.networks for each in self.kinds), "network")
        if self.what.of_ten:
            basis = (
                f"medians over one run a replicate of the gradient for the stream, before the first update; {networks}"
            )
            head = f"The gradient at the first sub-layer is {_times(most.first)} that at the last"
            other = f"{_times(least.first)} with {least.name}"
        else:
            basis = f"medians over one run a replicate of the mean cosine, before the first update; {networks}"
            head = f"Behind the last sub-layer two tokens of a sample have a cosine of {number(most.last, 2)}"
            if number(most.last, 2) == number(least.last, 2):
                return Sentence(f"{head}, whatever the network.", basis)
            other = f"{number(least.last, 2)} with {least.name}"
        if len(self.kinds) == 1:
            return Sentence(f"{head}.", basis)
        kinds = f"over {plural(len(self.kinds), 'kind')} of network"
        span = " to ".join(_times(each) for each in sorted(each.first for each in self.kinds)[:: len(self.kinds) - 1])
        short = (
            f"The gradient at the first sub-layer is {span} that at the last, {kinds}."
            if self.what.of_ten
            else f"{head} at most, {number(least.last, 2)} at least, {kinds}."
        )
        return Sentence(shortest((f"{head} with {most.name}, {other}.", short)), basis)

    def figure(self) -> Figure | None:
        """A line for each kind of block, a panel for each kind else alike."""
        if not self.kinds:
            return None
        colour = next((axis for axis in self.axes if axis.factor == SERIES), None)
        others = [axis for axis in self.axes if axis is not colour]
        panels: dict[str, list[pd.DataFrame]] = {}
        for each in self.kinds:
            title = words_of(each.levels, others) if others else ""
            panels.setdefault(title, []).append(each.line.assign(series=each.levels[SERIES] if colour else ALL))
        ranked = sorted(panels.items(), key=lambda each: -len(each[1]))
        shown, left = ranked[:MOST_PANELS], len(ranked) - MOST_PANELS
        drawn = pd.concat([line for _, lines in shown for line in lines])
        finite = drawn[["median", "lower", "upper"]].to_numpy(float)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
        spare = max(ROOM * (high - low), 0.1 if self.what.of_ten else 0.02)
        levels = tuple(level for level in (colour.levels if colour else (ALL,)) if (drawn["series"] == level).any())
        dots = f" Dots: theory, for {of(self.told, len(self.kinds), 'kind')}." if self.told else ""
        return Figure(
            self.what.key, "beside" if self.what.of_ten else "beside_plain", self._title(),
            Scale(
                "sub-layer (0: input side)", self.what.label, series=levels[:MOST_SERIES],
                x_limits=(0.0, float(drawn["at"].max())), y_limits=(low - spare, high + spare),
            ),
            tuple(Panel(title, pd.concat(lines, ignore_index=True)) for title, lines in shown), 3,
            spoken(SERIES) if len(levels) > 1 else "",
            (f"{plural(left, 'more kind')}: see the table.",) if left > 0 else (),
            subtitle=f"{self.what.drawn} Line and band: median and range.{dots}",
            source="From the table gradient_norms and bench.theory. Method: docs/theory.md, Transformers."
            if self.what.of_ten
            else "From the table activations and bench.theory. Method: docs/theory.md, Transformers.",
        )  # fmt: skip

    def _title(self) -> str:
        if self.what.of_ten:
            kept = sum(abs(each.first) <= LEVEL for each in self.kinds)
            kinds = of(kept, len(self.kinds), "kind")
            return f"The stream's gradient keeps its size within a factor of two in {kinds} of network"
        grown = sum(each.last > each.first for each in self.kinds)
        return f"Tokens grow more alike on their way in {of(grown, len(self.kinds), 'kind')} of network"

    def table(self) -> Table | None:
        """Every kind: first and last sub-layer as measured and as predicted, or why not."""
        if not self.kinds:
            return None
        say = signed if self.what.of_ten else (lambda value: number(value, 2))
        lines = []
        for each in self.kinds[:MOST_ROWS]:
            ends = each.line.iloc[[0, -1]]
            told = [say(v) if np.isfinite(v) else "–" for v in ends["predicted"]]
            got = [say(v) for v in ends["median"]]
            lines.append((
                each.name, got[0], told[0], got[1], told[1], integer(each.networks),
                sentence(each.reason) if each.reason else "–",
            ))  # fmt: skip
        left = len(self.kinds) - len(lines)
        more = f"{plural(left, 'more kind')}: see the tables. " if left > 0 else ""
        unit = "log10 of the gradient over the last sub-layer's" if self.what.of_ten else self.what.label
        heads = (
            "network",
            "first sub-layer",
            "predicted",
            "last sub-layer",
            "predicted",
            "networks",
            "why not predicted",
        )
        return Table(
            f"By kind of network: {unit}", heads, tuple(lines), (1, 2, 3, 4, 5),
            f"{more}Medians over one run a replicate, "
            "before the first update.",
        )  # fmt: skip


def _rows(frames: Frames, what: What) -> pd.DataFrame:
    """run_id, at (the sub-layer) and value at each run's first look, if that is before the first update."""
    if what.of_ten:
        rows = hidden(frames.tables, Moment.START)
        rows = rows[rows["step"] == 0].sort_values(["run_id", "layer_index"], kind="stable")
        norm = rows["preactivation_grad_norm"].astype(np.float64)
        last = norm.groupby(rows["run_id"], sort=False, observed=True).transform("last")
        value = pd.Series(log_ratio(norm.to_numpy(), last.to_numpy()), rows.index)
    else:
        rows = frames.tables["activations"]
        if what.column not in rows:
            return pd.DataFrame(columns=["run_id", "at", "value"])
        rows = rows[rows["step"] == 0].sort_values(["run_id", "layer_index"], kind="stable")
        value = rows[what.column].astype(np.float64)
    found = pd.DataFrame({"run_id": rows["run_id"].astype(str), "at": rows["layer_index"], "value": value})
    return found[found["value"].notna()]


def _times(decades: float) -> str:
    """`× 2.5`, `÷ 100`; `none of` where nothing is left."""
    if np.isneginf(decades):
        return "none of"
    return ratio(10.0 ** max(min(decades, 300.0), -300.0))
