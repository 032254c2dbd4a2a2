"""Why runs did not learn: the causes that `analysis.causes` found, each with its count, place and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis import evidence
from bench.analysis.causes import Cause
from bench.analysis.parts import commonest_place
from bench.report.blocks import Place, Sentence, Table
from bench.report.frames import Frames
from bench.text import integer, listed, number, of

ID = "causes"
MOST_SENTENCES = 5  # the table has all causes
MOST_COMMON = 2  # named together as the commonest
RULE = "docs/rules.md, Causes: the first rule that applies"
IN_TIME = (Cause.VANISHING_IN_TIME, Cause.EXPLODING_IN_TIME)
ARTICLES = {
    Cause.RATE_LARGE: "a", Cause.RATE_SMALL: "a", Cause.VANISHING: "a", Cause.EXPLODING: "an", Cause.MAJORITY: "a",
}  # fmt: skip


@dataclass(frozen=True)
class Why:
    """A cause: in how many of the `lost` runs, at which step (median) and layer (commonest), and one run's evidence.

    `layer` is `layer 3`, of a transformer `block 1's attention`.
    """

    cause: str
    runs: int
    lost: int
    step: str
    layer: str
    example: str  # of the run in the middle, by the number that the rule asks for
    run_id: str

    @property
    def where(self) -> str:
        """`at step 0 in layer 3`; "" where neither is known."""
        said = [f"at step {self.step}"] if self.step else []
        return " ".join([*said, *([f"in {self.layer}"] if self.layer else [])])

    @property
    def sentence(self) -> str:
        """What it is the cause of."""
        runs = f"{of(self.runs, self.lost, 'run')} that did not learn"
        if self.cause == Cause.FAILED:
            return f"{runs} failed with an error."
        if self.cause == Cause.UNKNOWN:
            return f"No rule names the cause of {runs}."
        seen = f", seen {self.where}" if self.where else ""
        return f"The cause of {runs} is {with_article(self.cause)}{seen}."


def with_article(cause: str) -> str:
    """`a vanishing gradient`, `dead units`."""
    if cause in IN_TIME:
        return f"a gradient that {cause.removeprefix('gradient ')}"
    return f"{ARTICLES[Cause(cause)]} {cause}" if cause in ARTICLES else cause


def causes_found(frames: Frames, only: pd.Series | None = None) -> list[Why]:
    """Every cause of the runs that did not learn, diverged or failed, the commonest first.

    Args:
        frames: the runs.
        only: ids of runs; all, if None.
    """
    causes = frames.causes if only is None else frames.causes[frames.causes["run_id"].isin(only)]
    if causes.empty:
        return []
    signs = frames.signs.all().drop_duplicates("run_id").set_index("run_id")
    found = []
    for cause, own in causes.groupby("cause", sort=False):
        ranked = own.sort_values("value", kind="stable", na_position="last")
        run_id = str(ranked["run_id"].iloc[(int(own["value"].notna().sum()) or len(own)) // 2 - (len(own) > 1)])
        known = run_id in signs.index and cause not in (Cause.FAILED, Cause.UNKNOWN)
        steps = own["step"].dropna()
        step = number(float(steps.astype(float).median())) if len(steps) else ""
        layer = commonest_place(own)
        example = evidence(signs.loc[run_id]) if known else ""
        found.append(Why(str(cause), len(own), len(causes), step, layer, example, run_id))
    return sorted(found, key=lambda each: (each.cause == Cause.UNKNOWN, -each.runs))


def commonest(found: Sequence[Why]) -> str:
    """`The commonest cause is dead units (3 of 5).`, or of several as common ones all; "" where none is known."""
    known = [each for each in found if each.cause != Cause.UNKNOWN]
    most = [each for each in known if each.runs == known[0].runs]
    if not most or len(most) > MOST_COMMON:
        return ""
    named = listed([with_article(each.cause) for each in most])
    counted = of(most[0].runs, most[0].lost)
    return f"The commonest cause{'s are' if most[1:] else ' is'} {named} ({counted}{' each' if most[1:] else ''})."


def why_sentences(found: Sequence[Why]) -> tuple[Sentence, ...]:
    """A sentence for each of the commonest causes."""
    said = []
    for each in found[:MOST_SENTENCES]:
        example = f"{RULE}; for example run {each.run_id}, {each.example}" if each.example else RULE
        said.append(Sentence(each.sentence, example, f"#{ID}"))
    rest = found[MOST_SENTENCES:]
    if rest:
        runs = sum(each.runs for each in rest)
        text = f"The other {integer(runs)} have {listed([with_article(each.cause) for each in rest], 2)} as causes."
        said.append(Sentence(text, RULE, f"#{ID}"))
    return tuple(said)


def why_table(found: Sequence[Why]) -> Place | None:
    """All causes with their numbers, where a link leads."""
    return Place(ID, (cause_table(found, "Why runs did not learn"),)) if found else None


def cause_table(found: Sequence[Why], caption: str) -> Table:
    """Causes with their numbers and one run's evidence for each."""
    rows = tuple(
        (
            each.cause,
            of(each.runs, each.lost),
            each.step or "–",
            each.layer.removeprefix("layer ") or "–",
            each.example or "–",
            each.run_id,
        )
        for each in found
    )
    columns = ("cause", "runs", "median step", "commonest layer", "for example", "in run")
    note = "The first rule that applies to a run is its cause: docs/rules.md, Causes."
    return Table(caption, columns, rows, (1, 2, 3), note)
