"""What a network is made of, in words: layers, or of a transformer blocks (its depth) of sub-layers (its rows)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.factors import sublayer_kinds
from bench.text import spoken

TRANSFORMER = "transformer"


def is_transformer(runs: pd.DataFrame) -> pd.Series:
    """Where a row of runs is a transformer, in whatever spelling of its settings."""
    if "architecture" not in runs:
        return pd.Series(False, index=runs.index)
    return runs["architecture"].astype(str).str.partition("(")[0] == TRANSFORMER


def depth_unit(runs: pd.DataFrame) -> str:
    """What depth counts in all of these runs: `layer`, of transformers `block`; "" where it depends on the run."""
    own = is_transformer(runs)
    return "" if own.any() and not own.all() else "block" if len(own) and own.all() else "layer"


def row_unit(runs: pd.DataFrame) -> str:
    """What the tables have a row for: `layer`, of transformers `sub-layer`; `layer or sub-layer` of both."""
    return {"layer": "layer", "block": "sub-layer", "": "layer or sub-layer"}[depth_unit(runs)]


def deep(depth: str, unit: str) -> str:
    """`1 layer`, `32 blocks`, or `depth 32`; "" where depth does not vary."""
    if not depth:
        return ""
    return f"{depth} {unit}{'' if depth == '1' else 's'}" if unit else f"depth {depth}"


def layer_words(layer: object, run: Mapping[str, object]) -> str:
    """`layer 3`, of a transformer `block 1's attention`; "" without a layer.

    Args:
        layer: its index, or nothing.
        run: architecture, sublayers and depth of its network, as the table `runs` has them.
    """
    if layer is None or pd.isna(layer) or int(float(str(layer))) < 0:
        return ""
    index = int(float(str(layer)))
    if str(run.get("architecture", "")).partition("(")[0] != TRANSFORMER:
        return f"layer {index}"
    kinds = sublayer_kinds(str(run.get("sublayers", "both")))
    block, kind = divmod(index, len(kinds))
    return (
        "the head" if block >= int(float(str(run.get("depth", index + 1)))) else f"block {block}'s {_kind(kinds[kind])}"
    )


def places_of(layers: pd.Series, run_ids: pd.Series, runs: pd.DataFrame) -> list[str]:
    """The layer of each row in words, for rows of these runs."""
    own = runs.set_index(runs["run_id"].astype(str))
    known = own[is_transformer(own)].to_dict("index") if is_transformer(own).any() else {}
    return [layer_words(layer, known.get(run, {})) for layer, run in zip(layers, run_ids.astype(str), strict=True)]


def commonest_place(rows: pd.DataFrame) -> str:
    """The commonest layer of rows of `causes_of`, in words, of equals the one nearest the input; "" without any."""
    known = rows[rows["layer"].notna()]
    if known.empty:
        return ""
    known = known if "place" in known else known.assign(place=[layer_words(layer, {}) for layer in known["layer"]])
    counts = known["place"].value_counts()
    most = known[known["place"].isin(counts.index[counts == counts.iloc[0]])]
    return str(most.sort_values("layer", kind="stable")["place"].iloc[0])


def _kind(kind: str) -> str:
    return "feed-forward" if kind == "feed_forward" else spoken(kind)
