"""A judged claim in words: its effect, what is claimed, its counts, and the levels that were best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from bench.analysis.claims.judged import Counts, Judged, JudgedPart, Verdict
from bench.analysis.claims.units import AGAINST, OF
from bench.text import listed, number, of, plural, spoken

MARKS: Mapping[Verdict, str] = {Verdict.SUPPORTED: "✓", Verdict.REFUTED: "✗", Verdict.INCONCLUSIVE: "?"}
MOST_NAMED = 4  # networks of which a sentence names the best level
_COUNTED = {
    "lost": "lost",
    "excluded": "of them left out",
    "censored": "censored",
    "unmeasured": "without a number",
    "unpaired": "without a partner",
}
_SCALES = {"value": "", "difference": "difference ", "ratio": "ratio ", "share": "share of runs ",
           "difference of shares": "difference of shares "}  # fmt: skip


def verdict_counts(claims: Sequence[Judged]) -> dict[str, int]:
    """How many claims have each verdict, in the order supported, refuted, inconclusive."""
    found = Counter(claim.verdict for claim in claims)
    return {str(verdict): found[verdict] for verdict in Verdict}


def tally(counts: Mapping[str, int]) -> str:
    """`12 claims: 9 supported, 2 refuted, 1 inconclusive`."""
    parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{plural(sum(counts.values()), 'claim')}: {parts}"


def effect(part: JudgedPart) -> str:
    """`difference −0.31 decades [−0.4, −0.2]`."""
    unit = "" if part.unit == "1" or "share" in part.scale else f" {part.unit}"
    return f"{_SCALES[part.scale]}{number(part.effect)}{unit} [{number(part.low)}, {number(part.high)}]"


def interval(part: JudgedPart) -> str:
    """What the two numbers in brackets are."""
    return "range over replicates" if part.statistic == "each" else f"{100 * part.level:g} % interval"


def claimed(part: JudgedPart) -> str:
    """`≥ 0.3`, `≤ 0.1`, or `0.1 to 0.4`."""
    if part.least is not None and part.most is not None:
        return f"{number(part.least)} to {number(part.most)}"
    return f"≥ {number(part.least)}" if part.least is not None else f"≤ {number(part.most)}"


def counted(counts: Counts) -> str:
    """`10 runs, 5 replicates, 2 lost`, and what else became of runs."""
    said = [plural(counts.judged, "run"), plural(counts.replicates, "replicate")]
    told = {name: getattr(counts, name) for name in _COUNTED}
    said += [f"{count} {_COUNTED[name]}" for name, count in told.items() if count or name == "lost"]
    if counts.missing:
        said.append(f"{of(counts.missing, counts.planned)} planned missing")
    return ", ".join(said)


def best_levels(part: JudgedPart) -> tuple[str, ...]:
    """Per tuned factor: of how many levels each network has its best, and how many lie on the edge of those tried."""
    said = []
    for factor, rows in part.best.groupby("factor", sort=False):
        edge = int(rows["on_edge"].astype(bool).sum())
        text = f"{spoken(str(factor))}: the best of {rows['tried'].max()} tried"
        text += f" for each of {plural(len(rows), 'network')}" if len(rows) > 1 else ""
        if len(rows) <= MOST_NAMED:
            text += f" ({listed([_named(part, row) for row in rows.to_dict('records')])})"
        beyond = f"; {of(edge, len(rows))} on the edge of those tried, so that a better one may lie beyond"
        said.append(text + (beyond if edge else ""))
    return tuple(said)


def _named(part: JudgedPart, row: Mapping[Hashable, object]) -> str:
    """A network's best level, with its side where there are two, and what tells it from others of its side."""
    sides = dict(zip((OF, AGAINST), part.sides, strict=False)) if len(part.sides) > 1 else {}
    side = readable(sides.get(str(row["side"]), ""))
    told = ", ".join(filter(None, [side, beside(side, str(row["network"]))]))
    return readable(f"{told} {row['level']}".strip())


def beside(side: str, network: str) -> str:
    """What the levels of a network say that the name of its side does not."""
    return readable(network).replace(side, "").replace(", , ", ", ").strip(", ")


def readable(text: str) -> str:
    """With four digits of a number that has many: 0.3333 for 0.3333333333333333."""
    return re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.4g}", text)
