"""What to try on a network that shows a symptom: what rescued networks of its kind in reference results.

The networks of the reference are those that were measured, never the reader's own. Nothing is carried over but counts:
of how many runs with this symptom a change of one level made how many learn. Rules: docs/rules.md, What to try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.remedies import SECOND, pairs_of, summary_of
from bench.factors import FACTORS

WIDEST = 0.5  # an interval of a share wider than this tells nothing
MOST = 5
ENOUGH = 0.5  # where no change of one level rescued as large a share, changes of two are looked at
MOST_OF_TWO = 2
_BASELINE = ("architecture", "activation", "depth")


@dataclass(frozen=True)
class Advice:
    """What rescued the reference's networks that are most like the one asked for.

    Attributes:
        rows: the changes that tell something, as `remedies` has them, the surest first; at most `MOST`.
        of_two: changes of two levels at once that are surer than each of `rows`, where none of those rescued half:
            the columns of `rows` and `remedies.SECOND`, the surest first; at most `MOST_OF_TWO`.
        without: how many other changes rescued no run at all.
        depths: of the reference's networks, the nearest there are.
        activation: theirs; "" where there is none of the activation asked for, so all are taken.
        runs: how many of their runs have the symptom and did not learn.
        suites: where they come from.
    """

    rows: pd.DataFrame
    of_two: pd.DataFrame
    without: int
    depths: tuple[int, ...]
    activation: str
    runs: int
    suites: tuple[str, ...]


def advice(
    references: Mapping[str, pd.DataFrame],
    symptom: str,
    architecture: str,
    depth: int,
    own: Mapping[str, str] | None = None,
) -> Advice | None:
    """What to try, or None where no reference has a network of this architecture that shows the symptom and was lost.

    Args:
        references: runs as `bench.reference` has them, by the name of their suite.
        symptom: one of `remedies.LOSSES`.
        architecture: the family whose networks count; no other's do.
        depth: the network's. Of the depths at which the symptom was seen the nearest by ratio counts.
        own: the network's levels, where they are known, as labels. `activation` narrows the networks, if there are
            any with it; a change to a level that it has already is left out.
    """
    known = dict(own or {})
    pairs = _of_all(references, symptom, architecture)
    if pairs.empty:
        return None
    activation = known.get("activation", "")
    alike = pairs[pairs["activation"].astype(str) == activation]
    activation, pairs = (activation, alike) if len(alike) else ("", pairs)
    away = np.abs(np.log(pairs["depth"].astype(float) / max(depth, 1)))
    pairs = pairs[np.isclose(away, away.min())]
    depths = tuple(sorted({int(each) for each in pairs["depth"]}))
    found = summary_of(_new(pairs, known, ("factor", "level")))
    rows = _told(found).head(MOST).reset_index(drop=True)
    of_two = rows.head(0).assign(**dict.fromkeys(SECOND))
    if not (rows["rate"] >= ENOUGH).any():
        of_two = _of_two(_of_all(references, symptom, architecture, 2), activation, depths, known, rows)
    return Advice(
        rows=rows,
        of_two=of_two,
        without=int((found["rescued"] == 0).sum()),
        depths=depths,
        activation=activation,
        runs=len(pairs.drop_duplicates(["suite", "cell_key", "replicate"])),
        suites=tuple(dict.fromkeys(pairs["suite"])),
    )


def _of_two(
    pairs: pd.DataFrame, activation: str, depths: Sequence[int], known: Mapping[str, str], rows: pd.DataFrame
) -> pd.DataFrame:
    """What changes of two levels made of the same networks, where that is surer than each of `rows`."""
    if len(pairs):
        pairs = pairs[pairs["depth"].isin(depths)]
    if activation and len(pairs):
        pairs = pairs[pairs["activation"].astype(str) == activation]
    if pairs.empty:
        return rows.head(0)
    told = _told(summary_of(_new(_new(pairs, known, ("factor", "level")), known, SECOND), SECOND))
    surer = told[told["rate_lower"] > rows["rate_lower"].max()] if len(rows) else told
    return surer.head(MOST_OF_TWO).reset_index(drop=True)


def _new(pairs: pd.DataFrame, known: Mapping[str, str], columns: tuple[str, str]) -> pd.DataFrame:
    """The pairs whose change is to a level that the network has not already."""
    factors, levels = (pairs[name] for name in columns)
    return pairs[[str(known.get(f)) != v for f, v in zip(factors, levels, strict=True)]]


def _told(found: pd.DataFrame) -> pd.DataFrame:
    """The changes that rescued a run and are known well enough, the surest first."""
    told = found[(found["rate_upper"] - found["rate_lower"] <= WIDEST) & (found["rescued"] > 0)]
    return told.sort_values(["rate_lower", "gain"], ascending=False, kind="stable")


def _of_all(references: Mapping[str, pd.DataFrame], symptom: str, architecture: str, changes: int = 1) -> pd.DataFrame:
    """The pairs of all references whose first run is of the architecture, shows the symptom and did not learn."""
    parts = {suite: _lost(runs, symptom, architecture, changes) for suite, runs in references.items()}
    named = [pairs.assign(suite=suite) for suite, pairs in parts.items() if len(pairs)]
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame()


def _lost(runs: pd.DataFrame, symptom: str, architecture: str, changes: int) -> pd.DataFrame:
    own = runs[runs["architecture"].astype(str) == architecture]  # no pair has two: it is no treatment
    seconds, beside = own["seconds_per_step"], [*_BASELINE, "cell_key", "replicate"]
    pairs = pairs_of(own, varied_in(own), seconds, beside, changes)
    return pairs[pairs["pathology"] == symptom] if len(pairs) else pairs


def varied_in(runs: pd.DataFrame) -> Sequence[str]:
    """The factors that have more than one level."""
    return [name for name in FACTORS if name in runs and runs[name].nunique(dropna=False) > 1]
