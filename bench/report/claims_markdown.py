"""Judged claims as one Markdown document: a table of all of them, then each with what it says and rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis import Tables
from bench.analysis.claims import Judged, Verdict
from bench.analysis.claims.words import MARKS, tally, verdict_counts
from bench.report.sections.claims import ClaimCard, ClaimPart, claim_cards
from bench.results import Manifest
from bench.text import duration, integer, span

STACK = ("python", "tensorflow", "keras", "numpy")
NAMES = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras"}


@dataclass(frozen=True)
class JudgedResults:
    """What a results folder holds, and what became of its claims."""

    manifest: Manifest
    tables: Tables
    claims: Sequence[Judged]


def claims_markdown(results: Sequence[JudgedResults]) -> str:
    """The document, in the order given; the same results make the same text.

    The free text of suites is escaped, so that it can neither end a cell of a table nor mark up anything.
    """
    judged = [claim for each in results for claim in each.claims]
    by_suite = [claim_cards(each.claims).cards for each in results]
    cards = [card for suite in by_suite for card in suite]
    links = anchors([card.id for card in cards])
    dry = any(each.manifest.dry for each in results)
    return "\n".join([
        "# Claims put to the test",
        "",
        *(["**Some of these numbers were made by formula, not by training.**", ""] if dry else []),
        f"{tally(verdict_counts(judged))}. A claim is supported where the effect's whole interval lies in the claimed "
        "region, refuted where it lies wholly outside, else inconclusive. "
        "Made by `bench claims RESULTS... --markdown`.",
        "",
        *_table(("claim", "statement", "source", "verdict", "effect", "claimed", "counts"),
                [_summary(card, link) for card, link in zip(cards, links, strict=True)]),
        "",
        "## What they were measured with",
        "",
        *_table(("suite", "runs", "steps", "time", *(NAMES.get(name, name) for name in STACK), "machine"),
                [_measured(each) for each in results]),
        "",
        "Time: what training took on that machine, summed over the cohorts, with building, tracing and measuring.",
        *(line for each, own in zip(results, by_suite, strict=True) for line in _suite(each, own)),
        "",
    ])  # fmt: skip


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _summary(card: ClaimCard, link: str) -> tuple[str, ...]:
    several = len(card.parts) > 1
    named = [f"{escaped(part.name)}: " if several else "" for part in card.parts]

    def cell(column: str) -> str:
        return "<br>".join(name + escaped(getattr(part, column)) for name, part in zip(named, card.parts, strict=True))

    return (f"[{escaped(card.id)}](#{link})", escaped(card.statement), escaped(card.source),
            f"{card.mark} {card.verdict}", cell("effect"), cell("claimed"), cell("counts"))  # fmt: skip


def _measured(each: JudgedResults) -> tuple[str, ...]:
    """A row of versions and cost."""
    manifest, runs, timings = each.manifest, each.tables["runs"], each.tables["timings"]
    seconds = timings[[name for name in timings if name.endswith("_seconds")]].sum().sum()
    versions = [str(manifest.versions.get(name, "unknown")) for name in STACK]
    machine = manifest.machine
    told = [f"{machine[name]}{unit}" for name, unit in
            (("system", ""), ("processor", ""), ("cores", " cores"), ("memory_gib", " GiB"))
            if machine.get(name) not in (None, "")]  # fmt: skip
    steps = span(int(runs["steps"].min()), int(runs["steps"].max()), " to ")
    cells = (manifest.suite, integer(len(runs)), steps,
             duration(seconds) if seconds else "–", *versions, ", ".join(told) or "unknown")  # fmt: skip
    return tuple(escaped(cell) for cell in cells)


def _suite(each: JudgedResults, cards: Sequence[ClaimCard]) -> list[str]:
    """A suite's question and its claims."""
    lines = ["", f"## Suite {escaped(each.manifest.suite)}", "", escaped(each.manifest.question)]
    for card in cards:
        lines += ["", f"### {escaped(card.id)}", "", *_claim(card)]
    return lines


def _claim(card: ClaimCard) -> list[str]:
    told = [
        ("Verdict", f"{card.mark} {card.verdict}"),
        ("Why", escaped(card.why)),
        *([] if card.table else _numbers(card.parts[0])),
        *([("In the source", escaped(card.paper))] if card.paper else []),
        *([("What differs here", escaped(card.differs))] if card.differs else []),
        *([] if card.table else [("The rule", escaped(card.rule))]),
    ]
    lines = [f"{escaped(card.statement)} ({escaped(card.source)})", ""]
    lines += [f"- **{name}:** {text}" for name, text in told]
    if card.table:
        lines += [f"- **The rule:** {card.table.note}", *(_part(part) for part in card.parts)]
    return lines


def _part(part: ClaimPart) -> str:
    """One of several parts."""
    told = "; ".join(text for _, text in _numbers(part))
    supported = part.verdict == f"{MARKS[Verdict.SUPPORTED]} {Verdict.SUPPORTED}"
    why = "" if supported else f" {escaped(part.why)}"
    return f"  - **{escaped(part.name)}**, {part.verdict}: {told}.{why} {escaped(part.rule)}"


def _numbers(part: ClaimPart) -> list[tuple[str, str]]:
    found = [("Effect", f"{part.effect}; claimed {part.claimed}{f'; {part.p_value}' if part.p_value else ''}"),
             ("Counts", part.counts)]  # fmt: skip
    found += [("Chosen for each side", text) for text in part.best]
    return [(name, escaped(text)) for name, text in found]


def escaped(text: str) -> str:
    """Text on one line with nothing that Markdown or its tables would read as markup.

    What stands alone is left as it is: `p < 0.001`, `[0.1, 0.2]`, the `_` within a word.
    """
    line = " ".join(text.split())
    line = re.sub(r"([\\`*|~$]|<(?=[\w/!?])|&(?=[\w#])|\](?=[(\[:])|\[(?=\^)|(?<!\w)_|_(?!\w))", r"\\\1", line)
    line = re.sub(r"^([#>+=-])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", line)


def anchors(ids: Sequence[str]) -> list[str]:
    """What GitHub makes of headings for links to them: the second of one name ends in `-1`."""
    plain = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in ids]
    earlier = [plain[:place].count(each) for place, each in enumerate(plain)]
    return [f"{each}-{times}" if times else each for each, times in zip(plain, earlier, strict=True)]
