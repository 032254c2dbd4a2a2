"""Rule sets against each other and against the outcome: sentences, tables and the trade-off of each measure."""

from __future__ import annotations

import pandas as pd

from bench.analysis import agreement, alarms, areas, at_best, detection, equal_rates, sweep
from bench.analysis.agreement import GATE_ALONE, UNGATED, WHOLE
from bench.analysis.recurrent import recurrent
from bench.quantities import QUANTITIES
from bench.report.blocks import Figure, Fold, Lead, Panel, Scale, Section, Sentence, Sentences, Table, Text, blocks_of
from bench.report.frames import Frames
from bench.rules import OWN, WATCHING, Condition, RulesChoice
from bench.text import integer, listed, number, of, percent, plural, share_interval, spoken

RECALL = ("true_positives", "untrained", "recall")  # hits, runs, and their share, as `detection` names them
FALSE_POSITIVES = ("false_positives", "trained", "false_positive_rate")
MOST_CURVES = 8
SPLIT_BY = ("optimizer", "dataset", "normalization")  # what a rule may be right under and wrong without
SOURCE = "Tables gradient_norms, activations, evaluations, divergence_events and runs; rules: docs/rules.md, Alarms."
BASIS = (
    "recall: of runs that did not learn, the share with an alarm; false-positive rate: the same of runs that learned; "
    "Wilson intervals that count cells, as replicates of a cell are alike"
)


def section(frames: Frames) -> Section:
    """Every rule set asked of every run, or of each network at its best learning rate."""
    choice, measured, judged = frames.choice, frames.measured, frames.plain
    raised = alarms(measured, judged, choice)
    asked, view = _asked(judged, frames.varied)
    found = detection(raised, asked)
    titles = {rules.name: rules.title for rules in choice.sets}
    ranked = areas(measured, judged, asked, choice)
    own = next((rules for rules in choice.sets if rules.name == WATCHING), None)
    equal = None if own is None else equal_rates(measured, raised, asked, own)
    intro = (
        "Tools that watch training raise an alarm by rules of their own. Here each set of rules judges every "
        "run, with the thresholds that its authors published. Each alarm is compared with what became of the run. "
    )
    if recurrent(judged).any():
        intro += "None of them asks what gradients do along time. "
    blocks = blocks_of(
        Lead(_lead(found, titles)),
        _points(found, titles, len(asked)),
        _sets(found, titles),
        Text(intro + view),
        Sentences(_sentences(found, equal, titles)),
        _equal(equal, titles),
        *(_by_level(raised, asked, name, titles) for name in SPLIT_BY if name in frames.varied),
        _matrix(agreement(raised), titles, len(raised)),
        _curves(sweep(measured, judged, asked, choice), ranked),
        _measures(ranked),
        Fold("Each rule alone", (_rules(found, choice),)),
    )
    return Section("agreement", "Can a rule tell?", "Rules", blocks, short=_short(found, titles))


def condition_text(condition: Condition) -> str:
    """`signal ratio below −1.5 decades`."""
    unit = QUANTITIES[condition.measure].unit
    said = f"{spoken(condition.measure)} {spoken(condition.comparison)} {number(condition.threshold)}"
    return said if unit == "1" else f"{said} {unit}"


def _asked(judged: pd.DataFrame, varied: list[str]) -> tuple[pd.DataFrame, str]:
    """The runs to ask, and how they were chosen."""
    if "learning_rate" not in varied:
        return judged, f"All {integer(len(judged))} runs are asked, each at the learning rate of the suite."
    best = at_best(judged)
    edge = best[best["on_edge"]]["cell_key"].nunique()
    cells = best["cell_key"].nunique()
    return best, (
        f"Each of {integer(cells)} networks is asked at the best of its learning rates, the one with the lowest median "
        "validation loss over replicates. A run that did not learn there belongs to a network that none of the rates "
        f"tried could train. {of(len(best), len(judged), 'run')} are asked. For {plural(int(edge), 'network')} the "
        "best rate is the smallest or largest tried: a better one may lie beyond."
    )


def _told(found: pd.DataFrame) -> pd.DataFrame:
    """The sets as they speak whose recall and false-positive rate are known, the one that tells best first."""
    whole = found[(found["rule"] == WHOLE) & found["recall"].notna() & found["false_positive_rate"].notna()]
    order = (whole["false_positive_rate"] - whole["recall"]).sort_values(kind="stable").index
    return whole.loc[order]


def _lead(found: pd.DataFrame, titles: dict[str, str]) -> Sentence:
    """Which set tells best: the one with the largest recall less false-positive rate."""
    told = _told(found)
    if told.empty:
        return Sentence("The runs all ended alike, so no rule can show whether it tells good from bad.")
    best = told.iloc[0]
    if not told["true_positives"].any():
        lost = plural(int(best["untrained"]), "run")
        text = f"No rule set tells: none raised an alarm for any of {lost} that did not learn."
        return Sentence(text, "largest recall less false-positive rate", "#detection")
    text = (
        f"{titles[best['set']]} tells best: it raised an alarm for {of(best['true_positives'], best['untrained'])} "
        f"runs that did not learn and {of(best['false_positives'], best['trained'])} that did."
    )
    return Sentence(text, "largest recall less false-positive rate", "#detection")


def _points(found: pd.DataFrame, titles: dict[str, str], asked: int) -> Figure | None:
    """Each set in the plane of recall and false-positive rate; None where runs all ended alike."""
    told = _told(found)
    if told.empty:
        return None
    series = tuple(titles[name] for name in titles if name in set(told["set"]))
    best = told.iloc[0]
    title = (
        f"{titles[best['set']]} has a recall of {percent(best['true_positives'], best['untrained'])} at a "
        f"false-positive rate of {percent(best['false_positives'], best['trained'])}"
    )
    gated = [titles[name] for name in found.loc[found["rule"] == UNGATED, "set"]]
    asks = f" {listed(gated)} also {'ask' if len(gated) > 1 else 'asks'} how training ended." if gated else ""
    return Figure(
        key="detection",
        kind="points",
        title=title,
        scale=Scale("false-positive rate", "recall", series=series),
        panels=(Panel("", told.assign(series=told["set"].map(titles))[["series", *DRAWN]]),),
        subtitle=(
            f"A mark for each rule set, with 95 % intervals, over {integer(asked)} runs; top left is best.{asks}"
        ),
        source=SOURCE,
    )


def _sentences(found: pd.DataFrame, equal: pd.DataFrame | None, titles: dict[str, str]) -> tuple[Sentence, ...]:
    told = _told(found)
    if told.empty:
        return ()
    moments = []
    if OWN in titles:
        moments.append(
            f"{titles[OWN]} looks at the first recorded step alone, before any training; the other sets look at all "
            "recorded steps."
        )
    gates = found[found["rule"] == GATE_ALONE].to_dict("records")
    moments += [
        f"The gate of {titles[r['set']]} alone opens for {of(r['true_positives'], r['untrained'])} runs that did not "
        f"learn and {of(r['false_positives'], r['trained'])} that did."
        for r in gates
    ]
    if gates:
        moments.append("A gate asks how training went: a gated set recognizes a failed run, and does not foretell it.")
    if WATCHING in titles:
        moments.append(
            f"The thresholds of {titles[WATCHING]} were set on the default suite, and are tested on detectors-fresh."
        )
    return (*map(Sentence, moments), *_compared(equal, titles))


def _compared(equal: pd.DataFrame | None, titles: dict[str, str]) -> tuple[Sentence, ...]:
    """Whether our own set loses to a published one at its false-positive rate, each loss with its numbers."""
    others = None if equal is None else _others(equal)
    if others is None or others.empty:
        return ()
    lost = others[others["own_true_positives"] < others["true_positives"]].to_dict("records")
    name = titles[WATCHING]
    if not lost:
        text = f"At each published set's false-positive rate {name} has at least its recall."
        return (Sentence(text, "threshold of the gate moved until there are no more false positives"),)
    return tuple(
        Sentence(
            f"At the false positives of {titles[r['set']]} ({of(r['false_positives'], r['trained'])}) {name} recalls "
            f"fewer runs: {integer(r['own_true_positives'])} against {of(r['true_positives'], r['untrained'])}.",
            "threshold of the gate moved until there are no more false positives",
        )
        for r in lost
    )


def _others(equal: pd.DataFrame) -> pd.DataFrame:
    return equal[~equal["set"].isin([OWN, WATCHING])]


def _equal(equal: pd.DataFrame | None, titles: dict[str, str]) -> Table | None:
    """Recall of our own watching set at each other's false positives."""
    if equal is None or _others(equal).empty:
        return None
    rows = [
        (titles[r["set"]], f"{integer(r['false_positives'])}/{integer(r['trained'])}",
         f"{integer(r['true_positives'])}/{integer(r['untrained'])}",
         f"{integer(r['own_true_positives'])}/{integer(r['untrained'])}",
         f"{integer(r['own_false_positives'])}/{integer(r['trained'])}")
        for r in _others(equal).to_dict("records")
    ]  # fmt: skip
    heads = ("published set", "its false positives", "its recall", "our recall there", "our false positives")
    note = f"{titles[WATCHING]} with its gate moved until it has no more false positives than the published set."
    return Table("At equal false-positive rate", heads, tuple(rows), (1, 2, 3, 4), note)


def _short(found: pd.DataFrame, titles: dict[str, str]) -> tuple[Sentence, ...]:
    """Recall and false-positive rate of each set, the best first; nothing where runs all ended alike."""
    ranked = _told(found).sort_values("recall", ascending=False, kind="stable").to_dict("records")
    said = [
        f"{titles[r['set']]} has a recall of {percent(r['true_positives'], r['untrained'])} and a false-positive rate "
        f"of {percent(r['false_positives'], r['trained'])}."
        for r in ranked
    ]
    return tuple(Sentence(text, link="#agreement") for text in said)


def _rate(row: dict[str, float], hits: str, runs: str, rate: str) -> str:
    return f"{of(int(row[hits]), int(row[runs]))} ({_bounds(row, rate)})"


def _bounds(row: dict[str, float], rate: str) -> str:
    return share_interval(row[f"{rate}_lower"], row[f"{rate}_upper"])


def _cells(row: dict[str, float]) -> tuple[str, ...]:
    cells: list[str] = []
    for hits, runs, rate in (RECALL, FALSE_POSITIVES):
        cells += [f"{integer(int(row[hits]))}/{integer(int(row[runs]))}", percent(int(row[hits]), int(row[runs])),
                  _bounds(row, rate) if row[runs] else "–"]  # fmt: skip
    right = row["true_positives"] + row["trained"] - row["false_positives"]
    return (*cells, percent(int(right), int(row["untrained"] + row["trained"])), integer(int(row["unmeasured"])))


DRAWN = (
    "recall", "recall_lower", "recall_upper", "false_positive_rate", "false_positive_rate_lower",
    "false_positive_rate_upper", "true_positives", "untrained", "false_positives", "trained",
)  # fmt: skip
_HEADS = (
    "true positives", "recall", "95 % interval", "false positives", "false-positive rate", "95 % interval", "right",
    "not judged",
)  # fmt: skip


def _sets(found: pd.DataFrame, titles: dict[str, str]) -> Table:
    whole = found[found["rule"].isin([WHOLE, UNGATED, GATE_ALONE])]
    rows = [(titles[r["set"]] + (f", {r['rule']}" if r["rule"] else ""), *_cells(r)) for r in whole.to_dict("records")]
    return Table("Rule sets against the outcome", ("rule set", *_HEADS), tuple(rows), tuple(range(1, 9)), BASIS)


def _by_level(raised: pd.DataFrame, asked: pd.DataFrame, factor: str, titles: dict[str, str]) -> Table:
    """Recall and false-positive rate of whole sets for each level of a factor, side by side."""
    levels = list(dict.fromkeys(asked[factor].astype(str)))
    found = {level: detection(raised, asked[asked[factor].astype(str) == level]) for level in levels}
    rows = []
    for name, title in titles.items():
        cells: list[str] = []
        for level in levels:
            row = found[level][(found[level]["set"] == name) & (found[level]["rule"] == WHOLE)].iloc[0].to_dict()
            cells += [_short_rate(row, *RECALL), _short_rate(row, *FALSE_POSITIVES)]
        rows.append((title, *cells))
    heads = [f"{level}: {what}" for level in levels for what in ("recall", "false positives")]
    return Table(f"The same by {spoken(factor)}", ("rule set", *heads), tuple(rows), tuple(range(1, len(heads) + 1)))


def _short_rate(row: dict[str, float], hits: str, runs: str, rate: str) -> str:
    if not row[runs]:
        return "–"
    return f"{integer(int(row[hits]))}/{integer(int(row[runs]))} ({_bounds(row, rate)})"


def _rules(found: pd.DataFrame, choice: RulesChoice) -> Table:
    rules = {(s.name, rule.name): (s.title, rule) for s in choice.sets for rule in s.rules}
    rows = []
    for row in found.to_dict("records"):
        if (row["set"], row["rule"]) in rules:
            title, rule = rules[row["set"], row["rule"]]
            said = " and ".join(condition_text(condition) for condition in rule.conditions)
            only = f"; {', '.join(rule.activations)} only" if rule.activations else ""
            rows.append((title, str(rule.symptom), f"{said} ({_when(rule.when)}{only})", *_cells(row)))
    heads = ("rule set", "symptom", "rule", *_HEADS)
    return Table("Each rule against the outcome", heads, tuple(rows), tuple(range(3, 11)))


def _when(when: str) -> str:
    return {"start": "at the start", "end": "at the end", "ever": "at any recorded step"}[when]


def _matrix(pairs: pd.DataFrame, titles: dict[str, str], runs: int) -> Table:
    """Agreement as a table with a row and a column a set."""
    said = {(r["one"], r["other"]): r for r in pairs.to_dict("records")}
    rows = []
    for one in titles:
        cells = []
        for other in titles:
            row = said.get((one, other)) or said.get((other, one))
            kappa = "" if row is None or row["kappa"] != row["kappa"] else f" (κ {row['kappa']:.2f})".replace("-", "−")
            cells.append("–" if row is None else percent(row["agreed"], row["runs"]) + kappa)
        rows.append((titles[one], *cells))
    note = (
        f"Share of {integer(runs)} runs, all of the suite, in which both raise an alarm or both do not; κ: Cohen's "
        "kappa, the agreement beyond chance."
    )
    return Table("How often two rule sets say the same", ("", *titles.values()), tuple(rows), note=note)


def _curve_name(row: dict[str, str]) -> str:
    side = {"below": "low", "above": "high", "beyond": "low or high"}[row["side"]]
    return f"{spoken(row['measure'])}, {side}, {'start' if row['when'] == 'start' else 'training'}"


def _curves(curves: pd.DataFrame, ranked: pd.DataFrame) -> Figure | None:
    """Recall against false-positive rate as the threshold moves, a panel for each of the measures that tell most."""
    if curves.empty:
        return None
    keys = list(zip(curves["measure"], curves["when"], curves["side"], strict=True))
    panels = []
    for best in ranked.head(MOST_CURVES).to_dict("records"):
        wanted = (best["measure"], best["when"], best["side"])
        rows = curves[[key == wanted for key in keys]]
        title = f"{_curve_name(best)}: {best['area']:.2f}"
        panels.append(Panel(title, rows[["threshold", "recall", "false_positive_rate"]].reset_index(drop=True)))
    return Figure(
        key="tradeoff",
        kind="roc",
        title=f"{_curve_name(ranked.iloc[0])} tells most of all single measures".capitalize(),
        scale=Scale("false-positive rate", "recall"),
        panels=tuple(panels),
        columns=4,
        subtitle=(
            f"Each curve moves one measure's threshold from no alarm to every alarm; the number is the area under it, "
            f"the diagonal a coin. The {plural(len(panels), 'measure')} with the largest areas."
        ),
        source=SOURCE,
    )


def _measures(ranked: pd.DataFrame) -> Table | None:
    if ranked.empty:
        return None
    rows = [
        (_curve_name(r), QUANTITIES[r["measure"]].definition, f"{r['area']:.2f}", integer(r["untrained"]),
         integer(r["trained"]))
        for r in ranked.to_dict("records")
    ]  # fmt: skip
    note = (
        "Area under the curve: the chance that a run that did not learn looks worse than one that did; 0.5 is a coin."
    )
    heads = ("measure", "what it is", "area", "did not learn", "learned")
    return Table("How well each measure tells runs apart, whatever the threshold", heads, tuple(rows), (2, 3, 4), note)
