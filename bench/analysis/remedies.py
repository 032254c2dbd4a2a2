"""Which single change of level rescues networks that did not learn, by how much and at what cost.

A *baseline* is a cell of which most runs did not learn. Its pathology is the symptom that most of its runs show at
initialization, through layers or else along time; where most are healthy then, it is how most ended: diverged, or not
learned. A *remedy* changes one
factor of it and nothing else. Runs are paired by replicate, so both sides have the same
data order and the same underlying draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from bench.analysis.estimates import clustered_wilson, median_interval, with_lost_counted
from bench.analysis.quantities import seconds_per_step
from bench.analysis.tables import coded_levels
from bench.analysis.through_time import EXPLODING, IN_TIME, VANISHING
from bench.analysis.verdicts import Outcome
from bench.quantities import quantity
from bench.rules import PATHOLOGIES, Symptom

# What a network is made or trained with. The size of the problem is not a remedy for it.
TREATMENTS = (
    "activation", "initializer", "bias_initializer", "normalization", "skip", "cell", "recurrent_initializer",
    "gate_bias", "truncate", "padding", "downsample", "head_pool", "block", "query_key", "attention_gain",
    "logit_scale", "position", "embedding_initializer", "clipping", "regularization", "dropout", "precision",
    "optimizer", "learning_rate", "warmup", "schedule", "preprocessing", "target_preprocessing",
    "loss", "class_weight",
)  # fmt: skip
LOSSES = (
    *PATHOLOGIES,
    VANISHING,
    EXPLODING,
    Outcome.DIVERGED,
    Outcome.NOT_LEARNED,
)  # what a baseline's pathology may be, in order
COLUMNS = [
    "pathology", "factor", "level", "pairs", "rescued", "rate", "rate_lower", "rate_upper", "gain", "gain_lower",
    "gain_upper", "diverged", "cost",
]  # fmt: skip
_BY = "_by"
SECOND = ("second_factor", "second_level")  # of pairs that differ in two treatments
NO_PAIRS = pd.DataFrame(columns=COLUMNS)


def remedies(judged: pd.DataFrame, varied: Sequence[str], timings: pd.DataFrame) -> pd.DataFrame:
    """One row for each pathology and remedy (a factor's new level), the best rescue rate first within a pathology.

    Args:
        judged: what `judge` returned.
        varied: the factors that vary.
        timings: the table of that name, for the cost.

    Returns:
        `pairs` are runs of baselines that did not learn, each with its partner under the remedy; `rescued` of them
        learned there: `rate`, with a Wilson interval. `gain` is the median change of final validation accuracy, a lost
        run counting as chance, with its interval. `diverged` counts partners that left the finite numbers. `cost` is
        the median ratio of training seconds per run and step, 1 where both trained in one cohort.
    """
    pairs = pairs_of(judged, varied, judged["cohort"].map(seconds_per_step(timings)))
    return summary_of(pairs)


def remedies_by(judged: pd.DataFrame, varied: Sequence[str], timings: pd.DataFrame, by: str = "depth") -> pd.DataFrame:
    """`remedies` for each level of a factor on its own: what helps at which depth.

    Args:
        judged: as for `remedies`.
        varied: as for `remedies`.
        timings: as for `remedies`.
        by: one of the varied factors; where it is the one that changes, the baseline's level counts.

    Returns:
        The columns of `remedies` after one named as `by`; its levels in order (`coded_levels`), then the pathologies,
        and the best rescue rate first within each. A level without a pathological baseline has no row.

    Raises:
        ValueError: `by` does not vary.
    """
    if by not in varied:
        raise ValueError(f"{by} does not vary: {', '.join(varied) or 'nothing'} does")
    pairs = pairs_of(judged.assign(**{_BY: judged[by]}), varied, judged["cohort"].map(seconds_per_step(timings)), [_BY])
    if not len(pairs):
        return pd.DataFrame(columns=[by, *COLUMNS])
    found = summary_of(pairs, [_BY]).rename(columns={_BY: by})
    place = {level: position for position, level in enumerate(coded_levels(judged[by])[1])}
    return found.sort_values(by, key=lambda column: column.map(place).astype(int), kind="stable", ignore_index=True)


def pairs_of(
    judged: pd.DataFrame, varied: Sequence[str], seconds: pd.Series, beside: Sequence[str] = (), changes: int = 1
) -> pd.DataFrame:
    """One row for every pathological run and run that differs from it in one treatment; empty where there is none.

    Args:
        judged: what `judge` returned.
        varied: the factors that vary.
        seconds: training time per run and step, row by row of `judged`.
        beside: columns of `judged`, whose value of the pathological run is kept.
        changes: in how many treatments the two differ, 1 or 2.

    Returns:
        The columns `beside`, then `pathology`, `factor`, its new `level`, with two changes `SECOND`, and `rescued`,
        `diverged`, `gain` and `cost` as in `remedies`, for this pair.
    """
    frame = _prepared(judged, varied, seconds, beside)
    pathological = frame[frame["pathology"].notna() & (frame["outcome"] != Outcome.LEARNED)]
    treatments = [factor for factor in TREATMENTS if factor in varied]
    parts = [_paired(pathological, frame, each, varied, beside) for each in combinations(treatments, changes)]
    return (
        pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else pd.DataFrame()
    )


def _prepared(judged: pd.DataFrame, varied: Sequence[str], seconds: pd.Series, beside: Sequence[str]) -> pd.DataFrame:
    """The columns that pairs need, with each run's cell judged as a baseline: its pathology, or null."""
    columns = dict.fromkeys(["cell_key", "replicate", "outcome", "symptom_start", *varied, *beside])
    accuracy = with_lost_counted(judged, quantity("final_validation_accuracy"))
    frame = judged[list(columns)].assign(accuracy=accuracy, seconds=seconds)
    learned = (frame["outcome"] == Outcome.LEARNED).groupby(frame["cell_key"]).transform("mean")
    pathology = pd.Series(None, index=frame.index, dtype=object)
    for symptom in PATHOLOGIES:
        shown = (frame["symptom_start"] == symptom).groupby(frame["cell_key"]).transform("mean")
        pathology = pathology.mask((shown > 0.5) & (learned < 0.5), str(symptom))
    if IN_TIME in judged:  # of networks whose layers show nothing
        for along_time in (VANISHING, EXPLODING):
            shown = (judged[IN_TIME] == along_time).groupby(frame["cell_key"]).transform("mean")
            pathology = pathology.mask((shown > 0.5) & (learned < 0.5) & pathology.isna(), along_time)
    healthy = (frame["symptom_start"] == Symptom.HEALTHY).groupby(frame["cell_key"]).transform("mean")
    diverged = (frame["outcome"] == Outcome.DIVERGED).groupby(frame["cell_key"]).transform("mean")
    lost = (healthy > 0.5) & (learned < 0.5) & pathology.isna()
    pathology = pathology.mask(lost & (diverged > 0.5), str(Outcome.DIVERGED))
    return frame.assign(pathology=pathology.mask(lost & (diverged <= 0.5), str(Outcome.NOT_LEARNED)))


def _paired(
    pathological: pd.DataFrame,
    frame: pd.DataFrame,
    factors: Sequence[str],
    varied: Sequence[str],
    beside: Sequence[str],
) -> pd.DataFrame:
    """Each pathological run beside every run that differs from it in each of these factors and in no other."""
    same = [*(name for name in varied if name not in factors), "replicate"]
    pairs = pathological.merge(frame, on=same, suffixes=("", "_new"))
    for factor in factors:
        pairs = pairs[pairs[factor].astype(str) != pairs[f"{factor}_new"].astype(str)]
    columns = {name: pairs[name] for name in beside} | {"pathology": pairs["pathology"]}
    for factor, (name, level) in zip(factors, (("factor", "level"), SECOND), strict=False):
        columns |= {name: pd.Series(factor, pairs.index), level: pairs[f"{factor}_new"].astype(str)}
    return pd.DataFrame(
        columns
        | {
            "rescued": (pairs["outcome_new"] == Outcome.LEARNED).astype(int),
            "diverged": (pairs["outcome_new"] == Outcome.DIVERGED).astype(int),
            "gain": pairs["accuracy_new"] - pairs["accuracy"],
            "cost": pairs["seconds_new"] / pairs["seconds"],
        }
    )  # fmt: skip


def summary_of(pairs: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """What `remedies` returns, of pairs as `pairs_of` returns them; `by` names columns whose levels are apart."""
    if pairs.empty:
        return NO_PAIRS
    keys = [*by, "pathology", "factor", "level"]
    grouped = pairs.groupby(keys, sort=False, observed=True)
    counted = grouped.agg(pairs=("rescued", "size"), rescued=("rescued", "sum"), diverged=("diverged", "sum"),
                          cost=("cost", "median")).reset_index()  # fmt: skip
    bounds = [clustered_wilson(k, n, n) for k, n in zip(counted["rescued"], counted["pairs"], strict=True)]
    gains = median_interval(pairs, keys, "gain").rename(columns={"median": "gain"})
    gains = gains.rename(columns={"lower": "gain_lower", "upper": "gain_upper"})
    full = counted.assign(
        rate=counted["rescued"] / counted["pairs"],
        rate_lower=[low for low, _ in bounds],
        rate_upper=[high for _, high in bounds],
    ).merge(gains[[*keys, "gain", "gain_lower", "gain_upper"]], on=keys)
    order = {str(loss): index for index, loss in enumerate(LOSSES)}
    full = full.assign(_order=full["pathology"].map(order)).sort_values(
        ["_order", "rate", "gain", "factor", "level"], ascending=[True, False, False, True, True], kind="stable"
    )
    return full[[*by, *COLUMNS]].reset_index(drop=True)
