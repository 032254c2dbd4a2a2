"""What the factors do, computed once for sentences and tables, and the figures of it: bars, a matrix, forest plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.analysis import FullPart, interactions, largest_full_part, main_effects, variance_shares
from bench.analysis.effects import REST
from bench.quantities import quantity
from bench.report.axes import Axis
from bench.report.blocks import Figure, Panel, Scale
from bench.report.charts.forest import POOLED
from bench.text import integer, listed, of, plural, signed, spoken

ACCURACY = "final_validation_accuracy"
SHARED = (ACCURACY, "decay_rate_start")  # the responses whose variance is shared out
NAMES = {ACCURACY: "final validation accuracy", "decay_rate_start": "the gradient's fall per layer at the start"}
MOST_BARS, MOST_LEVELS, MOST_SERIES, MOST_NAMED = 6, 24, 8, 3
ALPHA = 0.05
RULES = "docs/rules.md"


@dataclass(frozen=True)
class Effects:
    """What the factors do: shares of variance by response, then levels and pairs of factors on the final accuracy.

    Attributes:
        axes: the factors that vary, by name.
        part: the runs whose variance is shared out.
        shares, pairs: of these runs.
        levels: of all runs, and `within` of those with each level of the factor `split`.
    """

    axes: Mapping[str, Axis]
    part: FullPart | None
    shares: Mapping[str, pd.DataFrame]
    pairs: pd.DataFrame
    levels: pd.DataFrame
    within: Mapping[str, pd.DataFrame]
    split: Axis | None

    def words(self, factor: str, level: str) -> str:
        """A level as what is chosen."""
        return self.axes[factor].change(level)


def effects_of(judged: pd.DataFrame, axes: Sequence[Axis], split: Axis | None = None) -> Effects:
    """Compute them, of what `judge` returned with words in the suite's order and numbers as such."""
    accuracy, varied = quantity(ACCURACY), [axis.factor for axis in axes]
    part = largest_full_part(judged, varied)
    runs, factors = (part.runs, part.varied) if part else (judged, varied)
    within: dict[str, pd.DataFrame] = {}
    if split is not None and not split.numeric and len(split.levels) <= MOST_SERIES and len(axes) > 1:
        others = [factor for factor in varied if factor != split.factor]
        for level in split.levels:
            own = judged[judged[split.factor].astype(str) == level]
            within[level] = main_effects(own, others, accuracy)
    return Effects(
        axes={axis.factor: axis for axis in axes},
        part=part,
        shares={name: variance_shares(runs, factors, quantity(name)) for name in SHARED},
        pairs=interactions(runs, factors, accuracy),
        levels=main_effects(judged, varied, accuracy),
        within=within,
        split=split if within else None,
    )


def effect_figures(effects: Effects) -> tuple[Figure, ...]:
    """Shares of variance as bars and a matrix, and what each level changes as a forest plot; those that there are."""
    return tuple(each for each in (_share_figure(effects), _level_figure(effects)) if each is not None)


def part_words(effects: Effects) -> str:
    """Which runs' variance is shared out, and how many of them were lost."""
    part, shares = effects.part, effects.shares[ACCURACY]
    if part is None:
        return ""
    lost = f", {integer(int(shares['lost'].iloc[0]))} lost and counted as chance" if len(shares) else ""
    if part.whole:
        return f"All {plural(part.of, 'run')} are a full grid{lost}."
    varied = []
    for name in part.varied:
        kept, known = len(part.levels[name]), len(effects.axes[name].levels)
        varied.append(spoken(name) if kept == known else f"{spoken(name)} ({of(kept, known)} levels)")
    held = [effects.axes[name].words(levels[0]) for name, levels in part.levels.items() if len(levels) == 1]
    text = f"Largest full part of the grid: {of(len(part.runs), part.of, 'run')}{lost}. It crosses {listed(varied)}"
    ties = f" {plural(part.ties, 'other full part')} {'holds' if part.ties == 1 else 'hold'} as many runs."
    return f"{text}{f', with {listed(held)}' if held else ''}.{ties if part.ties else ''}"


def against(effects: Effects, row: Mapping[str, Any]) -> str:
    """What a level is compared with, where it is more than nothing."""
    return "" if row["reference"] == "none" else f" against {effects.words(row['factor'], row['reference'])}"


def strongest(effects: Effects) -> pd.DataFrame:
    """Of each factor the level that changes the accuracy most and can be told from 0; the largest change first."""
    told = telling(effects)
    return told.reindex(told["difference"].abs().sort_values(ascending=False).index).drop_duplicates("factor")


def named_terms(shares: pd.DataFrame) -> pd.DataFrame:
    """The terms whose share can be told from 0."""
    return shares[(shares["factors"] != REST) & (shares["lower"] > 0.0)] if len(shares) else shares


def telling(effects: Effects) -> pd.DataFrame:
    """The levels whose mean change of the accuracy can be told from 0."""
    return effects.levels[effects.levels["p_holm"] < ALPHA]


def share_words(row: object) -> str:
    """`31 % (25–37)`: a share with its interval."""
    share, lower, upper = (100.0 * getattr(row, name) for name in ("share", "lower", "upper"))
    return f"{share:.0f} % ({lower:.0f}–{upper:.0f})"


def _share_figure(effects: Effects) -> Figure | None:
    known = {name: shares for name, shares in effects.shares.items() if len(shares)}
    if not known:
        return None
    panels = [
        Panel(NAMES[name][:1].upper() + NAMES[name][1:], _bars(shares), "shares", _share_scale(shares))
        for name, shares in known.items()
    ]
    if len(effects.pairs):
        panels.append(_matrix(effects))
    named = named_terms(known[ACCURACY]) if ACCURACY in known else pd.DataFrame()
    title = "No factor's share of the final accuracy's variance can be told from 0"
    if len(named):
        top = named.iloc[0]
        tied = named[named["upper"] >= top["lower"]].head(MOST_NAMED)
        verb = "explains" if len(tied) == 1 else "explain"
        names = listed([spoken(name) for name in tied["factors"]])
        title = f"{names[:1].upper()}{names[1:]} {verb} the largest part of the final accuracy's variance"
    subtitle = f"Shares of variance, with 95 % intervals over replicates. {part_words(effects)}"
    source = f"From the tables runs, evaluations and gradient_norms. Rule: shares of variance, {RULES}."
    scale = Scale("share of variance", "")
    return Figure("shares", "shares", title, scale, tuple(panels), 3, subtitle=subtitle, source=source)


def _share_scale(shares: pd.DataFrame) -> Scale:
    """Up to the end of the bars and of those intervals that say something."""
    shown = shares.head(MOST_BARS)
    ends = [*shown["share"], *(row.upper for row in shown.itertuples() if row.upper - row.lower < 1.0)]
    return Scale("share of variance", "", x_limits=(0.0, min(1.0, 1.05 * max(0.1, *ends))))


def _bars(shares: pd.DataFrame) -> pd.DataFrame:
    last = len(shares) - 1
    kept = shares[[place == last or place < MOST_BARS for place in range(last + 1)]]
    said = [share_words(row) for row in kept.itertuples()]
    return kept.assign(factors=[spoken(name) for name in kept["factors"]], said=said)


def _matrix(effects: Effects) -> Panel:
    shares = effects.shares[ACCURACY]
    alone = shares[~shares["factors"].str.contains(" × ") & (shares["factors"] != REST)]
    one = pd.DataFrame({"one": alone["factors"], "other": alone["factors"], "share": alone["share"]})
    rows = pd.concat([one, effects.pairs[["one", "other", "share"]]], ignore_index=True)
    names = tuple(spoken(name) for name in (effects.part.varied if effects.part else ()))
    rows = rows.assign(
        one=rows["one"].map(spoken), other=rows["other"].map(spoken),
        said=[f"{100 * share:.0f} %" if share >= 0.005 else "<1 %" for share in rows["share"]],
    )  # fmt: skip
    scale = Scale("share of variance alone (framed) and together", "", x_levels=names)
    return Panel("Final accuracy: alone and two by two", rows, "matrix", scale)


def _level_figure(effects: Effects) -> Figure | None:
    shown = effects.levels.head(MOST_LEVELS)
    if shown["difference"].isna().all():
        return None
    ends = shown[["difference", "lower", "upper"]].abs().max().max()
    limit = min(1.0, 0.25 * (int(ends / 0.25) + 1))
    series = effects.split.levels if effects.split else ()
    scale = Scale("change of final accuracy", "mean, pairs", x_limits=(-limit, limit), series=tuple(series))
    panels = []
    for factor, rows in shown.groupby("factor", sort=False):
        axis = effects.axes[str(factor)]
        title = f"{spoken(axis.factor)}, against {axis.words(str(rows['reference'].iloc[0]))}"
        own = Panel(title[:1].upper() + title[1:], _forest_rows(effects, rows))
        alone = effects.split is None or factor == effects.split.factor
        panels.append(replace(own, scale=replace(scale, series=())) if alone else own)
    best = strongest(effects)
    title = "The data cannot tell whether any level changes the final accuracy"
    if len(best):
        row = best.iloc[0].to_dict()
        name = effects.axes[row["factor"]].words(row["level"])
        changed = f"by {signed(row['difference'])} on average"
        title = f"The final accuracy changes most with {name}{against(effects, row)}: {changed}"
    legend = spoken(effects.split.factor) if effects.split else ""
    marks = f" Small marks: one {spoken(effects.split.factor)} alone." if effects.split else ""
    return Figure(
        "level-effects", "forest", title, scale, tuple(panels), 3, legend,
        subtitle=f"Mean difference of paired runs, with its 95 % interval; a lost run counts as chance.{marks}",
        source=f"From the tables runs and evaluations. Rule: an effect on accuracy, {RULES}.",
    )  # fmt: skip


def _forest_rows(effects: Effects, rows: pd.DataFrame) -> pd.DataFrame:
    made = []
    for row in rows.to_dict("records"):
        name = effects.words(row["factor"], row["level"])
        lost = f", {integer(row['lost'])} lost" if row["lost"] else ""
        numbers = f"{signed(row['difference'])} · {plural(row['pairs'], 'pair')}{lost}" if row["pairs"] else "no pairs"
        made.append((name, POOLED, row["difference"], row["lower"], row["upper"], numbers))
        for level, found in effects.within.items():
            same = found[(found["factor"] == row["factor"]) & (found["level"] == row["level"])] if len(found) else found
            if len(same) and row["factor"] != (effects.split.factor if effects.split else ""):
                made.append((name, level, float(same["difference"].iloc[0]), float("nan"), float("nan"), ""))
    return pd.DataFrame(made, columns=["row", "series", "value", "lower", "upper", "numbers"])
