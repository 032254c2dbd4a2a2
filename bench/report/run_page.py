"""The page of one run: what became of it and why, which single change trained, its curves, its settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis import evidence, findings, helping_all
from bench.analysis.events import places, skipped_steps
from bench.analysis.parts import row_unit
from bench.analysis.recurrent import layered, recurrent
from bench.analysis.similar import Became, became, similar
from bench.analysis.tables import Tables
from bench.analysis.through_time import IN_TIME, horizons, lags, top_layer
from bench.analysis.within_layers import HEADS
from bench.factors import FACTORS, OWN, default_level, sublayer_kinds, without_use
from bench.quantities import OF_RUNS
from bench.report.axes import level_label
from bench.report.blocks import (
    Block,
    Code,
    Figure,
    Fold,
    Lead,
    Page,
    Panel,
    Scale,
    Section,
    Sentence,
    Sentences,
    Table,
    Text,
    blocks_of,
)  # fmt: skip
from bench.report.charts.course import EVENT
from bench.report.frames import Frames
from bench.report.headline import level_words
from bench.report.sections.through_time import RULE
from bench.report.sections.time_figures import DEEPEST
from bench.report.sections.time_kinds import within
from bench.schema import EventKind
from bench.text import decades, integer, listed, number, of, plural, spoken

MOST_NAMED = 3  # changes in the first sentence
GONE = {Became.DIVERGED: "diverged", Became.FAILED: "failed with an error", Became.UNMEASURED: "was not measured"}
NORMS = {"preactivation_grad_norm": "Gradient of the pre-activations", "weight_grad_norm": "Gradient of the weights"}
TINY = 1e-12  # a largest logit that is no higher stands there


def run_page(frames: Frames, own: Tables, run_id: str, home: str = "") -> Page:
    """The page of a run.

    Args:
        frames: the results that it is one of.
        own: its rows of each table, with every column.
        run_id: its name.
        home: where the report is, as a link from this page.
    """
    run = frames.recipes.runs.set_index("run_id", drop=False).loc[run_id]
    sections = (
        _what(frames, run, run_id), _similar(frames, run, run_id, home), course(own, run),
        gradients(own) if layered(frames.plain[frames.plain["run_id"] == run_id]).all() else None,
        _along_time(own), heads(own), _settings(frames, run), numbers_of(frames, run, run_id),
    )  # fmt: skip
    return Page(
        suite=frames.manifest.suite,
        title=f"Run {run_id}",
        question=frames.manifest.question.strip(),
        remarks=("These numbers were made by formula, not by training.",) if frames.manifest.dry else (),
        sections=tuple(each for each in sections if each is not None),
        headline=_headline(frames, run, run_id),
        home=home,
    )


def _cause(frames: Frames, run_id: str) -> pd.Series | None:
    found = frames.causes[frames.causes["run_id"] == run_id]
    return None if found.empty else found.iloc[0]


def _headline(frames: Frames, run: pd.Series, run_id: str) -> str:
    end = str(became(pd.DataFrame([run])).iloc[0])
    said = {
        Became.TRAINED: "trained", Became.LEARNED: "learned, but did not train", Became.NOT_LEARNED: "did not learn",
        **GONE,
    }[Became(end)]  # fmt: skip
    cause = _cause(frames, run_id)
    if cause is None:
        return f"This run {said}: {_score(frames, run)} after {plural(int(run['steps_completed']), 'step')}."
    where = f" in {cause['place']}" if cause["place"] else ""
    when = "" if pd.isna(cause["step"]) else f" at step {integer(int(cause['step']))}"
    return f"This run {said}: {cause['cause']}{where}{when}."


def _score(frames: Frames, run: pd.Series) -> str:
    values = bool(run["values"])
    name, bar = ("validation loss", "at most") if values else ("validation accuracy", "at least")
    asked = frames.recipes.bar.get(str(run["dataset"]))
    trains = f" (trains with {bar} {number(asked)})" if asked is not None else ""
    return f"{name} {number(run['score'])}{trains}"


def _what(frames: Frames, run: pd.Series, run_id: str) -> Section:
    """Cause with its evidence, signs on the way, and how it ended."""
    signs = findings(frames.signs.all(), run_id, str(run["outcome"]))
    cause = _cause(frames, run_id)
    said = [Sentence(f"{str(each['cause']).capitalize()}: {evidence(each)}.") for _, each in signs.iterrows()]
    if cause is None:
        first = "It learned, so that no cause is looked for."
    elif signs.empty:
        first = f"Cause: {cause['cause']}."
    else:
        first = f"Cause: {cause['cause']}, {evidence(signs.iloc[0])}."
        said = said[1:]
    basis = "The first of the rules on causes that holds (docs/rules.md#causes), by step and layer."
    values, chance = bool(run["values"]), run["naive_loss" if run["values"] else "chance_accuracy"]
    facts = (
        ("outcome", spoken(str(run["outcome"]))),
        (f"final validation {'loss' if values else 'accuracy'}", number(run["score"])),
        ("of the best constant answer", number(chance)),
        ("steps", f"{of(int(run['steps_completed']), int(run['steps']))} completed"),
        ("parameters", integer(int(run["parameter_count"]))),
        *_symptoms(frames, run, run_id),
    )
    blocks: list[Block | None] = [Lead(Sentence(first, basis if cause is not None else ""))]
    if said:
        blocks += [Text("Other signs, in their order:" if cause is not None else "Signs on the way:"),
                   Sentences(tuple(said))]  # fmt: skip
    helps = helping_all(signs, str(run["activation"])) if cause is not None else ()
    blocks += [Text(f"Known to help {each}.") for each in helps]
    error = run.get("error")
    blocks += [Code(str(error)) if isinstance(error, str) else None, Table("How it ended", (), facts)]
    return Section("what", "What became of it", "What", blocks_of(*blocks))


def _symptoms(frames: Frames, run: pd.Series, run_id: str) -> tuple[tuple[str, str], ...]:
    """What its gradients do: from layer to layer, and along time, each where it has them."""
    own = frames.plain[frames.plain["run_id"] == run_id]
    through = " from layer to layer" if recurrent(own).all() else ""
    found = [
        (f"gradients{through} at initialization", str(run["symptom_start"])),
        (f"gradients{through} at the last recorded step", str(run["symptom_end"])),
    ]
    along = own[IN_TIME].iloc[0] if IN_TIME in own else None
    timed = [("gradient along time at initialization", str(along) if isinstance(along, str) else "no symptom")]
    return (*(found if layered(own).all() else []), *(timed if IN_TIME in own and recurrent(own).all() else []))


def _similar(frames: Frames, run: pd.Series, run_id: str, home: str) -> Section | None:
    found = similar(frames.recipes.runs, frames.varied, run_id, frames.tables["timings"])
    if found.empty:
        return None
    levels = {axis.factor: axis.levels for axis in frames.axes}
    worded = [
        listed([level_words(name, level, levels[name]) for name, level in zip(row.factors, row.levels, strict=True)])
        for row in found.itertuples()
    ]
    trained = [word for word, end in zip(worded, found["became"], strict=True) if end == Became.TRAINED]
    named = listed(trained[:MOST_NAMED]) + (", and more" if len(trained) > MOST_NAMED else "")
    lead = f"Of {plural(len(found), 'run')} that differ by one change, {integer(len(trained))} trained"
    rows = tuple(
        (
            " and ".join(f"{spoken(n)} {level}" for n, level in zip(row.factors, row.levels, strict=True)),
            " and ".join(str(run[name]) for name in row.factors), str(row.became), number(row.score),
            f"× {number(row.cost, 2)}" if np.isfinite(row.cost) else number(np.nan),
        )
        for row in found.itertuples()
    )  # fmt: skip
    table = Table(
        "Similar runs", ("change", "instead of", "became", "validation", "time per step"), rows, (3, 4),
        "the same replicate with one change; optimizer and learning rate count as one",
        tuple(f"{home}#run={each}" for each in found["run_id"]) if home else (),
    )  # fmt: skip
    said = Sentence(f"{lead}{f': with {named}' if trained else ''}.", "From the table runs; see docs/rules.md#recipes.")
    return Section("similar", "What one change does", "Similar runs", (Lead(said), table))


def course(own: Tables, run: pd.Series) -> Section:
    """Loss, accuracy and loss scale by step, with the run's events."""
    batches, looked = own["loss_curves"], own["evaluations"]
    validation = looked[looked["split"] == "validation"]
    events = own["divergence_events"]
    marks = pd.DataFrame({"step": events["step"], "label": _labels(own), "series": EVENT, "value": np.nan})
    skipping = (events["kind"] == EventKind.SKIPPED_STEP).to_numpy(bool)
    skips, marks = marks[skipping], marks[~skipping]  # those are counted, and drawn beside the scale
    last = float(max([*batches["step"], *looked["step"], *events["step"], 1]))
    losses = [
        batches[["step", "loss"]].rename(columns={"loss": "value"}).assign(series="training batch", label=""),
        validation[["step", "loss"]].rename(columns={"loss": "value"}).assign(series="validation", label=""),
    ]
    unit = "loss" if run.get("values", True) else "loss (nat)"
    scale = Scale("step", unit, x_limits=(0.0, last), y_limits=(0.0, 0.0), series=("training batch", "validation"))
    found = [_figure("course-loss", "Loss by step", scale, [*losses, marks], "loss_curves and evaluations")]
    if looked["accuracy"].notna().any():
        rates = looked.rename(columns={"accuracy": "value", "split": "series"})[["step", "value", "series"]]
        scale = Scale("step", "accuracy", x_limits=(0.0, last), y_limits=(-0.02, 1.02), series=("train", "validation"))
        found.append(
            _figure("course-accuracy", "Accuracy by step", scale, [rates.assign(label=""), marks], "evaluations")
        )
    skipped = ""
    scaled = batches.dropna(subset=["loss_scale"]) if "loss_scale" in batches else batches[:0]
    if len(scaled):
        skipped = skipped_steps(scaled)
        rows = scaled.rename(columns={"loss_scale": "value"})[["step", "value"]].assign(series="loss scale", label="")
        scale = Scale("step", "loss scale", x_limits=(0.0, last), y_limits=(0.0, 0.0), series=("loss scale",))
        found.append(
            _figure("course-scale", "Loss scale by step", scale, [rows, skips.assign(label="")], "loss_curves")
        )
    happened = [f"{row.label} at step {integer(int(row.step))}" for row in marks.itertuples()]
    steps = of(int(run["steps_completed"]), int(run["steps"]), "step")
    told = [*happened, *([skipped] if skipped else [])]
    lead = f"It completed {steps}{f': {listed(told)}' if told else ' without an event'}."
    return Section(
        "course", "Loss and events", "Loss", (Lead(Sentence(lead, "From the table divergence_events.")), *found)
    )


def _labels(own: Tables) -> list[str]:
    events = own["divergence_events"]
    where = places(events, own["runs"])
    return [f"{spoken(str(kind))} in the {place}" for kind, place in zip(events["kind"], where, strict=True)]


def _figure(key: str, title: str, scale: Scale, parts: Sequence[pd.DataFrame], tables: str) -> Figure:
    rows = pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True)
    return Figure(
        key, "course", title, scale, (Panel("", rows[["series", "step", "value", "label"]]),), legend_title="split",
        subtitle="A vertical line is an event.", source=f"From the tables {tables}, without thinning.",
    )  # fmt: skip


def gradients(own: Tables) -> Section | None:
    """Norms of both gradients by layer and step; None where none was recorded."""
    norms = own["gradient_norms"]
    norms = norms[norms["layer_name"] != "head"]
    if norms.empty:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = {name: np.log10(norms[name].to_numpy(np.float64, na_value=np.nan)) for name in NORMS}
    finite = np.concatenate([each[np.isfinite(each)] for each in logs.values()])
    low, high = (float(np.floor(finite.min())), float(np.ceil(finite.max()))) if len(finite) else (-1.0, 1.0)
    panels = tuple(
        Panel(
            title, norms[["step", "layer_index"]].assign(median=logs[name], measured=1, lost=0).reset_index(drop=True)
        )
        for name, title in NORMS.items()
    )
    unit = row_unit(own["runs"])
    scale = Scale("step", unit, x_limits=(low, high if high > low else low + 1.0))
    figure = Figure(
        "course-gradients", "heatmap", f"Gradient norm by {unit} and step", scale, panels, columns=2,
        subtitle=f"{unit.capitalize()} 0, nearest the input, is at the bottom; recorded steps at equal distances.",
        source="From the table gradient_norms.",
    )  # fmt: skip
    said = "sub-layer" if unit == "sub-layer" else "hidden layer"
    return Section("gradients", "Gradients", "Gradients", blocks_of(_gradient_lead(norms, said), figure))


def _along_time(own: Tables) -> Section | None:
    """What is left of the gradient by lag and step, in each recurrent layer; None where it was not recorded."""
    rows = lags(own)
    if rows.empty:
        return None
    reach = horizons(top_layer(rows)).sort_values("step")
    said = [
        f"{within(float(row.horizon), int(row.longest))} steps at step {integer(int(row.step))}"
        for row in dict.fromkeys([*reach.head(1).itertuples(index=False), *reach.tail(1).itertuples(index=False)])
    ]
    text = f"Over 1 % of the gradient is left for {' and '.join(said)}."
    lead = Lead(Sentence(text, f"Gradient for the state by lag, over that at lag 0; {RULE}."))
    finite = rows["decades"][np.isfinite(rows["decades"])]
    low, high = float(np.floor(finite.min())), float(np.ceil(finite.max()))
    several = rows["layer_index"].nunique() > 1 or rows["direction"].nunique() > 1
    panels = tuple(
        Panel(
            f"Layer {layer}, {direction}" if several else "",
            part[["step", "lag"]].assign(median=part["decades"], measured=1, lost=0).reset_index(drop=True),
        )
        for (layer, direction), part in rows.groupby(["layer_index", "direction"], sort=True)
    )
    figure = Figure(
        "course-time", "lag_map", "Gradient left by lag and step",
        Scale("step", "lag", x_limits=(max(DEEPEST, min(low, high - 2.0)), high)), panels, columns=2,
        subtitle="Over that at lag 0 of the same step. The loss is at the bottom; steps and lags at equal distances.",
        source="From the table time_gradients.",
    )  # fmt: skip
    return Section("time", "Gradients through time", "Time", (lead, figure))


def heads(own: Tables) -> Section | None:
    """Entropy and largest logit of each head by step; None where they were not recorded."""
    table = own.get(HEADS)
    if table is None or table.empty:
        return None
    rows = table[["step", "layer_index", "head"]].assign(
        entropy=table["entropy_share"], logit=np.log10(table["max_logit"].clip(lower=TINY).to_numpy(np.float64)),
        block=table["layer_index"] // len(sublayer_kinds(str(own["runs"]["sublayers"].iloc[0]))), measured=1, lost=0,
        ended=np.nan,
    )  # fmt: skip
    ends = [rows.loc[rows["step"] == step, "entropy"].min() for step in (rows["step"].min(), rows["step"].max())]
    first, last = (number(float(each), 2) for each in ends)
    text = f"The lowest entropy of a head goes from {first} to {last} of the largest possible."
    finite = rows["logit"][np.isfinite(rows["logit"])]
    low, high = (float(np.floor(finite.min())), float(np.ceil(finite.max()))) if len(finite) else (0.0, 1.0)
    made = (
        ("entropy", "entropy_map", (0.0, 1.0), "Entropy by head and step", "1 is uniform, 0 one key."),
        ("logit", "logit_map", (low, max(high, low + 1.0)), "Largest logit by head and step", "Before mask or cap."),
    )
    figures = [
        Figure(
            f"course-{name}", kind, title, Scale("step", "block", x_limits=limits),
            (Panel("", rows.assign(value=rows[name]).reset_index(drop=True)),), columns=2,
            subtitle=f"{drawn} Heads of a block stand together; recorded steps at equal distances.",
            source="From the table attention.",
        )
        for name, kind, limits, title, drawn in made
    ]  # fmt: skip
    return Section("heads", "Inside attention", "Attention", (Lead(Sentence(text, "Over all sub-layers.")), *figures))


def _gradient_lead(norms: pd.DataFrame, unit: str) -> Lead | None:
    """The signal's norm at the first and last layer, at the first and last step that has both."""
    said = []
    for step in dict.fromkeys([norms["step"].min(), norms["step"].max()]):
        at = norms[norms["step"] == step].sort_values("layer_index")["preactivation_grad_norm"]
        first, last = float(at.iloc[0]), float(at.iloc[-1])
        if np.isfinite(first) and np.isfinite(last) and last > 0.0:
            fell = decades(float(np.log10(first / last))) if first > 0.0 else "−∞"
            said.append(f"{fell} decades at step {integer(int(step))}")
    text = f"From the last {unit} to the first the gradient changes by {' and by '.join(said)}."
    return Lead(Sentence(text, "Norm of the pre-activations' gradient.")) if said else None


def _settings(frames: Frames, run: pd.Series) -> Section:
    """Every factor that the network has a use for, its level, and what the baseline has; those that differ first."""
    rows, plain = [], 0
    baseline, own = frames.recipes.baseline, [run["architecture"]]
    for name, factor in FACTORS.items():
        if name in without_use(own) and name not in frames.varied:
            continue
        level = level_label(run[name])
        free = name in frames.varied and name not in baseline  # what the suite asks about has no baseline
        default = "" if free else baseline.get(name, level_label(default_level(factor, own)))
        differs = bool(default) and level != default
        plain += not differs
        kind = "varied" if name in frames.varied else "fixed"
        rows.append((not differs, (spoken(name), level, default if differs else "" if free else "the same", kind)))
    rows.sort(key=lambda row: row[0])
    changed = [f"{name} {level}" for same, (name, level, *_) in rows if not same]
    lead = f"It differs from the baseline in {listed(changed)}." if changed else "It is the baseline itself."
    table = Table(
        "Settings", ("factor", "level", "baseline", "in this suite"), tuple(row for _, row in rows), (),
        "baseline: of a factor that varies what recipes count from, else the default of a suite",
    )  # fmt: skip
    return Section("settings", "Settings", "Settings", (Lead(Sentence(lead)), table))


def numbers_of(frames: Frames, run: pd.Series, run_id: str) -> Section:
    """Its quantities, what other rule sets say, and where its rows are."""
    verdicts = tuple(
        (rules.title, str(run[f"verdict_{rules.name}"]))
        for rules in frames.choice.sets[1:]
        if f"verdict_{rules.name}" in run
    )
    quantities = tuple(
        (spoken(each.name), number(run[each.name]), "" if each.unit == "1" else each.unit)
        for each in OF_RUNS
        if each.name in run and pd.notna(run[each.name])
    )
    code = (
        f'import pandas as pd\nrun = [("run_id", "==", "{run_id}")]\npd.read_parquet("tables/runs", filters=run)\n'
        'pd.read_parquet("tables/gradient_norms", filters=run)'
    )
    blocks = (
        Fold("Show the numbers", (
            Table("Quantities", ("quantity", "value", "unit"), quantities, (1,)),
            Table("Verdicts of the other rule sets", ("rule set", "verdict"), verdicts),
        )),
        Text("Its rows in the tables:"), Code(code), *_script(frames, run, run_id),
    )  # fmt: skip
    return Section("numbers", "Numbers", "Numbers", blocks)


def _script(frames: Frames, run: pd.Series, run_id: str) -> tuple[Block, ...]:
    """How to write it as a plain Keras script, where one can be: of a run that a suite trained."""
    known = FACTORS["architecture"].level(str(run["architecture"])) is not None
    if frames.manifest.dry or frames.manifest.suite == OWN or isinstance(run.get("error"), str) or not known:
        return ()
    said = "As a plain Keras script, which trains it again and compares its losses (docs/script.md):"
    return Text(said), Code(f"bench script RESULTS {run_id} --out run.py")
