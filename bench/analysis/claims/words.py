"""Claims in plain words: the rule that decides each, and of a judged one its effect, counts and best levels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import inf

from bench.analysis.claims.judged import Counts, Judged, JudgedPart, Verdict
from bench.analysis.claims.units import AGAINST, OF
from bench.quantities import HIDDEN, WITH_LAYERS, Quantity, Slice
from bench.schema import LOSS_UNIT, TABLES
from bench.suite.claims import Cells, Claim, Part, Reduction
from bench.text import exactly, listed, number, of, plural, region, spoken

_TAKEN = {"min": "smallest", "max": "largest"}  # the others are their own words
_BEST = {
    "accuracy": "by final training accuracy, then loss",
    "loss": "by final training loss",
    "lowest": "where the number is lowest",
    "highest": "where the number is highest",
}
_LOST = {
    "unknown": "a lost run may have any number",
    "measured": "a lost run counts with what was measured before",
    "excluded": "lost runs are left out and counted",
    "chance": "a lost run counts as accuracy at chance",
}
_STEPS = {
    "start": "at the first recorded step",
    "end": "at the last recorded step",
    "change": "from the first to the last recorded step",
    "mean": "averaged over the recorded steps",
    "min": "at its lowest over the recorded steps",
    "max": "at its highest over the recorded steps",
}
_HEADS = {"mean": "mean over heads", "min": "its lowest over heads", "max": "its highest over heads"}
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


def rule_in_words(claim: Claim) -> str:
    """The rule that decides a claim, in a sentence, or one for each part."""
    if len(claim.parts) == 1:
        return part_in_words(claim.parts[0])
    how = "All of these must hold" if claim.needs == "all" else "One of these must hold"
    return " ".join([f"{how}.", *(f"{part.name}: {part_in_words(part)}" for part in claim.parts)])


def part_in_words(part: Part) -> str:
    """One part's rule in a sentence."""
    subject = _subject(part)
    shared = {} if part.against is None else {k: v for k, v in part.of.items() if part.against.get(k) == v}
    if part.against is None:
        compared = f"for {cells_in_words(part.of)}"
    else:
        of, against = sides_in_words(part)
        compared = f"for {of} {'over' if part.compare == 'ratio' else 'less'} that for {against}"
        compared += f", where {cells_in_words(shared)}" if shared else ""
    over = "in every replicate" if part.statistic == "each" else f"by its {part.statistic} over replicates"
    said = [f"The {subject} {compared}, {over}, {_region(part)}"]
    if part.statistic != "each":
        said[0] += f" with its whole {100 * part.level:g} % interval"
    if part.best:
        said.append(f"each network at its best {' and '.join(part.best)} ({_BEST[part.best_by]})")
    if not part.number.known_at_start:
        said.append(_LOST[part.lost] if isinstance(part.lost, str) else f"a lost run counts as {number(part.lost)}")
    return "; ".join(said) + "."


def _subject(part: Part) -> str:
    """The number and what the reductions make of it, without an article."""
    said = number_in_words(part.number)
    if part.ln:
        said = f"ln of the {said}"
    for place, reduction in enumerate(part.reduce):
        if part.number.at_least is not None and not place and reduction.take in ("largest", "smallest"):
            said = f"{reduction.take} {_axis(reduction)} at which a run ends with {_accuracy(part.number)}"
        else:
            said = f"{_reduction(reduction)} of the {said}"
    return said


def _accuracy(each: Quantity) -> str:
    return f"a {each.split} accuracy of {exactly(each.at_least or 0.0)} or more"


def number_in_words(each: Quantity) -> str:
    """What is measured of a run, without its article."""
    if each.name:
        return each.name
    if each.at_least is not None:
        return f"share of runs that end with {_accuracy(each)}"
    name = " over ".join(column for column, _ in each.of)
    name += f" ({each.split})" if each.split else ""
    name = _in_place(_in_time(name, each.slice), each)
    name = name if each.transform == "none" else f"{each.transform}({name})"
    name = _along_time(name, each.slice)
    layers = _layers(each)
    if not each.counts_steps:
        step = f"at step {each.step}" if isinstance(each.step, int) else _STEPS[each.step]
        return f"{layers}{name} {step}"
    low, high = each.below, float(each.above or 0.0)
    limit = f"is {number(low)} or less" if low is not None else f"is {number(high)} or more"
    smooth = f", averaged over {each.smooth} records," if each.smooth > 1 else ""
    return f"first step at which {layers}{name}{smooth} {limit}"


def _in_time(name: str, part: Slice) -> str:
    """The column at its time step, over that at another."""
    if isinstance(part.lag, tuple):
        return name
    over = "" if part.over_lag is None else f" over that {_at_lag(part.over_lag)}"
    return f"{name}{'' if part.lag is None else f' {_at_lag(part.lag)}'}{over}"


def _in_place(name: str, each: Quantity) -> str:
    """The column of its head, or at its position, over that at another."""
    part = each.slice
    if each.table == "attention":
        head = f"head {part.head}" if isinstance(part.head, int) else _HEADS[part.head]
        return f"{name} ({head})"
    over = f" over that {_at_place(part.over_place)}" if part.over_place else ""
    return f"{name}{f' {_at_place(part.place)}' if part.place else ''}{over}"


def _at_place(place: tuple[int, int] | str) -> str:
    """A row and a column are counted from 0, or from the end."""
    if isinstance(place, tuple):
        return f"at row {place[0]}, column {place[1]}"
    return {"corner": "at the corners", "edge": "at the edges", "center": "at the center"}[place]


def _along_time(name: str, part: Slice) -> str:
    """What is made of a transformed column's time steps."""
    if isinstance(part.lag, tuple):
        name = f"slope of {name} against lags {part.lag[0]} to {part.lag[1]}"
    if part.horizon is not None:
        name = f"smallest lag with less than {100 * part.horizon:g} % of {name} at lag 0"
    apart = part.direction or part.group.replace("_", " ")
    return f"{name} ({apart})" if apart else name


def _at_lag(lag: int | str) -> str:
    return f"at lag {lag}" if isinstance(lag, int) else f"at the {lag} time step"


def _layers(each: Quantity) -> str:
    if each.table not in WITH_LAYERS:
        return ""
    unit = {"attention": "sub-layer", "positions": "layer"}.get(each.table, "hidden layer")
    if isinstance(each.layers, int):
        return f"{unit.removeprefix('hidden ')} {each.layers}'s "
    if isinstance(each.layers, str):
        return "head's " if each.layers == "head" else f"{each.layers} {unit}'s "
    ends = f"{unit.removeprefix('hidden ')}s {{}} to {{}}"
    where = f"{unit}s" if each.layers == HIDDEN else ends.format(*each.layers)
    against = " against ln(1 + layer)" if each.take == "slope" and each.on == "ln_layer" else ""
    return f"{_taken(each.take)} over {where}{against} of "


def _axis(reduction: Reduction) -> str:
    plain = all(len(cells) == 1 and len(levels) == 1 for _, cells in reduction.rows for levels in cells.values())
    if plain and len(reduction.factors) == 1 and all(_at_its_level(*row) for row in enumerate(reduction.rows)):
        return f"ln {reduction.factors[0]}" if reduction.log else reduction.factors[0]
    points = "; ".join(f"{number(x)}: {cells_in_words(cells)}" for x, cells in reduction.rows)
    return f"{len(reduction.rows)} points ({points})"


def _at_its_level(place: int, row: tuple[float, Cells]) -> bool:
    """Whether a point stands where its level does: a number at itself, a word at its place."""
    x, cells = row
    level = next(iter(cells.values()))[0]
    return x == (place if isinstance(level, str) else level)


def _reduction(reduction: Reduction) -> str:
    against = "against" if reduction.take in ("slope", "rank_correlation") else "over"
    return f"{_taken(reduction.take)} {against} {_axis(reduction)}"


def _taken(take: str) -> str:
    return _TAKEN.get(take, take.replace("_", " "))


def cells_in_words(cells: Cells) -> str:
    """The cells that are named: `depth 4 or 16, activation relu`."""
    if not cells:
        return "all runs"
    return ", ".join(f"{factor} {' or '.join(map(_level, levels))}" for factor, levels in cells.items())


def _level(level: object) -> str:
    return exactly(level) if isinstance(level, float) else str(level)


def sides_in_words(part: Part) -> tuple[str, ...]:
    """The side that a part is about, then the other, if any: each by what tells it from the other."""
    if part.against is None:
        return (cells_in_words(part.of),)
    shared = {name for name, levels in part.of.items() if part.against.get(name) == levels}
    sides = ({k: v for k, v in side.items() if k not in shared} for side in (part.of, part.against))
    return tuple(map(cells_in_words, sides))


def _region(part: Part) -> str:
    if part.least is not None and part.most is not None:
        return f"lies between {number(part.least)} and {number(part.most)}"
    if part.least is not None:
        return f"is at least {number(part.least)}"
    return f"is at most {number(part.most)}"


def unit_of(part: Part) -> str:
    """The unit of the effect: the number's, unless it is a ratio, a logarithm or a reduction that changes it."""
    takes = [reduction.take for reduction in part.reduce]
    if part.compare == "ratio" or "rank_correlation" in takes:
        return "1"
    unit = _unit(part.number)
    if part.ln:
        unit = "ln"
    for reduction in part.reduce:
        axis = " and ".join(reduction.factors)
        if reduction.take in ("largest", "smallest"):
            unit = axis
        if reduction.take == "slope":
            unit = f"{unit} per {'ln ' if reduction.log else ''}{axis}"
    return unit


def _unit(each: Quantity) -> str:
    if each.name:
        return each.unit
    if each.at_least is not None:
        return "share of runs"
    if each.counts_steps:
        return "updates"
    if each.counts_lags:
        return "time steps"
    divided = len(each.of) > 1 or each.slice.over_lag is not None
    unit = "1" if divided else TABLES[each.table].columns[each.of[0][0]].unit or "1"
    unit = {"none": unit, "ln": "ln", "log10": "decades", "square": "1" if unit == "1" else f"{unit}²"}[each.transform]
    if each.table in WITH_LAYERS and isinstance(each.layers, tuple) and each.take == "slope":
        unit += " per ln layer" if each.on == "ln_layer" else " per layer"
    return f"{unit} per time step" if isinstance(each.slice.lag, tuple) else unit


def verdict_counts(claims: Sequence[Judged]) -> dict[str, int]:
    """How many claims have each verdict, in the order supported, refuted, inconclusive."""
    found = Counter(claim.verdict for claim in claims)
    return {str(verdict): found[verdict] for verdict in Verdict}


def tally(counts: Mapping[str, int]) -> str:
    """`12 claims: 9 supported, 2 refuted, 1 inconclusive`."""
    parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{plural(sum(counts.values()), 'claim')}: {parts}"


def unit_said(unit: str) -> str:
    """What follows a number: ` decades`; "" without a unit, and of a loss, whose unit the numbers' note says."""
    return "" if unit in ("1", LOSS_UNIT) else f" {unit}"


def effect(part: JudgedPart) -> str:
    """`difference −0.31 decades [−0.4, −0.2]`."""
    unit = "" if "share" in part.scale else unit_said(part.unit)
    return f"{_SCALES[part.scale]}{number(part.effect)}{unit} [{number(part.low)}, {number(part.high)}]"


def interval(part: JudgedPart) -> str:
    """What the two numbers in brackets are."""
    return "range over replicates" if part.statistic == "each" else f"{100 * part.level:g} % interval"


def claimed(part: JudgedPart) -> str:
    """`≥ 0.3`, `≤ 0.1`, or `0.1 to 0.4`."""
    return region(-inf if part.least is None else part.least, inf if part.most is None else part.most)


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
