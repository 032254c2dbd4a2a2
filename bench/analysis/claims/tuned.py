"""What trains is judged at its best: each network's best level of the factors that a claim tunes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.quantities import Measurements
from bench.analysis.tables import coded_levels
from bench.quantities import ACCURACY, Quantity, quantity
from bench.schema import FACTOR_COLUMNS, RunStatus
from bench.suite.claims import Part

_TRAIN_ACCURACY = Quantity(table="evaluations", of=ACCURACY, split="train")


def at_best(measured: Measurements, part: Part, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of each network at its best level, and which level that was.

    A level is judged by its runs' median final training accuracy, a lost run having none, or by `best_by`, and among
    equals by their median final training loss, a lost run's being infinite, where evaluations are recorded. Of what is
    still equal the smaller level, or the first word, is chosen. Choosing by the numbers that are then compared flatters
    each side the more, the more levels there are: sides should have the same.

    Args:
        measured: the runs' quantities.
        part: the claim's part; `best` and `best_by` of it are used.
        frame: `run_numbers` with the factors' columns and a `side`, by run_id.

    Returns:
        The frame's rows at the best levels, and per network and tuned factor a row with `side`, `network` (its varied
        levels), `factor`, `level`, `tried` (levels of it) and `on_edge` (a number that is the smallest or largest).
    """
    names = list(part.best)
    context = [name for name in varied(frame) if name not in names]
    scored = frame.assign(**_scores(measured, part, frame)).reset_index()
    keys = ["side", *context]
    medians = scored.groupby([*keys, *names], sort=False, observed=True)[["_first", "_second"]].median().reset_index()
    ranks = {f"_rank_{name}": coded_levels(medians[name])[0] for name in names}
    ordered = medians.assign(**ranks).sort_values(["_first", "_second", *ranks], kind="stable", na_position="last")
    chosen = ordered.drop_duplicates(keys)[[*keys, *names]]
    kept = scored.merge(chosen, on=[*keys, *names])["run_id"]
    return frame[frame.index.isin(kept)], _told(medians, chosen, context, names)


def varied(frame: pd.DataFrame) -> list[str]:
    """The factors with more than one level in a frame."""
    return [name for name in FACTOR_COLUMNS if name in frame.columns and frame[name].nunique() > 1]


def _scores(measured: Measurements, part: Part, frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Two numbers per run, the lower the better."""
    lost = (measured.run_column("status") != RunStatus.COMPLETED).reindex(frame.index)
    loss = measured.of(quantity("final_train_loss")).reindex(frame.index)
    loss = loss.fillna(np.inf).mask(lost, np.inf)
    if part.best_by in ("lowest", "highest"):
        sign = 1.0 if part.best_by == "lowest" else -1.0
        # What is not known exactly counts as the worst that it may be; where all are censored, the loss tells.
        worst = frame["high"] if part.best_by == "lowest" else frame["low"]
        return {"_first": sign * worst, "_second": loss}
    if part.best_by == "loss":
        return {"_first": loss, "_second": pd.Series(0.0, index=frame.index)}
    accuracy = measured.of(_TRAIN_ACCURACY).reindex(frame.index)
    return {"_first": -accuracy.fillna(0.0).mask(lost, 0.0), "_second": loss}


def _told(medians: pd.DataFrame, chosen: pd.DataFrame, context: list[str], names: list[str]) -> pd.DataFrame:
    keys = ["side", *context]
    rows = []
    for _, network in chosen.iterrows():
        own = medians[np.logical_and.reduce([medians[key] == network[key] for key in keys])]
        for name in names:
            tried = own[name].nunique()
            number = pd.api.types.is_numeric_dtype(own[name].dtype)
            edge = number and (tried < 2 or network[name] in (own[name].min(), own[name].max()))
            named = ", ".join(f"{key} {network[key]}" for key in context)
            rows.append((network["side"], named, name, network[name], tried, bool(edge)))
    return pd.DataFrame(rows, columns=["side", "network", "factor", "level", "tried", "on_edge"])
