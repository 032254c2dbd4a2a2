"""`bench compare`: whether something changed between two results of one suite."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from bench.analysis.compare import RESPONSES, TIME, Verdict
from bench.errors import BenchError, SuiteError, nearest, printable
from bench.report.compare_outline import SIDES, Part, as_json, markdown, outline
from bench.report.compared import Compared, read_compared
from bench.text import integer

NARROW = ("By level", "Cells")  # tables with long names: a terminal has no room for both sides
Form = Literal["table", "json", "markdown"]
FAIL_ON = (str(Verdict.WORSE), str(Verdict.INCONCLUSIVE))
_STYLES = {"▼ worse": "red", "▲ better": "green", "~ inconclusive": "yellow", "= same": "dim"}


class ComparisonFailed(BenchError):  # noqa: N818 (named for what happened, as the exit code is)
    """The results were compared, and the verdict is one that `--fail-on` names."""

    exit_code = 3


def show_comparison(  # noqa: PLR0913 (one parameter an option)
    base: Path,
    candidate: Path,
    margins: Sequence[str],
    fail_on: Sequence[str],
    form: Form = "table",
    out: Path | None = None,
) -> Compared:
    """Compare two results folders, print what differs, and write it as a page to `out`; return the comparison.

    Raises:
        SuiteError: a margin or `fail_on` is not one.
        NotComparable: the folders cannot be compared.
        ResultsError: a folder cannot be read.
    """
    for verdict in fail_on:
        if verdict not in FAIL_ON:
            raise SuiteError(f'--fail-on "{verdict}" is not one of its verdicts. {nearest(verdict, FAIL_ON)}')
    compared = read_compared(base, candidate, read_margins(margins))
    if form == "json":
        print(json.dumps(as_json(compared), indent=2, allow_nan=False))
    elif form == "markdown":
        title = f"{compared.manifest.suite}: {compared.comparison.verdict}"
        print(markdown(outline(compared), title, f"bench compare {base} {candidate} --markdown"))
    else:
        _print(compared)
    if out is not None:
        from bench.report import write_comparison

        print(write_comparison(compared, out), file=sys.stdout if form == "table" else sys.stderr)
    return compared


def refuse(compared: Compared, fail_on: Sequence[str]) -> None:
    """End with the exit code that `--fail-on` asks for.

    Raises:
        ComparisonFailed: the verdict is among `fail_on`.
    """
    told = compared.comparison
    if str(told.verdict) in fail_on:
        raise ComparisonFailed(
            f"{compared.names[1]} against {compared.names[0]}: {told.verdict}. {' '.join(told.why[:2])}"
        )


def read_margins(written: Sequence[str]) -> Mapping[str, float]:
    """Margins as `--margin` has them: `accuracy=0.01`.

    Raises:
        SuiteError: one is not a number's name and a number above 0.
    """
    known = [each.name for each in (*RESPONSES, TIME)]
    found = {}
    for each in written:
        name, _, value = each.partition("=")
        if name not in known:
            raise SuiteError(f'--margin "{each}": "{name}" is not compared. {nearest(name, known)}')
        try:
            margin = float(value)
        except ValueError:
            margin = math.nan
        if not (math.isfinite(margin) and margin > 0.0):
            raise SuiteError(f'--margin "{each}": write {name}= and a number above 0, such as {name}=0.05.')
        found[name] = margin
    return found


def _print(compared: Compared) -> None:
    console = Console(highlight=False)
    console.print(_safe(f"{compared.manifest.suite}: {compared.names[0]} against {compared.names[1]}"), style="bold")
    for part in outline(compared):
        console.print()
        console.print(_safe(part.title), style="bold")
        for line in part.lines:
            console.print(_safe(line), soft_wrap=True)
        if part.rows:
            console.print(_table(part))
        if part.left:
            console.print(f"{integer(part.left)} more rows: --json has all, --out a page of them.")


def _table(part: Part) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    shown = [at for at, head in enumerate(part.heads) if part.title not in NARROW or head not in SIDES]
    part = replace(part, heads=tuple(part.heads[at] for at in shown),
                   rows=tuple(tuple(row[at] for at in shown) for row in part.rows))  # fmt: skip
    for at, head in enumerate(part.heads):
        table.add_column(_safe(head), overflow="fold", justify="left" if at in (0, len(part.heads) - 1) else "right")
    for row in part.rows:
        cells = [_safe(cell) for cell in row]
        style = _STYLES.get(row[-1])
        table.add_row(*cells[:-1], f"[{style}]{cells[-1]}[/]" if style else cells[-1])
    return table


def _safe(text: str) -> str:
    """Text of a suite for a terminal: nothing unseen, no markup."""
    return printable(text).replace("[", "\\[")
