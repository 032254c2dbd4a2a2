"""From what `benchmarks.speed` measured to a page in Markdown: medians of the rounds' ratios, with their spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmarks.case import FIRST_STEPS, PRODUCTS, Case
from benchmarks.command import markdown

ENGINE = "engine"
NETWORK = ["depth", "width", "runs", "normalization", "batch", "cell", "length"]
STEPS = ("plain", "measured")
FAMILIES = ("recurrent", "conv", "transformer")  # heats of other networks than dense ones
GROWTH = ("runs", "width", "depth")
AGREEMENT = 1e-3  # losses of the first steps that differ by a larger share are said to
WHOLE = ["oneDNN", "`bench run`, s", "Keras loop, s", "times faster", "the workers' seconds"]
QUARTILES = {"median": 0.5, "lower": 0.25, "upper": 0.75}


def page(rows: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """The whole page."""
    machine, versions = facts["machine"], facts["versions"]
    parts = [
        "# Speed",
        f"{machine['processor']}, {machine['cores']} cores, {machine['vector_extensions']}; TensorFlow "
        f"{versions['tensorflow']}, Keras {versions['keras']}. Contestants take turns; a ratio is of the times of one "
        "round. Medians over the rounds, their quartiles in brackets.",
        *(f"Left out: {each}." for each in facts["left_out"]),
    ]
    steps = rows[rows["heat"] == "steps"]
    if len(steps):
        parts += [*_comparisons(steps), *_beside(steps)]
    parts += _families(rows)
    for name in GROWTH:
        if len(found := rows[rows["heat"] == name]):
            parts += [f"## What a run costs with more {name if name == 'runs' else f'{name} of its network'}"]
            parts += [_growth(found, name)]
    return "\n\n".join(parts + _whole(rows)) + "\n"


def better_forms(rows: pd.DataFrame) -> pd.DataFrame:
    """Of a contestant written in several forms the faster one, for each network and kind of step by itself."""
    names = ["contestant", "onednn", "kind", *NETWORK]
    medians = rows.groupby([*names, "form"])["value"].median().reset_index()
    return rows.merge(medians.loc[medians.groupby(names)["value"].idxmin(), [*names, "form"]])


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as the engine's step each other contestant's took, over the rounds.

    What knows no oneDNN is compared with the engine under both its settings.
    """
    times = better_forms(rows[rows["kind"].isin(STEPS)])
    ours = times[times["contestant"] == ENGINE].drop(columns=["contestant", "form"])
    others = times[times["contestant"] != ENGINE].rename(columns={"onednn": "theirs"})
    both = ours.merge(others, on=[*NETWORK, "kind", "round"], suffixes=("_engine", ""))
    both = both[(both["theirs"] == "") | (both["theirs"] == both["onednn"])]
    both = both.assign(ratio=both["value"] / both["value_engine"])
    return _summarized(both, [*NETWORK, "onednn", "kind", "contestant"], "ratio")


def engine_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """The engine's rounds side by side: each kind of step, what measuring multiplies, the share of the rate reached.

    The rate is the machine's own in batched products of the network's width: that of the better setting of oneDNN.
    """
    ours = rows[(rows["contestant"] == ENGINE) & rows["kind"].isin([*STEPS, "products"])]
    wide = ours.pivot(index=[*NETWORK, "onednn", "round"], columns="kind", values="value").reset_index()
    rate = wide.groupby(["width", "round"])["products"].transform("max")
    flops = [Case(*each).flops for each in wide[NETWORK].itertuples(index=False)]
    return wide.assign(cost=wide["measured"] / wide["plain"], share=1e-6 * pd.Series(flops) / wide["plain"] / rate)


def disagreements(rows: pd.DataFrame) -> pd.Series:
    """By how large a share each contestant's first losses differ from the engine's, at most over networks."""
    losses = rows[rows["kind"] == "loss"]
    ours = losses[losses["contestant"] == ENGINE].groupby(NETWORK)["value"].first().rename("engine")
    found = losses.join(ours, on=NETWORK)
    share = (found["value"] / found["engine"] - 1).abs()
    return share.groupby([found["contestant"] + " " + found["form"]]).max()


def _summarized(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    grouped = frame.groupby(by)[value]
    return pd.DataFrame({name: grouped.quantile(share) for name, share in QUARTILES.items()}).reset_index()


def _told(values: pd.Series, digits: int = 2) -> str:
    """A median with its quartiles."""
    median, lower, upper = (f"{values.quantile(share):.{digits}f}" for share in QUARTILES.values())
    return f"{median} ({lower}–{upper})"


def _comparisons(steps: pd.DataFrame) -> list[str]:
    """A table for each kind of step and setting of oneDNN: the engine's time, and others' as multiples of it."""
    found = _ratios_told(steps)
    engine = engine_steps(steps)
    parts = []
    for kind in STEPS:
        for onednn, ours in engine.groupby("onednn", sort=False):
            here = found[(found["kind"] == kind) & (found["onednn"] == onednn)]
            networks = ours.groupby(["depth", "normalization"], sort=False)
            others = here.pivot(index=["depth", "normalization"], columns="contestant", values="told")
            others = others.reindex(pd.MultiIndex.from_tuples(networks.groups)).fillna("–")
            measured = kind == "measured"
            lines = [
                [
                    _network(*network),
                    _told(times[kind], 3),
                    _told(times["cost"]) if measured else _told(100 * times["share"], 0),
                    *others.loc[network],
                ]
                for network, times in networks
            ]
            header = ["network", "engine, ms a run", "times plain" if measured else "% of the machine's rate", *others]
            parts += [f"## A {kind} step, oneDNN {onednn}: how many times as long as the engine's"]
            parts += [markdown(header, lines)]
    return parts


def _ratios_told(steps: pd.DataFrame) -> pd.DataFrame:
    """`ratios` with the words for each."""
    found = ratios(steps)
    told = [f"{each.median:.2f} ({each.lower:.2f}–{each.upper:.2f})" for each in found.itertuples()]
    return found.assign(told=told)


def _beside(steps: pd.DataFrame) -> list[str]:
    """First steps, memory, the rate of products, and whether all trained the same."""
    facts = steps.groupby([*NETWORK, "contestant", "form", "onednn", "kind"])["value"].max().unstack("kind")
    lines = [
        [f"{name} {form}", onednn or "–", f"{each['first'].max():.1f}", f"{each['peak'].max():.0f}"]
        for (name, form, onednn), each in facts.groupby(["contestant", "form", "onednn"])
    ]
    rate = steps[steps["kind"] == "products"].groupby("onednn")["value"]
    products = [f"{onednn} {_told(values, 0)}" for onednn, values in rate]
    differ = [f"{name.strip()} {share:.1e}" for name, share in disagreements(steps).items() if share > AGREEMENT]
    return [
        "## First step and memory",
        "Seconds from building to the first measured step (of `fit`, to its first ten), at most over the networks; the "
        "most memory that one of the processes held, which Keras's three ways share, and JAX's two forms.",
        markdown(["", "oneDNN", "first step, s", "peak, MiB"], lines),
        f"Products of {PRODUCTS} × 64 × 64 × 64, oneDNN {', '.join(products)} GFLOP/s, all cores together.",
        f"From the same weights, the mean loss of the first {FIRST_STEPS} steps differs from the engine's by more than "
        f"{AGREEMENT:g} of it: {', '.join(differ) or 'nowhere'}.",
    ]


def _families(rows: pd.DataFrame) -> list[str]:
    """Other networks than dense ones: steps beside others', first calls, two cohorts from end to end."""
    parts, names = [], ["cell", "kind", "onednn"]
    ours = rows[(rows["contestant"] == ENGINE) & rows["kind"].isin([*STEPS, "floor", "first"])]
    ours = ours.assign(value=ours["value"].where(ours["kind"] == "first", ours["value"] * ours["runs"]))
    if len(steps := rows[rows["heat"].isin(FAMILIES)]):
        others = _ratios_told(steps).pivot(index=names, columns="contestant", values="told")
        here = ours[ours["heat"].isin(FAMILIES) & (ours["kind"] != "first")].groupby(names, sort=False)["value"]
        others = others.reindex(pd.MultiIndex.from_tuples(list(here.groups))).fillna("–")
        lines = [[*key, _told(values, 1), *others.loc[key]] for key, values in here]
        parts += [
            "## Recurrent, convolutional networks and transformers: how many times as long as the engine's step",
            "24 runs. 32 samples a batch: one layer of 32 units over 50 time steps, or (conv) 8 convolutions of 8 "
            "filters over 8 x 8. 16 samples a batch: 4 pre-norm blocks of width 32 over 16 tokens. The engine's time "
            "is that of a step of all runs, by as many workers as there are cores; the floor is what the bare "
            "convolutions of a step take.",
            markdown(["cell", "step", "oneDNN", "engine, ms", *others], lines),
        ]
    if len(lengths := ours[ours["heat"] == "length"]):
        wide = lengths.pivot_table("value", ["cell", "length", "onednn"], "kind", "median", sort=False)
        lines = [
            [cell, f"{length:.0f}", onednn, f"{each['first']:.2f}", *(f"{each[kind]:.0f}" for kind in STEPS)]
            for (cell, length, onednn), each in wide.iterrows()
        ]
        header = ["cell", "time steps", "oneDNN", "first call, s", *(f"{kind}, ms" for kind in STEPS)]
        parts += ["### First calls and steps of 24 runs by length", markdown(header, lines)]
    if len(deep := ours[ours["heat"] == "deep"]):
        wide = deep.pivot_table("value", ["cell", "depth", "onednn"], "kind", "median", sort=False)
        wide, shown = wide.reindex(columns=["first", *STEPS, "floor"]), (*STEPS, "floor")
        lines = [
            [cell, f"{depth:.0f}", onednn, f"{each['first']:.2f}", *(_whole_number(each[kind]) for kind in shown)]
            for (cell, depth, onednn), each in wide.iterrows()
        ]
        header = ["network", "convolutions or blocks", "oneDNN", "first call, s", *(f"{kind}, ms" for kind in shown)]
        parts += ["### First calls and steps of 24 deep runs", markdown(header, lines)]
    if len(cohorts := rows[rows["heat"] == "cohorts"]):
        lines = [
            [str(cell), *line] for cell, found in cohorts.groupby("cell", sort=False) for line in _whole_lines(found)
        ]
        parts += [
            "### Two cohorts of 24 runs, 300 steps, from end to end, no report",
            markdown(["network", *WHOLE], lines),
        ]
    return parts


def _whole_number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0f}"


def _growth(rows: pd.DataFrame, name: str) -> str:
    """The engine's cost at each size."""
    lines = []
    for (size, onednn), times in engine_steps(rows).groupby([name, "onednn"]):
        told = [_told(times[kind], 3) for kind in STEPS] + [_told(times["cost"]), _told(100 * times["share"], 0)]
        lines.append([str(int(size)), str(onednn), *told])
    header = [name, "oneDNN", "plain, ms a run", "measured, ms a run", "times plain", "% of the machine's rate"]
    return markdown(header, lines)


def _whole(rows: pd.DataFrame) -> list[str]:
    """A suite from end to end: the loop's time over the command's, and that of single structures."""
    suite = rows[rows["heat"] == "suite"]
    if not len(suite):
        return []
    lines = _whole_lines(suite)
    single = rows[rows["heat"] == "structures"].pivot_table(
        index=["onednn", "depth", "normalization"], columns="contestant", values="value"
    )
    single = (single["Keras loop"] / single["bench run"]).rename("ratio").reset_index()
    return [
        "## From end to end",
        markdown(WHOLE, lines),
        "Single structures, imports, tables and report shared out evenly:",
        markdown(
            ["oneDNN", "network", "times faster"],
            [
                [each.onednn, _network(each.depth, each.normalization), f"{each.ratio:.1f}"]
                for each in single.itertuples()
            ],
        ),
    ]


def _whole_lines(suite: pd.DataFrame) -> list[list[str]]:
    """A line for each setting of oneDNN, see `WHOLE`."""
    lines = []
    for onednn, found in suite.groupby("onednn", sort=False):
        wide = found.pivot(index="round", columns=["contestant", "kind"], values="value")
        command, loop = wide["bench run", "seconds"], wide["Keras loop", "seconds"]
        parts = wide["bench run"].drop(columns="seconds").median()
        shares = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in parts.items())
        lines.append([str(onednn), _told(command, 0), _told(loop, 0), _told(loop / command, 1), shares])
    return lines


def _network(depth: float, normalization: str) -> str:
    return f"depth {int(depth)}" + ("" if normalization == "none" else f", {normalization.replace('_', ' ')}")
