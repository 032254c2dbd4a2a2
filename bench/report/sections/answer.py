"""The answer: what to change first, what to avoid, a small map; folded, how runs ended and what each chapter says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis import Outcome
from bench.analysis.avoided import Way, ways_to_fail
from bench.analysis.learned import learned_loss
from bench.analysis.recipes import ACCURACY_MARGIN, RATE, Reached, Recipe, Recipes, Trial
from bench.report.axes import level_label
from bench.report.blocks import Block, Count, Counts, Section, Sentences, Table, blocks_of, numbers
from bench.report.frames import Frames
from bench.report.headline import Words, headline, level_words, treatment
from bench.report.sections.avoid import Avoided, avoided, avoided_table, went_wrong
from bench.report.sections.overall import bigram_words, overall
from bench.report.sections.why import Why, causes_found, commonest, why_sentences, why_table
from bench.schema import RunStatus
from bench.text import integer, listed, number, of, percent, plural, share_interval, spoken

# What comes first; others in the page's order.
ORDER = ("claims", "map", "events", "remedies", "factors", "agreement", "theory")
MOST_DEPTHS, MOST_LEVELS = 3, 6  # of recipes on the first screen; the folded table has all
MOST_COLUMNS, MOST_ROWS = 5, 15  # of the map
MOST_TIES = 2
LEGEND = (
    ("c0", "no change"), ("c1", "one change"), ("c2", "two or more"), ("learned", "only learned"),
    ("none", "did not train"),
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """A recipe: what to change, and what that reaches and costs. `kind` is one of `LEGEND`, "" where nothing is."""

    depth: str
    kind: str
    change: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """The recipes of a level of the asked factor, one a depth."""

    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Mapped:
    """A row of the map: its name, and of each column what is reached, with its kind."""

    name: str
    cells: tuple[tuple[str, str], ...]
    depth: str = ""  # over the first row of a depth


@dataclass(frozen=True)
class First(Block):
    """The first screen, as ready text."""

    headline: str
    scope: str
    trained: tuple[str, ...]  # what trained and learned mean here, and of how many runs
    baseline: str = ""
    interval: str = ""  # of the share that trained
    depths: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    left_out: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    map_title: str = ""
    columns: tuple[str, ...] = ()
    map: tuple[Mapped, ...] = ()
    avoid: tuple[Avoided, ...] = ()
    avoid_title: str = "What to avoid"


def section(frames: Frames, others: Sequence[Section]) -> Section:
    """The first screen, and folded what the page says in short.

    Args:
        frames: the tables and the runs as judged.
        others: the sections below.
    """
    whole, frames = frames, frames.training
    levels = {axis.factor: axis.levels for axis in frames.axes}
    found = frames.recipes
    words = Words(found, levels)
    known = not all(row.reached is Reached.UNMEASURED for row in found.rows)
    ways = ways_to_fail(found.runs, levels, frames.causes) if known else []
    ranked = sorted(others, key=lambda each: ORDER.index(each.id) if each.id in ORDER else len(ORDER))
    short = [sentence for each in ranked for sentence in each.short]
    why = causes_found(frames)
    said = Sentences((*overall(whole.labelled, frames.choice), *why_sentences(why), *short))
    tables = (_recipes_table(found, words), avoided_table(ways, words)) if known else ()
    folded = numbers(said, Counts(_counts(whole)), *tables, why_table(why))
    blocks = (_first(frames, found, words, ways, why) if known else _unknown(frames, found, words), folded)
    return Section("answer", "What to change", "Answer", blocks_of(*blocks))


def _unknown(frames: Frames, found: Recipes, words: Words) -> First:
    return First(headline(found, words), _scope(frames), ())


def _first(frames: Frames, found: Recipes, words: Words, ways: Sequence[Way], why: Sequence[Why]) -> First:
    head, scope = headline(found, words, commonest(why)), _scope(frames)
    avoid = avoided(ways, words)
    gone = () if avoid else went_wrong(why)
    depths = _some(found.depths)
    rows = tuple(
        Row(words.level(found.ask, level) if found.ask else "", tuple(_card(found, words, level, d) for d in depths))
        for level in found.levels[:MOST_LEVELS]
    )
    left = len(found.levels) * len(found.depths) - len(rows) * len(depths)
    columns, shown = _map(found, words)
    which = "Largest loss" if found.of_values else "Lowest accuracy"
    used = {card.kind for row in rows for card in row.cards} | {kind for row in shown for _, kind in row.cells}
    return First(
        head, scope, _trained(found, frames), _baseline(found, words), _interval(found),
        tuple(words.depth(depth) for depth in depths), rows,
        f"{plural(left, 'recipe')} more in the numbers below." if left else "",
        tuple(each for each in LEGEND if each[0] in used),
        f"{which} of a cell's replicates, all else at the baseline", columns, shown, avoid or gone,
        "What to avoid" if avoid else "What went wrong",
    )  # fmt: skip


def _some(depths: Sequence[str]) -> tuple[str, ...]:
    """Of many depths the shallowest, the deepest and those evenly between."""
    if len(depths) <= MOST_DEPTHS:
        return tuple(depths)
    last = len(depths) - 1
    return tuple(depths[round(last * place / (MOST_DEPTHS - 1))] for place in range(MOST_DEPTHS))


def _scope(frames: Frames) -> str:
    """Data, size, rates tried, runs and versions in one line."""
    runs, versions = frames.labelled, frames.manifest.versions
    sizes = []
    for name in ("dataset", "width", "steps"):
        some = listed([level_label(each) for each in runs[name].unique()])
        sizes.append({"dataset": some, "width": f"width {some}"}.get(name, f"{some} step{'' if some == '1' else 's'}"))
    rates = []
    for name, own in runs.groupby(runs["optimizer"].astype(str), sort=False):
        known = frames.plain.loc[own.index, RATE].dropna().unique()
        rates.append(f"{level_words('optimizer', str(name))} {listed([level_label(each) for each in sorted(known)])}")
    status = runs["status"].value_counts()
    lost = [f"{integer(int(status.get(each, 0)))} {each}" for each in (RunStatus.DIVERGED, RunStatus.FAILED)]
    made = [
        f"{name} {versions[key]}" for key, name in (("keras", "Keras"), ("tensorflow", "TensorFlow")) if key in versions
    ]
    parts = [
        ", ".join(sizes),
        f"rates tried: {'; '.join(rates)}",
        f"{plural(len(runs), 'run')}, {', '.join(lost)}",
        ", ".join(made),
    ]
    return " · ".join(part for part in parts if part)


def _trained(found: Recipes, frames: Frames) -> tuple[str, ...]:
    """What *trained* and *learned* mean here, with the share of runs."""
    bar, best = found.bar.get(found.dataset, math.nan), found.best.get(found.dataset, math.nan)
    runs = found.runs
    trained, learned = int(runs["trained"].sum()), int((runs["outcome"] == Outcome.LEARNED).sum())
    share = frames.choice.learned.learned_share
    chance, naive = (float(runs.loc[runs["dataset"].astype(str) == found.dataset, name].median())
                     for name in ("chance_accuracy", "naive_loss"))  # fmt: skip
    if found.of_values:
        near = f"a validation loss of {number(bar)}, {number(bar - best)} above the best cell ({number(best)})"
        line = float(learned_loss(runs[runs["dataset"].astype(str) == found.dataset], frames.choice.learned).median())
        part = number(line / naive if naive else 0.0)
        less = f"from {number(line)} down, {part} of the best constant answer's {number(naive)}"
        bigram = bigram_words(runs[runs["dataset"].astype(str) == found.dataset])
        less = f"from {bigram}, down (the best constant answer has {number(naive)})" if bigram else less
    else:
        near = f"a validation accuracy of {number(bar)}, {ACCURACY_MARGIN:g} below the best cell ({number(best)})"
        learned_from = chance + share * (1.0 - chance)
        way = f"{share:g} of the way from the best constant answer's {number(chance)} to 1"
        less = f"from {number(learned_from)} on, {way}"
    several = " Other data sets have bars of their own." if len(found.bar) > 1 else ""
    did, also = (f"{of(each, len(runs))} did ({percent(each, len(runs))})" for each in (trained, learned))
    if not found.of_values and bar <= chance + share * (1.0 - chance):
        return (f"A run trained if it learned, which is a validation accuracy {less}: {also}.{several}",)
    return (f"A run trained if it learned and reached {near}: {did}.{several}", f"It learned {less}: {also}.")


def _baseline(found: Recipes, words: Words) -> str:
    said = [words.level(name, level) for name, level in found.baseline.items() if level != "none"]
    absent = [treatment(name) for name, level in found.baseline.items() if level == "none"]
    said += [f"no {listed(absent).replace(' and ', ' or ')}"] if absent else []
    name = "Keras's defaults" if words.keras else "the baseline"
    return f"{name} ({', '.join(said)})" if said else name


def _interval(found: Recipes) -> str:
    """How much the commonest count of replicates is worth."""
    best = [row.best for row in found.rows if row.best.trains]
    if not best:
        return ""
    few = min(best, key=lambda each: each.runs)
    return f"{few.trained}/{few.runs} is a share of {share_interval(*few.interval)} (Wilson, 95 %)."


def kind_of(reached: Reached, trial: Trial) -> str:
    """Which colour a cell has: by how many changes it trains, or how far it comes."""
    if reached is Reached.TRAINS:
        return f"c{min(trial.moved, 2)}"
    return "learned" if reached is Reached.LEARNED else "none"


def _card(found: Recipes, words: Words, level: str, depth: str) -> Card:
    row = found.row(level, depth)
    if row is None or row.reached is Reached.UNMEASURED:
        return Card(words.depth(depth), "", "not tried" if row is None else "not measured")
    best, change = row.best, words.changes(row.best)
    counted = f"{best.trained}/{best.runs}"
    facts = [f"{_score(best.median, found)}, worst {_score(best.worst, found)} · {counted}"]
    if row.reached is Reached.LEARNED:
        change = f"only learned: {change}"
    elif row.reached is Reached.NONE:
        facts = [f"best: {change}, {_score(best.median, found)} · {counted}"]
        change = "none tried trains" if len(row.trials) > 1 else "does not train, no change tried"
    if best.changes:
        plain = f"untouched {_score(row.untouched.median, found)}" if row.untouched else "untouched not tried"
        facts.append(f"{plain}{_cost(best)}{_ties(row, found, words)}")
    return Card(words.depth(depth), kind_of(row.reached, best), change, tuple(facts))


def _cost(trial: Trial) -> str:
    return (
        f", time\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{number(trial.cost, 2)}"
        if trial.changes and not math.isnan(trial.cost)
        else ""
    )


def _ties(row: Recipe, found: Recipes, words: Words) -> str:
    if not row.ties:
        return ""
    named = [f"or {words.changes(each)}, {_score(each.median, found)}" for each in row.ties[:MOST_TIES]]
    more = len(row.ties) - MOST_TIES
    return f" · {'; '.join(named)}{f' and {integer(more)} more' if more > 0 else ''}"


def _map(found: Recipes, words: Words) -> tuple[tuple[str, ...], tuple[Mapped, ...]]:
    """The untouched network, then the changes that rescue most rows, single ones first."""
    rows = [row for row in found.rows if row.reached is not Reached.UNMEASURED]
    if len(rows) > MOST_ROWS:
        kept = _some(found.depths)
        rows = [row for row in rows if row.depth in kept and row.level in found.levels[: MOST_ROWS // len(kept)]]
    tried: dict[str, list[Trial]] = {}
    rescued: dict[str, int] = {}
    for row in rows:
        for trial in (each for each in row.trials if each.changes):
            name = words.changes(trial)
            tried.setdefault(name, []).append(trial)
            rescued[name] = rescued.get(name, 0) + (trial.trains and not row.stands)
    ranked = sorted(tried, key=lambda each: (-rescued[each], -len(tried[each])))
    single = [each for each in ranked if tried[each][0].moved == 1][: MOST_COLUMNS - 1]
    more = [each for each in ranked if tried[each][0].moved > 1][: MOST_COLUMNS - 1 - len(single)]
    columns = ["as it stands", *single, *more]
    shown, before = [], None
    for row in sorted(rows, key=lambda each: (found.depths.index(each.depth), found.levels.index(each.level))):
        by = {words.changes(trial): trial for trial in row.trials}
        cells = tuple(
            (_score(by[each].worst, found), kind_of(by[each].reached, by[each])) if each in by else ("", "")
            for each in columns
        )
        name = words.level(found.ask, row.level) if found.ask else "this network"
        shown.append(Mapped(name, cells, words.depth(row.depth) if row.depth != before else ""))
        before = row.depth
    heads = tuple(
        each.replace("normalization", "norm").replace("skip connection", "skip").replace("_", "_\N{ZERO WIDTH SPACE}")
        for each in columns
    )
    return heads, tuple(shown)


def _score(score: float, found: Recipes) -> str:
    return number(score) if found.of_values or math.isnan(score) else f"{score:.2f}"


def _recipes_table(found: Recipes, words: Words) -> Table:
    """Every recipe with all of its numbers."""
    score = "loss" if found.of_values else "accuracy"
    rows = []
    for row in found.rows:
        best, plain = row.best, row.untouched
        rows.append((
            row.depth, words.level(found.ask, row.level) if found.ask else "", _reached(row), words.changes(best),
            of(best.trained, best.runs), share_interval(*best.interval), str(best.learned),
            f"{best.diverged} / {best.failed}", number(best.median), number(best.worst), number(best.cost, 2),
            number(plain.median if plain else None), number(plain.worst if plain else None),
            "; ".join(f"{words.changes(each)}, {number(each.median)}" for each in row.ties),
        ))  # fmt: skip
    columns = (
        "depth", spoken(found.ask) or "network", "reached", "change", "trained", "95 % of that", "learned",
        "diverged / failed", score, "worst", "time × untouched", f"untouched {score}", "untouched worst", "or",
    )  # fmt: skip
    return Table(
        "Recipes: the fewest changes from the baseline with which every replicate trains", columns, tuple(rows),
        (0, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        "Final validation scores, median and worst of replicates; Wilson's interval of the share that trained. "
        "The rule: docs/rules.md, Recipes.",
    )  # fmt: skip


def _reached(row: Recipe) -> str:
    return {Reached.TRAINS: "trains", Reached.LEARNED: "only learned"}.get(row.reached, "none tried trains")


def _counts(frames: Frames) -> tuple[Count, ...]:
    judged = frames.plain
    runs, status = len(judged), judged["status"].value_counts()
    planned = frames.manifest.planned.runs
    counts = {name: int(status.get(name, 0)) for name in ("completed", "diverged", "failed")}
    counts["learned"] = int((judged["outcome"] == Outcome.LEARNED).sum())
    missing = f"{integer(planned - runs)} not run yet" if planned != runs else ""
    return (
        Count("runs planned", planned, missing),
        *(Count(name, count, percent(count, runs)) for name, count in counts.items()),
    )
