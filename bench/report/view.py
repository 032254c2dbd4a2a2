"""The page as plain data: what the template shows, and what `--dump` writes. No markup, no drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from bench.report.explorer import Explorer


@dataclass(frozen=True)
class Sentence:
    """A statement computed from the tables, and how: which table, which rule, which runs.

    `link` leads to what is behind it: a section, or `#where=...`, the runs in the explorer.
    """

    text: str
    basis: str
    link: str = ""


def based(sentences: Sequence[Sentence], basis: str) -> tuple[Sentence, ...]:
    """Sentences with one basis, said once, after the last of them."""
    return (*sentences[:-1], replace(sentences[-1], basis=basis)) if sentences else ()


@dataclass(frozen=True)
class Count:
    """A number that stands on its own, with its name and a remark."""

    name: str
    value: int
    remark: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: its caption, column heads and rows of ready text. `numeric` columns are set flush right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """One small chart: its title and the frame it draws."""

    title: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class Scale:
    """What panels of a group share, so that they can be compared."""

    x_label: str
    y_label: str
    x_levels: tuple[str, ...] = ()  # of a categorical axis
    y_levels: tuple[str, ...] = ()
    x_limits: tuple[float, float] = (0.0, 1.0)
    y_limits: tuple[float, float] = (0.0, 1.0)
    series: tuple[str, ...] = ()  # what the colours stand for, in order


@dataclass(frozen=True)
class ChartGroup:
    """Small multiples of one kind on one scale, in as many columns as fit up to `columns`."""

    key: str
    kind: str
    title: str
    scale: Scale
    panels: tuple[Panel, ...]
    columns: int = 1
    legend_title: str = ""
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definition:
    """A word of the page and what it means here; `value` for a threshold."""

    name: str
    meaning: str
    value: str = ""
    source: str = ""


@dataclass(frozen=True)
class Agreement:
    """The section on rule sets; `view` says which runs it asks."""

    view: str
    short: tuple[Sentence, ...]  # for the answer
    sentences: tuple[Sentence, ...]
    sets: Grid
    parts: tuple[Grid, ...]  # the same by the levels of a factor
    matrix: Grid
    rules: Grid
    tradeoff: ChartGroup | None
    measures: Grid | None


@dataclass(frozen=True)
class ClaimPart:
    """One test of a claim as ready text, and the runs it rests on, by run_id."""

    name: str
    verdict: str
    effect: str  # with its interval
    claimed: str
    counts: str
    p_value: str
    rule: str
    why: str
    best: tuple[str, ...]  # of tuned factors: of how many levels, and how often on the edge of those tried
    runs: pd.DataFrame


@dataclass(frozen=True)
class ClaimCard:
    """A claim of the suite and what became of it; `mark` stands beside the verdict, whatever its colour."""

    id: str
    statement: str
    source: str
    verdict: str
    mark: str
    why: str
    paper: str
    differs: str
    rule: str
    parts: tuple[ClaimPart, ...]
    table: Grid | None  # of the parts, where there are several
    figure: ChartGroup
    numbers: tuple[Grid, ...]  # behind the figure
    best: Grid | None  # the levels chosen for each network


@dataclass(frozen=True)
class Claims:
    """The section on claims: how many came out how, and a card for each; `unread` says why there is none."""

    summary: str
    counts: Mapping[str, int]
    cards: tuple[ClaimCard, ...]
    unread: str = ""


@dataclass(frozen=True)
class TheorySection:
    """The section on mean-field theory: how often it is right, where it is not, and why."""

    short: tuple[Sentence, ...]  # for the answer
    sentences: tuple[Sentence, ...]
    charts: tuple[ChartGroup, ...]
    ranking: Grid
    causes: tuple[Definition, ...]
    unpredicted: Grid | None  # why runs have no prediction, and how many


@dataclass(frozen=True)
class RemedyNote:
    """A kind of remedy as the lesson tells it: what it does, and when it helped in these data."""

    name: str
    does: str
    here: str
    tried: bool  # whether any run had it


@dataclass(frozen=True)
class Lesson:
    """The section for newcomers: ideas in order, the formula between them, the activations, the remedies."""

    paragraphs: tuple[Definition, ...]
    formula: str
    formula_text: str  # what its letters mean, and whose it is
    activations: ChartGroup | None  # none where no activation of the results has a formula
    remedies: tuple[RemedyNote, ...]


@dataclass(frozen=True)
class Page:
    """Everything on the page, in its order."""

    suite: str
    title: str
    question: str
    answer: tuple[Sentence, ...]
    counts: tuple[Count, ...]
    claims: Claims | None  # none where the suite carries none
    grids: tuple[Grid, ...]
    fair: str  # which view the map shows where the learning rate varies
    depths: tuple[Grid, ...]
    effects: tuple[Grid, ...]
    effect_sentences: tuple[Sentence, ...]
    remedies: tuple[Grid, ...]
    trainability: ChartGroup | None
    gradients: tuple[ChartGroup, ...]
    losses: ChartGroup | None
    divergence: ChartGroup | None
    survival: ChartGroup | None
    theory: TheorySection | None  # none where no run has a prediction
    agreement: Agreement
    events: Grid | None
    divergence_text: str
    explorer: Explorer
    lesson: Lesson
    heatmaps: ChartGroup
    words: tuple[Definition, ...]
    thresholds: tuple[Definition, ...]
    responses: tuple[Definition, ...]
    suite_text: str
    environment: tuple[tuple[str, str], ...]
    reproduce: tuple[str, ...]
    remarks: Mapping[str, str] = field(default_factory=dict)

    def chart_groups(self) -> tuple[ChartGroup | None, ...]:
        """Every static chart, in the page's order."""
        claimed = [card.figure for card in self.claims.cards] if self.claims else []
        return (
            *claimed, self.trainability, *self.gradients, self.heatmaps, *(self.theory.charts if self.theory else ()),
            self.losses, self.divergence, self.survival, self.agreement.tradeoff, self.lesson.activations,
        )  # fmt: skip
