"""`bench claims`: what a suite claims, judged by results."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.analysis.claims import Judged, JudgedPart, Verdict, judge_claims
from bench.analysis.claims.words import claimed, counted, effect, interval
from bench.analysis.tables import words_of_python
from bench.errors import BenchError, ResultsError, SuiteError, nearest, printable
from bench.report.claims_markdown import JudgedResults, claims_markdown
from bench.results import read_manifest, read_tables
from bench.suite import Suite, load_suite, parse_suite

Form = Literal["table", "json", "markdown"]
FAIL_ON = ("refuted", "inconclusive")
_STYLES = {Verdict.SUPPORTED: "green", Verdict.REFUTED: "red", Verdict.INCONCLUSIVE: "yellow"}


class ClaimsFailed(BenchError):  # noqa: N818 (named for what happened, as the exit code is)
    """The claims were judged, and some came out as `--fail-on` names."""

    exit_code = 3


@words_of_python()
def show_claims(folders: Sequence[Path], suite: Path | None, fail_on: Sequence[str], form: Form = "table") -> None:
    """Judge the claims of results folders by their own suites, or by the claims of one suite file, and print them.

    `form` is a table for a terminal, JSON, or a Markdown document with everything that a reader needs.

    Raises:
        ResultsError: a folder has no results, or its suite cannot be read.
        SuiteError: a suite is wrong or has no claims, or `fail_on` names something else than a verdict.
        ClaimsFailed: a verdict is among `fail_on`; everything was printed before.
    """
    for verdict in fail_on:
        if verdict not in FAIL_ON:
            raise SuiteError(f'--fail-on "{verdict}" is not a verdict. {nearest(verdict, FAIL_ON)}')
    edited = load_suite(suite) if suite else None
    suites = [(folder, edited or _stored(folder)) for folder in folders]
    tables = [_tables(folder, each) for folder, each in suites]
    judged = [
        (folder, each.name, judge_claims(found, each.claims, each.verdicts.learned))
        for (folder, each), found in zip(suites, tables, strict=True)
    ]
    if form == "json":
        plain = [_plain(folder, name, claim) for folder, name, claims in judged for claim in claims]
        print(json.dumps(plain, indent=2))
    elif form == "markdown":
        manifests = [read_manifest(folder) for folder in folders]
        rows = zip(manifests, tables, judged, strict=True)
        print(claims_markdown([JudgedResults(manifest, found, claims) for manifest, found, (*_, claims) in rows]))
    else:
        for folder, name, claims in judged:
            _print(folder, name, claims)
    failed = [claim for _, _, claims in judged for claim in claims if claim.verdict.replace(" ", "-") in fail_on]
    if failed:
        named = ", ".join(f"{claim.id} ({claim.verdict})" for claim in failed)
        raise ClaimsFailed(f"{len(failed)} of {sum(len(claims) for *_, claims in judged)} claims: {named}.")


def _stored(folder: Path) -> Suite:
    """The suite that results were made of."""
    manifest = read_manifest(folder)
    try:
        return parse_suite(manifest.text, folder / "manifest.json")
    except SuiteError as error:
        raise ResultsError(f"{error} It was made by another version of gradtrial; give its suite by --suite.") from None


def _tables(folder: Path, suite: Suite) -> dict[str, pd.DataFrame]:
    if not suite.claims:
        raise SuiteError(f"{folder}: the suite {suite.name} has no [[claims]]; --suite FILE judges it by another's.")
    return read_tables(folder)


def _print(folder: Path, name: str, claims: Sequence[Judged]) -> None:
    table = Table(title=printable(f"{name}: {folder}"), title_justify="left", expand=False)
    for heading in ("claim", "verdict", "effect", "claimed", "runs"):
        table.add_column(heading, overflow="fold")
    notes = []
    for claim in claims:
        alone = claim.parts[0] if len(claim.parts) == 1 else None
        words = f"{claim.id}\n{claim.statement}"
        table.add_row(_safe(words), _styled(claim.verdict), *(_cells(alone) if alone else ("", "", "")))
        for part in () if alone else claim.parts:
            table.add_row(_safe(f"  {part.name}"), _styled(part.verdict), *_cells(part))
        table.add_section()
        if claim.verdict is not Verdict.SUPPORTED:
            notes.append(f"{claim.id}, {claim.verdict}: {claim.why}")
        notes += [f"{claim.id}: {edge}" for part in claim.parts for edge in part.edges]
    console = Console(highlight=False)
    console.print(table)
    for note in dict.fromkeys(notes):
        console.print(_safe(note), soft_wrap=True)


def _styled(verdict: Verdict) -> str:
    return f"[{_STYLES[verdict]}]{verdict}[/]"


def _cells(part: JudgedPart) -> tuple[str, str, str]:
    """Effect with its interval, the claimed region, and the counts."""
    return _safe(f"{effect(part)}\n{interval(part)}"), claimed(part), counted(part.counts)


def _safe(text: str) -> str:
    """Text of a suite for a terminal: nothing unseen, no markup."""
    return "\n".join(printable(line).replace("[", "\\[") for line in text.split("\n"))


def _plain(folder: Path, suite: str, claim: Judged) -> dict[str, Any]:
    """A claim as JSON holds it: what is not a finite number is null."""
    parts = [
        {
            **{key: str(getattr(part, key)) for key in ("name", "rule", "verdict", "why")},
            **{key: _finite(getattr(part, key)) for key in ("effect", "low", "high", "least", "most", "p_value")},
            "level": part.level,
            "scale": part.scale,
            "unit": part.unit,
            "counts": asdict(part.counts),
            "best_on_edge": list(part.edges),
        }
        for part in claim.parts
    ]
    told = ("id", "statement", "source", "paper", "differs", "rule", "verdict", "why", "needs")
    return {"results": str(folder), "suite": suite, **{key: str(getattr(claim, key)) for key in told}, "parts": parts}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
