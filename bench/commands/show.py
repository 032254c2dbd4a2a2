"""`bench show`: one run as text, its cell, outcome, events, curves and quantities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import Outcome, Signs, causes_of, evidence, findings, helping_all, judge
from bench.analysis.events import places, skipped_steps
from bench.analysis.learned import loss_decides
from bench.analysis.parts import layer_words
from bench.analysis.through_time import lags, top_layer
from bench.errors import printable
from bench.factors import FACTORS, OWN, without_use
from bench.quantities import OF_RUNS
from bench.results import find_run, read_facts, read_manifest, read_run
from bench.rules import choose_rules
from bench.schema import EventKind, RunStatus
from bench.text import number, spoken

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def show_run(folder: Path, run_id: str) -> None:
    """Print one run of a results folder.

    Raises:
        ResultsError: there are no results, or no run of that name; a prefix that fits one run alone will do.
    """
    own = read_run(folder, *find_run(folder, run_id))
    run = own["runs"].set_index("run_id").iloc[0]
    print(printable(str(run.name)))
    unused = without_use([run["architecture"]])
    for factor in (name for name in FACTORS if name not in unused):
        print(f"  {factor:18} {printable(str(run[factor]))}")
    after = f"after {run['steps_completed']} of {run['steps']} steps"
    print(f"{run['status']} {after}; {run['parameter_count']:.0f} parameters")
    if isinstance(run["error"], str):
        print("\n".join(map(printable, run["error"].splitlines())))
    manifest = read_manifest(folder)
    choice = choose_rules(manifest.verdicts)
    judged = judge(own, choice).set_index("run_id").loc[run.name]
    if manifest.suite == OWN:
        _show_explained(judged, own, read_facts(folder, str(run.name)))
    else:
        _show_verdict(judged, own)
    _show_events(own)
    _show_curves(own)
    _show_lags(own)
    _show_heads(own)
    _show_groups(own)
    _show_quantities(judged)
    _show_unseen(manifest.unseen.get(str(run.name), {}))
    known = FACTORS["architecture"].level(str(run["architecture"])) is not None
    if manifest.suite != OWN and not manifest.dry and known and run["status"] != RunStatus.FAILED:
        print(printable(f"as a plain Keras script: bench script {quote(str(folder))} {run.name}"))


def _show_verdict(judged: pd.Series, own: dict[str, pd.DataFrame]) -> None:
    """Outcome, symptoms, and the cause of a run that did not learn: the first thing that was wrong."""
    signs = Signs(own).all()
    found = findings(signs, str(judged.name), judged["outcome"])
    cause = causes_of(own, judged.to_frame().T.assign(run_id=judged.name), signs)
    _show_outcome(judged, judged["outcome"])
    for _, each in found.iterrows():
        print(printable(f"symptom: {each['cause']} – {evidence(each)}"))
    if found.empty:
        print("symptom: none")
    if not cause.empty:
        print(f"cause: {cause['cause'].iloc[0]}")
        for helps in helping_all(found, str(judged["activation"])):
            print(printable(f"known to help {helps}"))
    elif judged["outcome"] == Outcome.LEARNED:
        print("cause: none is needed, it learned")


def _show_outcome(judged: pd.Series, outcome: str) -> None:
    names, best = ("final_validation_accuracy", "chance_accuracy"), "chance"
    if bool(loss_decides(judged.to_frame().T).iloc[0]):
        names, best = ("final_validation_loss", "naive_loss"), "the best constant answer's"
    score, naive = (number(judged[name]) for name in names)
    print(f"outcome: {spoken(outcome)}; {spoken(names[0]).removeprefix('final ')} {score}, {best} {naive}")


def _show_explained(judged: pd.Series, own: dict[str, pd.DataFrame], facts: Mapping[str, Any]) -> None:
    """Of a run of one's own what its page says: the first sign, the others, and what helps."""
    from bench.report import explained, known_to_help

    outcome, seen = explained(pd.Series({**judged, "run_id": judged.name}), own, facts)
    _show_outcome(judged, outcome)
    for each, words in zip(seen, ("first sign", *["other sign"] * len(seen)), strict=False):
        print(printable(f"{words}: {each}"))
    if not seen:
        print("first sign: none")
    words = "to try:" if seen and seen[0].rule is None else "to try"
    for helps in known_to_help(seen):
        print(printable(f"{words} {helps}"))


def _show_events(own: dict[str, pd.DataFrame]) -> None:
    events = own["divergence_events"]
    for event, where in zip(events.itertuples(), places(events, own["runs"]), strict=True):
        name = "loss scale" if event.kind == EventKind.SKIPPED_STEP else "value"
        value = "" if pd.isna(event.value) else f", {name} {number(event.value, 4)}"
        limit = "" if pd.isna(event.limit) else f", limit {number(event.limit, 4)}"
        print(printable(f"  step {event.step}: {event.kind} in the {where}{value}{limit}"))


def _show_curves(own: dict[str, pd.DataFrame]) -> None:
    print("loss, training batches")
    _curve(own["loss_curves"]["step"], own["loss_curves"]["loss"])
    curves = own["loss_curves"]
    scaled = curves.dropna(subset=["loss_scale"]) if "loss_scale" in curves else curves[:0]
    if len(scaled):
        print(f"loss scale; {skipped_steps(scaled)}")
        _curve(scaled["step"], scaled["loss_scale"])
    for split, frame in own["evaluations"].groupby("split"):
        print(f"accuracy, {printable(str(split))}")
        _curve(frame["step"], frame["accuracy"])
    norms = own["gradient_norms"]
    for step in dict.fromkeys([norms["step"].min(), norms["step"].max()]) if len(norms) else []:
        print(f"log10 pre-activation gradient norm by layer, step {step} (left: nearest the input)")
        at = norms[norms["step"] == step].sort_values("layer_index")
        with np.errstate(divide="ignore"):
            _curve(at["layer_index"], np.log10(at["preactivation_grad_norm"]))


def _show_heads(own: dict[str, pd.DataFrame]) -> None:
    """Entropy and largest logit of each head, a line a sub-layer, at the first and the last recorded step."""
    rows, run = own["attention"], own["runs"].iloc[0].to_dict()
    for step in dict.fromkeys([rows["step"].min(), rows["step"].max()]) if len(rows) else []:
        print(f"entropy over the largest possible, and largest logit, by head, step {step}")
        for layer, at in rows[rows["step"] == step].groupby("layer_index"):
            told = zip(at["entropy_share"], at["max_logit"], strict=True)
            said = ", ".join(f"{number(share, 2)} ({number(logit, 2)})" for share, logit in told)
            print(printable(f"  {layer_words(layer, run)}: {said}"))


def _show_groups(own: dict[str, pd.DataFrame]) -> None:
    """The gradient's norm of each group of parameters, a line a layer, at the first and the last recorded step."""
    rows, run = own["parameter_groups"], own["runs"].iloc[0].to_dict()
    for step in dict.fromkeys([rows["step"].min(), rows["step"].max()]) if len(rows) else []:
        print(f"gradient norm by group of parameters, step {step}")
        for layer, at in rows[rows["step"] == step].groupby("layer_index"):
            told = zip(at["group"], at["grad_norm"], strict=True)
            print(
                printable(
                    f"  {layer_words(layer, run)}: " + ", ".join(f"{group} {number(norm)}" for group, norm in told)
                )
            )


def _show_lags(own: dict[str, pd.DataFrame]) -> None:
    """What is left of the gradient by lag in the layer nearest the loss, at the first and the last recorded step."""
    rows = top_layer(lags(own))
    for step in dict.fromkeys([rows["step"].min(), rows["step"].max()]) if len(rows) else []:
        print(f"log10 gradient for the state over that at lag 0, step {step} (left: the loss)")
        at = rows[rows["step"] == step]
        _curve(at["lag"], at["decades"])


def _show_quantities(numbers: pd.Series) -> None:
    print("quantities")
    for each in OF_RUNS:
        if pd.notna(numbers[each.name]):
            print(f"  {each.name:26} {number(numbers[each.name])}{'' if each.unit == '1' else f' {each.unit}'}")


def _show_unseen(unseen: Mapping[str, str]) -> None:
    """What of one's own network no recorded step saw, or not whole, and why."""
    for what, why in unseen.items():
        print(printable(f"not seen: {what}: {why}"))


def _curve(x: pd.Series, y: pd.Series) -> None:
    """A sparkline with its first, lowest, highest and last value."""
    values = y.to_numpy(float)
    finite = values[np.isfinite(values)]
    if not len(finite):
        print("  nothing finite was recorded")
        return
    picked = values[np.linspace(0, len(values) - 1, min(WIDTH, len(values))).round().astype(int)]
    low, high = finite.min(), finite.max()
    scaled = (np.clip(np.nan_to_num(picked, nan=low), low, high) - low) / (high - low or 1.0)
    levels = (scaled * (len(BARS) - 1)).astype(int)
    bars = "".join(BARS[k] if ok else "×" for k, ok in zip(levels, np.isfinite(picked), strict=True))
    ends = f"{number(values[0], 4)} → {number(values[-1], 4)}"
    print(f"  {bars}  {ends}  (lowest {number(low, 4)}, highest {number(high, 4)}; at {x.min()}–{x.max()})")
