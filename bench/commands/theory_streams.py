"""`bench theory --architecture transformer`: a stream of tokens by sub-layer, as a table and a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.commands.theory import MOST_ROWS, PIPED, in_decades, picture_path
from bench.factors import ATTENTION, FACTORS, default_level
from bench.text import number, plural
from bench.theory import StreamProfile, Tokens, Transformer, condensation, embedded, stream_profile, transformer_of
from bench.theory.transformers import TRANSFORMER

NAMED = ("block", "activation", "initializer", "query_key", "attention_gain", "sublayers", "causal")
ALIKE = 0.95  # mean cosine of two tokens from which the text says so


@dataclass(frozen=True)
class StreamQuestion:
    """What the command line asked of a transformer.

    Attributes:
        levels: factor to label, as `transformer_of` takes them.
        length: tokens of a sequence.
        input_mean_square, input_cosine: of the tokens that the first block reads; where the levels say how tokens are
            embedded, the mean square follows from that, and the cosine is the chance of two equal tokens.
        gradient_cosine: of two tokens' gradients for the last stream.
        out: the picture's file; None: a name of its own under reports/theory/.
    """

    levels: Mapping[str, object]
    length: int = 16
    input_mean_square: float = 1.0
    input_cosine: float = 0.0
    gradient_cosine: float = 0.0
    out: Path | None = None


def show_streams(question: StreamQuestion, console: Console | None = None) -> None:
    """Print the predicted stream by sub-layer, and write and name its picture.

    Raises:
        SuiteError: a level that does not exist, or heads that the width cannot be shared by.
        BenchError: what the theory does not cover: not predicted, and why.
    """
    from bench.commands.theory_layer_charts import draw_streams

    console = console or Console(width=None if sys.stdout.isatty() else PIPED)
    network = transformer_of(question.levels, question.length)
    tokens = _entering(question)
    found = stream_profile(network, tokens.square, tokens.cosine, question.gradient_cosine)
    heading = (
        f"{_title(question.levels)}, {plural(network.depth, 'block')}, width {network.width}, "
        f"{plural(network.heads, 'head')}, {plural(network.length, 'token')}"
    )
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(found, len(network.sublayers)))
    console.print(
        "q: mean square of the stream that leaves, of a block that normalizes the sum before that. cosine: of two "
        "tokens of a sample. branch: mean square of what is added, before any factor. logits: their standard "
        "deviation. entropy: of attention, in nat. gradient: log10 of the norm for that stream over the last's.",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    for line in _lines(network, found, tokens):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    path = picture_path(question.out, ("streams", *(str(question.levels.get(name) or "") for name in NAMED)))
    draw_streams(found, heading, path)
    print(path)


def _entering(question: StreamQuestion) -> Tokens:
    if any(question.levels.get(name) for name in ("embedding_initializer", "position")):
        return embedded(question.levels, question.length, question.input_cosine)
    return Tokens(question.input_mean_square, question.input_cosine * question.input_mean_square)


def _title(levels: Mapping[str, object]) -> str:
    usual = {name: default_level(FACTORS[name], [TRANSFORMER]) for name in NAMED} | {"causal": "no"}
    always, words = ("block", "initializer"), {"causal": "causal", "attention_gain": "gain {}"}
    given = [name for name in NAMED if levels.get(name) is not None]
    given = [name for name in given if name in always or levels[name] != usual[name]]
    return ", ".join(words.get(name, "{}").format(levels[name]) for name in given)


def _table(found: StreamProfile, sublayers: int) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "block", "sub-layer", "q", "cosine", "branch", "logits", "entropy", "gradient"):
        table.add_column(name, justify="left" if name == "sub-layer" else "right", no_wrap=True)
    count = len(found.kinds)
    for at in np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int)):
        attends = found.kinds[at] == ATTENTION
        table.add_row(
            str(at), str(at // sublayers), found.kinds[at].replace("_", "-"), number(found.mean_square[at], 4),
            f"{found.token_cosine[at] + 0.0:.3f}", number(found.branch[at]),
            number(found.logit_deviation[at]) if attends else "", f"{found.entropy[at]:.3f}" if attends else "",
            f"{found.gradient[at] + 0.0:.3f}",
        )  # fmt: skip
    return table


def _lines(network: Transformer, found: StreamProfile, tokens: Tokens) -> list[str]:
    said = [
        f"Tokens enter with mean square {number(tokens.square)} and cosine {number(tokens.cosine)}. Keras's own "
        f"embedding has {number(embedded({}, 1).square)}; --embedding-initializer and --position say how it is drawn.",
        f"Gradient of the stream, first over last sub-layer: {in_decades(found.gradient[0])}.",
    ]
    if network.block == "pre_norm":
        said[-1] += (
            " Were attention to pass back what it passes forward, √(q last / q first): "
            f"{in_decades(found.telescoped[0])}."
        )
    if ATTENTION in network.sublayers:
        keys = network.length
        said.append(
            f"Entropy of even weights over {keys} tokens: {np.log(keys):.3f}; logits of deviation "
            f"{number(condensation(keys))} and over put all weight on one of many keys."
        )
    if network.causal:
        said.append("Causal: numbers are means over tokens, of which the first sees only itself.")
    alike = np.flatnonzero(found.token_cosine > ALIKE)
    if len(alike):
        said.append(f"Tokens become alike: from sub-layer {alike[0]} on their cosine is over {ALIKE:g}.")
    return said
