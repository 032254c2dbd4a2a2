"""A rule in plain words, so that every verdict has a stated rule."""

from __future__ import annotations

from bench.quantities import HIDDEN, LAYERED, Quantity
from bench.schema import TABLES
from bench.suite.claims import Cells, Claim, Part, Reduction
from bench.text import exactly, number

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
    name = name if each.transform == "none" else f"{each.transform}({name})"
    layers = _layers(each)
    if not each.counts_steps:
        step = f"at step {each.step}" if isinstance(each.step, int) else _STEPS[each.step]
        return f"{layers}{name} {step}"
    low, high = each.below, float(each.above or 0.0)
    limit = f"is {number(low)} or less" if low is not None else f"is {number(high)} or more"
    smooth = f", averaged over {each.smooth} records," if each.smooth > 1 else ""
    return f"first step at which {layers}{name}{smooth} {limit}"


def _layers(each: Quantity) -> str:
    if each.table not in LAYERED:
        return ""
    if isinstance(each.layers, int):
        return f"layer {each.layers}'s "
    if isinstance(each.layers, str):
        return "head's " if each.layers == "head" else f"{each.layers} hidden layer's "
    where = "hidden layers" if each.layers == HIDDEN else f"layers {each.layers[0]} to {each.layers[1]}"
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
    unit = "1" if len(each.of) > 1 else TABLES[each.table].columns[each.of[0][0]].unit or "1"
    unit = {"none": unit, "ln": "ln", "log10": "decades", "square": "1" if unit == "1" else f"{unit}²"}[each.transform]
    if each.table in LAYERED and isinstance(each.layers, tuple) and each.take == "slope":
        unit += " per ln layer" if each.on == "ln_layer" else " per layer"
    return unit
