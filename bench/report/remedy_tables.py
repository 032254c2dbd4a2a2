"""The remedies as tables and as sentences, one for each pathology."""

from __future__ import annotations

import pandas as pd

from bench.analysis import Symptom
from bench.report.view import Grid, Sentence
from bench.report.wording import integer, of, plural, spoken

MOST = 12
_COLUMNS = (
    "change of one level to",
    "rescued",
    "share",
    "95 % interval",
    "gain in accuracy",
    "diverged",
    "time per step",
)
BASIS = (
    "rescued: of runs in pathological cells (most replicates show the symptom at initialization, most did not learn), "
    "those whose partner learned; a partner differs in one factor alone and has the same replicate; Wilson interval"
)


def remedy_grids(found: pd.DataFrame) -> tuple[Grid, ...]:
    """The best remedies for each pathology."""
    grids = []
    for pathology, rows in found.groupby("pathology", sort=False):
        shown = rows.head(MOST)
        left = len(rows) - len(shown)
        note = f"{plural(left, 'more change')} rescued no larger share." if left else ""
        grids.append(
            Grid(_name(pathology).capitalize(), _COLUMNS, tuple(_row(r) for r in shown.to_dict("records")),
                 (1, 2, 3, 4, 5, 6), note)
        )  # fmt: skip
    return tuple(grids)


def remedy_sentences(found: pd.DataFrame) -> tuple[Sentence, ...]:
    """For each pathology what rescued most, or that nothing did."""
    sentences = []
    for pathology, rows in found.groupby("pathology", sort=False):
        best = rows.iloc[0].to_dict()
        if not best["rescued"]:
            text = f"Runs with {_name(pathology)}: no single change of level in this suite rescued any."
        else:
            cost = f", at {best['cost']:.2g} times the time per step" if pd.notna(best["cost"]) else ""
            ties = int((rows["rate"] == best["rate"]).sum()) - 1
            others = f"; {plural(ties, 'other change')} did as well" if ties else ""
            text = (
                f"Runs with {_name(pathology)} that did not learn were rescued most often by "
                f"{spoken(best['factor'])} {best['level']}: {of(best['rescued'], best['pairs'])} "
                f"({_interval(best)}){cost}{others}."
            )
        sentences.append(Sentence(text, ""))
    return (*sentences[:-1], Sentence(sentences[-1].text, BASIS)) if sentences else ()


def _row(row: dict[str, object]) -> tuple[str, ...]:
    gain = f"{_signed(row['gain'])} ({_signed(row['gain_lower'])} to {_signed(row['gain_upper'])})"
    return (
        f"{spoken(str(row['factor']))} {row['level']}",
        f"{integer(int(str(row['rescued'])))}/{integer(int(str(row['pairs'])))}",
        f"{100 * float(str(row['rate'])):.0f} %",
        _interval(row),
        gain,
        integer(int(str(row["diverged"]))),
        f"×{row['cost']:.2f}" if pd.notna(row["cost"]) else "–",
    )


def _name(pathology: object) -> str:
    return "collapsed activations" if pathology == Symptom.COLLAPSED else f"{pathology} gradients"


def _signed(value: object) -> str:
    rounded = round(float(str(value)), 2) + 0.0  # no minus before a zero
    return f"{rounded:+.2f}".replace("-", "−")


def _interval(row: dict[str, object]) -> str:
    return f"{100 * float(str(row['rate_lower'])):.0f}–{100 * float(str(row['rate_upper'])):.0f} %"
