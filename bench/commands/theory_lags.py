"""`bench theory --cell`: what a recurrent layer keeps of a gradient, by lag, as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.commands.theory import MOST_ROWS, picture_path
from bench.text import number, plural
from bench.theory import LagProfile, Law, RecurrentCell, horizon, lag_profile, recurrent_cell_of, singular_bound
from bench.theory.lags import LEFT, LONGEST

NAMED = ("cell", "activation", "recurrent_initializer", "gate_bias")
FIRST = (0, 1, 2, 3, 4, 6, 8)  # lags that are always shown


@dataclass(frozen=True)
class LagQuestion:
    """What the command line asked of a recurrent layer.

    Attributes:
        levels: factor to label, as `recurrent_cell_of` takes them.
        lag, input_variance, constant, length: as `lag_profile` takes them.
        out: the picture's file; None: a name of its own under reports/theory/.
    """

    levels: Mapping[str, object]
    lag: int = 40
    input_variance: float = 0.01
    constant: bool = False
    length: int | None = None
    out: Path | None = None


def show_lags(question: LagQuestion, console: Console | None = None) -> None:
    """Print what is predicted of a recurrent layer's gradient by lag, and write and name its picture.

    Raises:
        SuiteError: a level that does not exist, or that does not go with the cell.
        BenchError: what no law covers: not predicted, and why.
    """
    from bench.commands.theory_charts import draw_lags

    console = console or Console()
    cell = recurrent_cell_of(question.levels, question.length)
    found = _profile(cell, question, question.lag)
    most = max(question.lag, question.length or LONGEST)
    end = horizon(found) or horizon(_profile(cell, question, most))
    named = ", ".join(str(question.levels[name]) for name in NAMED if question.levels.get(name))
    kind = "constant input" if question.constant else "input"
    heading = f"{named}, width {cell.width}, {kind} variance {number(question.input_variance)}"
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(found))
    for line in (
        _caption(found),
        *_rates(cell, found, question.input_variance),
        _horizon(end, most),
        f"Holds for {found.holds}.",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    path = picture_path(question.out, ("lags", *(str(question.levels.get(name) or "") for name in NAMED)))
    draw_lags(found, heading, end, path)
    print(path)


def _profile(cell: RecurrentCell, question: LagQuestion, lag: int) -> LagProfile:
    return lag_profile(cell, lag, question.input_variance, constant=question.constant, length=question.length)


def _table(found: LagProfile) -> Table:
    columns = {"gradient": found.state}
    if found.hidden is not None and found.past_hidden is not None:
        columns = {"c": found.state, "c, without h": found.past_hidden, "h": found.hidden}
    table = Table(box=None, pad_edge=False)
    for name in ("lag", *columns, "left"):
        table.add_column(name, justify="right", no_wrap=True)
    last = len(found.state) - 1
    spread = np.linspace(0, last, MOST_ROWS - len(FIRST)).round().astype(int)
    for lag in sorted({*(lag for lag in FIRST if lag <= last), *spread.tolist()}):
        shown = (f"{values[lag] + 0.0:.3f}" for values in columns.values())
        table.add_row(str(lag), *shown, number(float(10.0 ** found.state[lag])))
    return table


def _caption(found: LagProfile) -> str:
    if found.hidden is None:
        return "Gradient: log10 of the norm of the loss's derivative by the state, over that at lag 0."
    return (
        "log10 of the norm of the loss's derivative over that at lag 0: by c with the way through h of the same step; "
        "by c without that way; by h, where the loss reads h."
    )


def _rates(cell: RecurrentCell, found: LagProfile, variance: float) -> list[str]:
    """What the law says beside the table."""
    per_step = f"{found.rate:+.4f} decades a step".replace("-", "−")
    if found.law is Law.GATES:
        low, high = cell.memory
        over = f"{number(low)} steps" if low == high else f"{number(low)} to {number(high)} steps, unit by unit"
        last = "no one rate at large lags" if np.isnan(found.rate) else f"at large lags {per_step}"
        return [f"The gate alone forgets over {over}; with the recurrent kernel {last}."]
    if found.law is Law.ARCSINE:
        return ["Units pass all or nothing (arcsine law): a power law of the lag, no rate per step."]
    name = "spectral radius" if found.law is Law.RADIUS else "root of chi"
    return [
        f"Inputs of variance {number(variance)}: q = {number(found.q, 4)}, chi = {found.chi:.4f}; {name} "
        f"{found.chi**0.5:.4f}, {per_step}.",
        _bound(cell),
    ]


def _bound(cell: RecurrentCell) -> str:
    bound = singular_bound(cell)
    said = f"Largest singular value {number(bound.largest)}, steepest slope {number(bound.steepest)}: "
    if bound.vanishes:
        return f"{said}their product is under 1, which is sufficient for vanishing (Pascanu et al. 2013)."
    return (
        f"{said}their product is not under 1, which is necessary for exploding and not sufficient (Pascanu et al. "
        "2013): it decides nothing."
    )


def _horizon(end: int | None, most: int) -> str:
    share = f"{LEFT:.0%}".replace("%", " %")
    if end is None:
        return f"Horizon: none; more than {share} is left at every lag to {most:,}."
    return f"Horizon: {plural(end, 'step')}, the smallest lag at which less than {share} of the gradient is left."
