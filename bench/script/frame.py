"""A run's script as text: the frame that all families share, filled in from templates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.engine.initial import derive_seed
from bench.engine.rounding import APART, NUDGE
from bench.errors import SuiteError
from bench.factors import FACTORS
from bench.script.conv import conv
from bench.script.data import Data, data_of
from bench.script.dense import dense
from bench.script.layout import LONGEST, laid_out, literal
from bench.script.model import Build, Model, Parts, named
from bench.script.names import Names
from bench.script.precision import precision_of
from bench.script.recorded import Recorded
from bench.script.recurrent import recurrent
from bench.script.training import clips_by_unit, dropout_of, loss_of, minimized_of, optimizer_of, rate_of
from bench.script.transformer import transformer

FAMILIES: Mapping[str, Build] = {"mlp": dense, "conv": conv, "recurrent": recurrent, "transformer": transformer}
FLATTENS = ("mlp",)  # families that take samples as vectors
EMBEDS = ("transformer",)  # families that take tokens as they are
DIGITS = 6  # of a recorded loss, as many as the script prints
SHORT = {"tensorflow": "tf", "numpy": "np"}


@dataclass(frozen=True)
class Script:
    """A script, and what lies in the file beside it; nothing where seeds suffice."""

    text: str
    arrays: Mapping[str, np.ndarray]


def script_of(recorded: Recorded) -> Script:
    """The script of a run.

    Raises:
        BenchError: it cannot be written yet, or its data are missing.
    """
    if why := unwritten(recorded):
        raise SuiteError(f"{recorded.run.run_id}: {why}")
    architecture = recorded["architecture"].name
    names = Names()
    data = data_of(recorded, flattens=architecture in FLATTENS, embeds=architecture in EMBEDS)
    model = FAMILIES[architecture](Parts(recorded, data, names))
    optimizer = optimizer_of(recorded, names)
    rate, loss, dropout = rate_of(recorded), loss_of(recorded, data), dropout_of(recorded)
    precision = precision_of(recorded)
    shared = {
        "dropout_seed": dropout[1] if dropout else None, "skips": precision.skips, "half": precision.half,
    }  # fmt: skip

    def shown(template: str, values: Mapping[str, object]) -> str:
        return _templates().get_template(f"{template}.py.j2").render(values).strip("\n")

    pieces = [shown(f"layers/{piece}", dict(model.values) | shared) for piece in model.pieces]
    network = shown(f"models/{model.template}", model.values)
    text = shown("script", {
        "doc": _doc(recorded, model, data),
        "compared": recorded.compared, "first": _first(recorded.compared), "within": recorded.within,
        "diverged": recorded.diverged, "beside": bool(data.arrays), "imports": names.lines,
        "versions": _versions(recorded),
        "steps": recorded.number("steps"), "batch_size": recorded.number("batch_size"), "losses": _losses(recorded),
        "data": shown(f"data/{data.template}", data.values), "flattens": data.flattens,
        "batch_seed": derive_seed(recorded.run.seed, "batches", 0),
        "draws": any("initializers." in part for part in (*pieces, network)),
        "pieces": pieces, "model": network, "rises": rate.rises, "learning_rate": rate.source,
        "optimizer": precision.around(optimizer), "loss": loss,
        "class_weights": list(loss.weights), "clips": clips_by_unit(recorded),
        "inputs": f"keras.ops.one_hot(x, {data.vocabulary})" if data.vocabulary else "x",
        "minimized": minimized_of(recorded, data), "head": model.head, "embeds": bool(data.tokens),
        "scaled": precision.scaled,
        **shared,
    })  # fmt: skip
    return Script(laid_out(text), data.arrays)


@lru_cache(maxsize=1)
def _templates() -> Environment:
    """What reads templates, each once."""
    made = Environment(
        loader=PackageLoader("bench.script"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # it is no page
    )  # fmt: skip
    made.filters["literal"] = literal
    return made


def unwritten(recorded: Recorded) -> str:
    """Why no script of a run can be written, and what is meant; empty where one can."""
    architecture = recorded["architecture"]
    if FACTORS["architecture"].level(architecture.name) is None:
        return f"its network is made by {architecture.label}, which is your own code: call it as you do elsewhere."
    if architecture.name not in FAMILIES:
        known = " and ".join(FAMILIES)
        return f"no script can be written of architecture {architecture.name} yet; of {known} it can."
    return ""


def _doc(recorded: Recorded, model: Model, data: Data) -> str:
    """What the script is, what of, and what its exit code means."""
    told = (
        "clipping", "regularization", "label_smoothing", "class_weight", "dropout", "warmup", "schedule", "z_loss",
        "precision",
    )  # fmt: skip
    more = [
        f"{name.replace('_', ' ')} {named(recorded[name])}"
        for name in told
        if not recorded[name].is_none and recorded[name].value != 0
    ]
    trained = [named(recorded["optimizer"]), f"learning rate {recorded['learning_rate'].value:g}", *more]
    steps = f"{recorded.number('steps')} steps of {recorded.number('batch_size')} samples"
    first, numbers = _first(recorded.compared), recorded["precision"].name
    checked = (
        f"It ends with 1 if a loss of the {first} is off by more than {recorded.within:g} of the recorded one (or of "
        "0.01, where that is more)."
        if first else "None of them is compared."
    )  # fmt: skip
    paragraphs = [
        f'A run of the suite "{recorded.suite}" as plain Keras: {recorded.run.run_id}.',
        f"{model.words}, on {data.words}. {', '.join(trained)}; {steps}.",
        "It trains on the run's own batches, from its own weights, and prints losses beside the recorded ones. "
        + checked,
    ]
    if recorded.diverged:
        paragraphs.append(
            f"The run diverged at step {recorded.diverged} ({recorded.ended}): it is compared up to there."
        )
    if recorded.chaotic is not None and recorded.compared == recorded.chaotic:
        paragraphs.append(
            f"Rounding grows in this run: started {NUDGE[numbers]:.0e} apart, its losses differ by more than "
            f"{APART[numbers]:g} at step {recorded.chaotic}. It is compared up to there."
        )
    width = LONGEST - len('"""')
    return "\n\n".join(
        textwrap.fill(each, width, break_long_words=False, break_on_hyphens=False) for each in paragraphs
    )


def _first(steps: int) -> str:
    """`first 20 steps`; empty of none."""
    return "" if not steps else "first step" if steps == 1 else f"first {steps} steps"


def _versions(recorded: Recorded) -> str:
    pairs = [f"({SHORT.get(name, name)}, {literal(version)})" for name, version in recorded.versions.items()]
    return f"({', '.join(pairs)}{',' if len(pairs) == 1 else ''})" if pairs else ""


def _losses(recorded: Recorded) -> str:
    return "{" + ", ".join(f"{step}: {loss:.{DIGITS}g}" for step, loss in recorded.losses.items()) + "}"
