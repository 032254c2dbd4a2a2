"""The page of one's own training: what became of it and why, what to try, its curves and gradients, layer by layer.

No suite planned these runs: there is no baseline and no other cell to compare with. What to try is counted in the
reference results that ship with the package, and said to be measured on those networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import reference
from bench.analysis import Advice, Outcome, Symptom, advice
from bench.analysis.recurrent import layered
from bench.analysis.remedies import LOSSES, SECOND
from bench.analysis.tables import Tables
from bench.factors import FACTORS, MIXED, OWN, default_level
from bench.report.axes import level_label
from bench.report.blocks import Block, Fold, Lead, Page, Section, Sentence, Sentences, Table, Text, blocks_of
from bench.report.frames import Frames
from bench.report.headline import level_words
from bench.report.own_causes import Seen, explained, known_to_help
from bench.report.run_page import course, gradients, heads, numbers_of
from bench.schema import EventKind, RunStatus, Tensor
from bench.text import integer, listed, number, of, percent, plural, share_interval, spoken

FELL = 0.9  # a training loss that ends above that share of its start has hardly moved
FAMILIES = {"mlp": "fully connected", "conv": "convolutional", "recurrent": "recurrent", "transformer": "transformer"}
KINDS = {"mlp": "fully connected networks", "conv": "convolutional networks", "recurrent": "recurrent networks",
         "transformer": "transformers"}  # fmt: skip
ALWAYS = ("depth", "width", "activation", "initializer", "normalization", "skip", "loss", "clipping", "regularization",
          "precision", "optimizer", "learning_rate", "batch_size", "steps")  # fmt: skip
DATA = (str(Tensor.INPUT), str(Tensor.TARGET))  # with which a network may go on to finite losses
KINDS_OF_EVENT = {str(EventKind.NAN): "NaN", str(EventKind.INFINITY): "infinity"}
SHOWN = {
    Symptom.VANISHING: "Gradients vanish", Symptom.EXPLODING: "Gradients explode",
    Symptom.COLLAPSED: "Activations collapse", Symptom.DEAD: "Units are dead", Symptom.SATURATED: "Units saturate",
    Symptom.SLOW: "Updates are too small for the weights", Symptom.FAST: "Updates are too large for the weights",
    Symptom.UNSCALED: "Weights are too small or too large",
}  # fmt: skip


def own_page(frames: Frames, own: Tables, facts: Mapping[str, Any], run_id: str, home: str = "") -> Page:
    """The page of a run that `bench.Recorder` recorded.

    Args:
        frames: the folder's results.
        own: the run's rows of each table, with every column.
        facts: what the recorder kept beside the tables.
        run_id: its name.
        home: where the report is, as a link from this page; "" if this is it.
    """
    run = frames.plain.set_index("run_id", drop=False).loc[run_id]
    outcome, seen = explained(run, own, facts, frames.signs.all())
    run = pd.Series({**run, "outcome": outcome})
    sections = (
        _verdict(run, own, seen), _try(run, seen), _data(facts), course(own, run),
        gradients(own) if layered(frames.plain[frames.plain["run_id"] == run_id]).all() else None, heads(own),
        _layers(own), _unseen(frames.manifest.unseen.get(run_id, {})), _settings(run), _others(frames, run_id),
        numbers_of(frames, run, run_id),
    )  # fmt: skip
    return Page(
        suite=frames.manifest.suite,
        title=frames.manifest.heading,
        question=frames.manifest.question.strip() or "What do this network's gradients do as it trains?",
        remarks=(),
        sections=tuple(each for each in sections if each is not None),
        headline=headline(run, own, seen),
        home=home,
    )


def headline(run: pd.Series, own: Tables, seen: Sequence[Seen]) -> str:
    """What became of it, in one sentence that its rows carry."""
    if run["status"] == RunStatus.DIVERGED:
        events = own["divergence_events"]
        first = events[events["step"] == int(run["steps_completed"])]
        what = (
            f"{KINDS_OF_EVENT.get(str(first['kind'].iloc[0]), 'a fault')} in the {first['tensor'].iloc[0]}"
            if len(first)
            else "left numbers"
        )
        cause = f". First sign: {_ended(str(seen[0]))}" if seen else "."
        if len(first) and str(first["tensor"].iloc[0]) in DATA:
            step = integer(int(run["steps_completed"]))
            return f"{what[:1].upper()}{what[1:]} at step {step}, and nothing is recorded after it{cause}"
        return f"Training diverged at step {integer(int(run['steps_completed']))}: {what}{cause}"
    start, end = str(run["symptom_start"]), str(run["symptom_end"])
    became = _became(run) or _loss(own)
    ended = f" Training stopped early: {run['error']}." if run["status"] == RunStatus.FAILED else ""
    if seen and seen[0].rule is None:
        return f"{became[:1].upper()}{became[1:]}; first sign: {seen[0].cause}.{ended}"
    if start in SHOWN:
        still = "and still do at the end" if start == end else f"and are {end} at the end" if end else ""
        return f"{SHOWN[Symptom(start)]} at the first step{_by(run)}, {still}; {became}.{ended}"
    if end in SHOWN:
        return f"{SHOWN[Symptom(end)]} at the last recorded step, not at the first; {became}.{ended}"
    if seen:
        return f"No symptom from layer to layer; first sign: {seen[0].cause}; {became}.{ended}"
    return f"Nothing that these rules look for was seen in its gradients; {became}.{ended}"


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _became(run: pd.Series) -> str:
    """Whether it learned, with its score beside the best constant answer's; "" where that is not known."""
    words = {Outcome.LEARNED: "it learned", Outcome.NOT_LEARNED: "it did not learn"}
    if str(run["outcome"]) not in map(str, words):
        return ""
    accuracy, loss = run["final_validation_accuracy"], run["final_validation_loss"]
    if pd.isna(loss):
        score = f"training loss {number(run['final_train_loss'])}, the best constant answer has"
        return f"{words[Outcome(str(run['outcome']))]} its training rows ({score} {number(run['naive_loss'])})"
    if pd.notna(accuracy) and pd.notna(run["chance_accuracy"]):
        score = f"validation accuracy {number(accuracy)}, the best constant answer has {number(run['chance_accuracy'])}"
    else:
        score = f"validation loss {number(loss)}, the best constant answer has {number(run['naive_loss'])}"
    by_values = pd.isna(run["chance_accuracy"]) and run["outcome"] == Outcome.NOT_LEARNED
    if by_values and loss < FELL * run["naive_loss"]:  # of noisy values no more may be to be had
        return f"it learned less than half ({score})"
    return f"{words[Outcome(str(run['outcome']))]} ({score})"


def _by(run: pd.Series) -> str:
    ratio = run["signal_ratio_start"]
    return f", by {number(abs(float(ratio)))} decades over the layers" if np.isfinite(ratio) else ""


def _loss(own: Tables) -> str:
    losses = own["loss_curves"].sort_values("step")["loss"].dropna()
    losses = losses[np.isfinite(losses)]
    if len(losses) < 2:
        return "too few losses were recorded to say whether it fell"
    first, last = float(losses.iloc[0]), float(losses.iloc[-max(1, len(losses) // 10) :].mean())
    moved = "hardly moved" if first > 0.0 and FELL * first < last <= first else "rose" if last > first else "went"
    return f"the training loss {moved} from {number(first)} to {number(last)}"


def _verdict(run: pd.Series, own: Tables, seen: Sequence[Seen]) -> Section:
    """The first sign with its evidence, the others, and how it ended."""
    facts = [
        ("status", spoken(str(run["status"]))),
        ("steps", f"{of(int(run['steps_completed']), int(run['steps']))} completed"),
        ("steps recorded", integer(own["gradient_norms"]["step"].nunique())),
        ("parameters", integer(int(run["parameter_count"]))),
        *([("outcome", _became(run))] if _became(run) else []),
        ("gradients at the first recorded step", str(run["symptom_start"])),
        ("gradients at the last recorded step", str(run["symptom_end"])),
    ]
    scores = own["evaluations"]
    for split in ("train", "validation"):
        rows = scores[scores["split"] == split].sort_values("step")
        if len(rows):
            last = rows.iloc[-1]
            said = [f"loss {number(last['loss'])}"] if pd.notna(last["loss"]) else []
            said += [f"accuracy {number(last['accuracy'])}"] if pd.notna(last["accuracy"]) else []
            facts.append((f"last {split} scores", ", ".join(said) or "none"))
    if not seen:
        lead = Sentence("No rule on causes holds in what was recorded.", "docs/rules.md#causes")
    else:
        lead = Sentence(
            f"First sign: {_ended(str(seen[0]))}",
            "By what model, loss, optimizer and data say of each other; docs/rules.md#your-own-network."
            if seen[0].rule is None
            else "The first of the rules on causes that holds (docs/rules.md#causes), by step and layer.",
        )
    rest = tuple(Sentence(_ended(f"{each.cause.capitalize()}: {each.evident}")) for each in seen[1:])
    missing = "best constant answer is known" if pd.isna(run["naive_loss"]) else "validation score was recorded"
    asked = (
        ""
        if _became(run) or run["status"] != RunStatus.COMPLETED
        else f"Whether it learned is not judged: no {missing}."
    )
    blocks = blocks_of(
        Lead(lead),
        Text("Other signs, in their order:") if rest else None,
        Sentences(rest) if rest else None,
        Table("How it ended", (), tuple(facts), note=asked),
    )
    return Section("what", "What was seen", "Seen", blocks)


def _data(facts: Mapping[str, Any]) -> Section | None:
    """What is odd about the data that it was trained on."""
    looked = facts.get("data")
    if not isinstance(looked, Mapping) or not (looked.get("rows") or looked.get("findings")):
        return None
    rows, every, found = int(looked["rows"]), looked.get("of"), looked.get("findings", ())
    part = f"{of(rows, int(every))} training rows" if every else f"the first {plural(rows, 'row')} that were trained on"
    lead = Sentence(
        f"{plural(len(found), 'thing')} to look at first." if found else "Nothing odd about the data.",
        f"Of {part}, the model and its loss; docs/rules.md, Data and Your own network.",
    )
    sentences = tuple(Sentence(f"{each['found']} {each['remedy']}") for each in found)
    return Section("data", "The data", "Data", blocks_of(Lead(lead), Sentences(sentences) if sentences else None))


def symptom_of(run: pd.Series) -> str:
    """For what the reference is asked: a pathology at the first step, or how it was lost; "" for none."""
    start = str(run["symptom_start"])
    if start in map(str, LOSSES):
        return start
    return str(run["outcome"]) if str(run["outcome"]) in (Outcome.DIVERGED, Outcome.NOT_LEARNED) else ""


def family_of(run: pd.Series) -> str:
    """Whose reference results are asked: the family that its layers are of."""
    if str(run["architecture"]) in FAMILIES:
        return str(run["architecture"])
    if (run["heads"] or 0) > 0:
        return "transformer"
    if str(run["cell"]) not in ("none", ""):
        return "recurrent"
    return "conv" if (run["kernel_size"] or 0) > 0 else "mlp"


def _try(run: pd.Series, seen: Sequence[Seen]) -> Section | None:
    """What rescued networks like it in the reference, and what is known to help against the signs."""
    helps = known_to_help(seen)
    if seen and seen[0].rule is None:
        rest = "What else was seen may follow from it: mend this first."
        return Section("try", "What to try", "Try", (Lead(Sentence(helps[0])), Text(rest)))
    symptom, family = symptom_of(run), family_of(run)
    blocks: list[Block] = []
    if symptom:
        references = {name: reference.read(name) for name in reference.ADVISING}
        own = {
            name: level_label(run[name]) for name in FACTORS if run[name] not in (OWN, MIXED) and pd.notna(run[name])
        }
        found = advice({name: each.runs for name, each in references.items()}, symptom, family, int(run["depth"]), own)
        blocks += _counted(found, symptom, family, references) if found is not None else [Text(
            f"No shipped reference result has {KINDS[family]} with this symptom that did not learn: nothing was "
            "counted for them, and no other family's counts are carried over."
        )]  # fmt: skip
    blocks += [Text(f"Known to help {each}.") for each in helps]
    return Section("try", "What to try", "Try", tuple(blocks)) if blocks else None


def _counted(found: Advice, symptom: str, family: str, references: dict[str, reference.Reference]) -> list[Block]:
    like = listed(
        [FAMILIES[family], *([f"{spoken(found.activation)}"] if found.activation else []),
         f"{listed([integer(each) for each in found.depths])} layers"]
    )  # fmt: skip
    made = listed(sorted({f"Keras {references[name].versions.get('keras', '?')}" for name in found.suites}))
    basis = (
        f"Runs of {listed(found.suites)} ({made}) with this symptom that did not learn ({like}), each beside the run "
        f"that differs in {'one level, or two' if len(found.of_two) else 'this one level'}; docs/rules.md, What to try."
    )
    of_one, of_two = found.rows, found.of_two
    if of_one.empty and of_two.empty:
        text = f"Of {plural(found.runs, 'reference run')} with this symptom no change of one level surely rescued any."
        return [Lead(Sentence(text, basis))]
    changes = [row for _, row in [*of_two.iterrows(), *of_one.iterrows()]]
    best = changes[0]
    lead = f"In networks like it, {_change(best)} made {of(int(best['rescued']), int(best['pairs']))} learn"
    lead += f" that had {spoken(symptom)} gradients and did not." if symptom in ("vanishing", "exploding") else "."
    if len(of_two):
        lead += " No change of one level made half of them learn"
        surest = [of(int(row["rescued"]), int(row["pairs"])) for _, row in of_one.head(1).iterrows()]
        lead += f": the surest rescued {surest[0]}." if surest else "."
    rows = tuple(
        (
            _change(row), of(int(row["rescued"]), int(row["pairs"])), percent(int(row["rescued"]), int(row["pairs"])),
            share_interval(float(row["rate_lower"]), float(row["rate_upper"])), integer(int(row["diverged"])),
            f"× {number(row['cost'], 2)}" if np.isfinite(row["cost"]) else number(np.nan),
        )
        for row in changes
    )  # fmt: skip
    columns = ("change to", "learned", "share", "95 % interval", "diverged", "time per step")
    left = f"{plural(found.without, 'other change')} of one level rescued none." if found.without else ""
    untimed = [name for name in found.suites if not references[name].timed]
    return [
        Lead(Sentence(lead, basis)),
        Table("Changes that rescued networks like it", columns, rows, (1, 2, 3, 4, 5), left),
        *([Text(f"No times were kept of {listed(untimed)}: that machine had other work.", "note")] if untimed else []),
        Text("Measured on those networks and their data, not on yours.", "note"),
    ]


def _change(row: pd.Series) -> str:
    """The level or the two levels that a row changes to, in words."""
    named = [("factor", "level"), SECOND] if row.get(SECOND[0]) else [("factor", "level")]
    return " with ".join(_level(str(row[factor]), str(row[level])) for factor, level in named)


def _level(factor: str, level: str) -> str:
    words = level_words(factor, level)
    named = spoken(factor) in words or words.startswith("rate ") or factor in ("normalization", "skip", "cell")
    return words if named else f"{spoken(factor)} {words}"


def _layers(own: Tables) -> Section | None:
    """Each layer at the first and the last recorded step."""
    norms = own["gradient_norms"].sort_values(["step", "layer_index"], kind="stable")
    if norms.empty:
        return None
    active = own["activations"]
    ends = list(dict.fromkeys([norms["step"].min(), norms["step"].max()]))
    tables: list[Block] = []
    for step in ends:
        rows = norms[norms["step"] == step]
        seen = active[active["step"] == step].set_index("layer_index")
        tables.append(Table(
            f"Layers at step {integer(int(step))}",
            ("layer", "gradient of the pre-activations", "of the weights", "update over weights", "std of activations",
             "saturated", "dead"),
            tuple(_layer(row, seen) for _, row in rows.iterrows()), (1, 2, 3, 4, 5, 6),
            "norms over the batch; nearest the input first",
        ))  # fmt: skip
    last = norms[norms["step"] == ends[-1]]
    still = last[(last["weight_norm"] > 0) & (last["update_norm"] / last["weight_norm"] < 1e-6)]["layer_name"]
    text = (
        f"{plural(norms['layer_index'].nunique(), 'layer')} were recorded at {plural(norms['step'].nunique(), 'step')}"
    )
    text += f"; at the last one {of(len(still), len(last))} hardly moved (update under a millionth of the weights)."
    return Section("layers", "Layer by layer", "Layers", (Lead(Sentence(text)), Fold("Show the layers", tuple(tables))))


def _layer(row: pd.Series, seen: pd.DataFrame) -> tuple[str, ...]:
    there = seen.loc[row["layer_index"]] if row["layer_index"] in seen.index else None
    moved = row["update_norm"] / row["weight_norm"] if row["weight_norm"] else np.nan
    shares = [number(there[name]) if there is not None else number(np.nan) for name in
              ("std", "saturated_fraction", "dead_fraction")]  # fmt: skip
    return (
        str(row["layer_name"]), number(row["preactivation_grad_norm"]), number(row["weight_grad_norm"]), number(moved),
        *shares,
    )  # fmt: skip


def _unseen(unseen: Mapping[str, str]) -> Section | None:
    """What of the network no recorded step saw, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for what, why in unseen.items():
        by_reason.setdefault(why, []).append(what)
    if not by_reason:
        return None
    rows = tuple((listed(names), why) for why, names in by_reason.items())
    lead = Sentence(
        f"{plural(len(unseen), 'part')} of the network {'was' if len(unseen) == 1 else 'were'} not seen, or not whole.",
        "Each with its reason; `manifest.json` has them all.",
    )
    return Section("unseen", "What was not seen", "Unseen", (Lead(lead), Table("Not seen", ("what", "why"), rows)))


def _settings(run: pd.Series) -> Section:
    """What was read of the model, the optimizer and the loss."""
    levels = {
        name: level_label(run[name]) for name in FACTORS if name not in ("dataset", "architecture", "preprocessing")
    }
    rows = [
        (spoken(name), level)
        for name, level in levels.items()
        if name in ALWAYS or level != level_label(default_level(FACTORS[name], ["mlp"]))
    ]
    lead = "As the model, its optimizer and its loss say; `own` has no word here, `mixed` differs between layers."
    table = Table("Settings", (), tuple(rows))
    return Section("settings", "Settings", "Settings", (Lead(Sentence(lead)), table))


def _others(frames: Frames, run_id: str) -> Section | None:
    """The other runs that were recorded into the folder."""
    others = frames.plain[frames.plain["run_id"] != run_id]
    if others.empty:
        return None
    rows = tuple(
        (
            str(run["run_id"]), str(run["status"]), of(int(run["steps_completed"]), int(run["steps"])),
            str(run["symptom_start"]), str(run["symptom_end"]), number(run["final_train_loss"]),
            number(run["final_validation_loss"]),
        )
        for _, run in others.iterrows()
    )  # fmt: skip
    columns = ("run", "status", "steps", "first step", "last step", "training loss", "validation loss")
    table = Table("Other runs in this folder", columns, rows, (2, 5, 6), "`bench report FOLDER --run RUN` shows one")
    text = f"{plural(len(others), 'other run')} were recorded into this folder; this page shows the last."
    return Section("others", "Other runs", "Others", (Lead(Sentence(text)), table))
