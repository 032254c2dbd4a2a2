"""What to try on a network that shows a symptom: what rescued networks of its kind in reference results.

The networks of the reference are those that were measured, never the reader's own. Nothing is carried over but counts:
of how many runs with this symptom a change of one level made how many learn. Rules: docs/rules.md, What to try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.remedies import pairs_of, summary_of
from bench.factors import FACTORS

WIDEST = 0.5  # an interval of a share wider than this tells nothing
MOST = 5
_BASELINE = ("architecture", "activation", "depth")


@dataclass(frozen=True)
class Advice:
    """What rescued the reference's networks that are most like the one asked for.

    Attributes:
        rows: the changes that tell something, as `remedies` has them, the surest first; at most `MOST`.
        without: how many other changes rescued no run at all.
        depths: of the reference's networks, the nearest there are.
        activation: theirs; "" where there is none of the activation asked for, so all are taken.
        runs: how many of their runs have the symptom and did not learn.
        suites: where they come from.
    """

    rows: pd.DataFrame
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
    parts = {suite: _lost(runs, symptom, architecture) for suite, runs in references.items()}
    parts = {suite: pairs for suite, pairs in parts.items() if len(pairs)}
    if not parts:
        return None
    pairs = pd.concat([part.assign(suite=suite) for suite, part in parts.items()], ignore_index=True)
    alike = pairs[pairs["activation"].astype(str) == known.get("activation", "")]
    activation = known["activation"] if len(alike) else ""
    pairs = alike if len(alike) else pairs
    away = np.abs(np.log(pairs["depth"].astype(float) / max(depth, 1)))
    pairs = pairs[np.isclose(away, away.min())]
    found = summary_of(pairs[[str(known.get(f)) != v for f, v in zip(pairs["factor"], pairs["level"], strict=True)]])
    told = found[(found["rate_upper"] - found["rate_lower"] <= WIDEST) & (found["rescued"] > 0)]
    return Advice(
        rows=told.sort_values(["rate_lower", "gain"], ascending=False, kind="stable").head(MOST).reset_index(drop=True),
        without=int((found["rescued"] == 0).sum()),
        depths=tuple(sorted({int(each) for each in pairs["depth"]})),
        activation=activation,
        runs=len(pairs.drop_duplicates(["suite", "cell_key", "replicate"])),
        suites=tuple(dict.fromkeys(pairs["suite"])),
    )


def _lost(runs: pd.DataFrame, symptom: str, architecture: str) -> pd.DataFrame:
    """The pairs of one reference whose first run is of the architecture, shows the symptom and did not learn."""
    own = runs[runs["architecture"].astype(str) == architecture]  # no pair has two: it is no treatment
    pairs = pairs_of(own, varied_in(own), own["seconds_per_step"], [*_BASELINE, "cell_key", "replicate"])
    return pairs[pairs["pathology"] == symptom] if len(pairs) else pairs


def varied_in(runs: pd.DataFrame) -> Sequence[str]:
    """The factors that have more than one level."""
    return [name for name in FACTORS if name in runs and runs[name].nunique(dropna=False) > 1]
