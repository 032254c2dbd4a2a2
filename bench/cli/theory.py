"""The command `bench theory`: options that describe a network of one architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import SuiteError, nearest

MAP_HELP = "Draw where networks train: over weight and bias variance, or with --initializer over depth and gain."
SPACE, STREAM, CELL = "A convolutional network", "A transformer, by sub-layer", "A recurrent layer, by lag"
CELL_HELP = "simple, lstm or gru: predict its gradient by lag."
VARIANCE_HELP = "Of the input's part of the pre-activations."
LENGTH_HELP = "Of a cell: steps from h = 0 on, by default many. Of a transformer: tokens, by default 16."
COSINE_HELP = "Mean cosine of two tokens of a sample."
GRADIENT_HELP = "Mean cosine of two tokens' gradients behind the last block."
DEPTHS, WIDTHS = {"transformer": 8}, {"conv": 32, "transformer": 64}  # where others have 32 and 256

# What describes networks of each architecture, beside --architecture and --out; in words how such a one is asked for.
LAYERS = ("depth", "activation", "initializer", "normalization", "skip", "bias_initializer", "inputs",
          "input_mean_square")  # fmt: skip
OPTIONS = {
    "mlp": (*LAYERS, "width", "batch_size", "map_"),
    "conv": (*LAYERS, "width", "kernel_size", "padding", "downsample", "positions"),
    "recurrent": (
        "cell", "lag", "input_variance", "constant_input", "recurrent_initializer", "gate_bias", "length",
        "activation", "width",
    ),
    "transformer": (
        "block", "heads", "feed_forward", "sublayers", "query_key", "attention_gain", "logit_scale", "causal",
        "embedding_initializer", "position", "length", "depth", "width", "activation", "initializer",
        "bias_initializer", "input_mean_square", "input_cosine", "gradient_cosine",
    ),
}  # fmt: skip
DESCRIBED = {
    "mlp": ("dense layers", "Leave --architecture and --cell away"),
    "conv": ("a convolutional network", "Add --architecture conv"),
    "recurrent": ("a recurrent cell", "Add --cell simple, --cell lstm or --cell gru"),
    "transformer": ("a transformer", "Add --architecture transformer"),
}


def _in(panel: str, text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, **more)


def theory(  # noqa: PLR0913 (one parameter an option)
    context: typer.Context,
    results: Annotated[
        Path | None, typer.Argument(metavar="[RESULTS]", help="Compare a results folder; without options.")
    ] = None,
    architecture: Annotated[str, typer.Option(help="mlp, conv, recurrent or transformer.")] = "mlp",
    activation: Annotated[str | None, typer.Option(help="As in a suite. Default: relu; with --cell tanh.")] = None,
    initializer: Annotated[str | None, typer.Option(help="E.g. 'random_normal(stddev=0.3)'.")] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, max=2000, help="Hidden layers, or blocks. Default: 32; 8 of a transformer.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Units of a layer, a state or a token, or filters. Default: 256, 32 of conv, 64 of a transformer.",
        ),
    ] = None,
    normalization: Annotated[str, typer.Option(help="E.g. 'batch_normalization(position=after)'.")] = "none",
    skip: Annotated[str, typer.Option(help="E.g. 'residual(layers=1)'.")] = "none",
    bias_initializer: Annotated[str, typer.Option(help="How biases are drawn.")] = "zeros",
    batch_size: Annotated[int, typer.Option(min=2, help="Samples in a batch.")] = 64,
    inputs: Annotated[
        int | None, typer.Option(min=1, help="Features of a sample, channels of an image. Default: the width.")
    ] = None,
    input_mean_square: Annotated[float, typer.Option(min=1e-12, help="Of the inputs' features.")] = 1.0,
    map_: Annotated[bool, typer.Option("--map", help=MAP_HELP)] = False,
    kernel_size: Annotated[int, _in(SPACE, "Positions along each axis.", min=1, max=99)] = 3,
    padding: Annotated[str, _in(SPACE, "same (zeros) or circular.")] = "same",
    downsample: Annotated[str, _in(SPACE, "E.g. 'stride(every=6)'.")] = "none",
    positions: Annotated[str, _in(SPACE, "Of a sample: 8x8 of an image, 40 of a sequence.")] = "8x8",
    block: Annotated[str, _in(STREAM, "pre_norm, post_norm, deepnorm, 'damped(exponent=1)' ...")] = "pre_norm",
    heads: Annotated[int, _in(STREAM, "Of attention; they share the width.", min=1)] = 4,
    feed_forward: Annotated[int, _in(STREAM, "Hidden units in multiples of the width.", min=1, max=64)] = 4,
    sublayers: Annotated[str, _in(STREAM, "both, attention_only or feed_forward_only.")] = "both",
    query_key: Annotated[str, _in(STREAM, "E.g. layer_normalized.")] = "plain",
    attention_gain: Annotated[float, _in(STREAM, "On query and key kernels.", min=0.0, max=1000.0)] = 1.0,
    logit_scale: Annotated[str, _in(STREAM, "inverse_root or inverse.")] = "inverse_root",
    causal: Annotated[str, _in(STREAM, "yes or no.")] = "no",
    embedding_initializer: Annotated[
        str | None, _in(STREAM, "E.g. keras_uniform. Default: tokens of --input-mean-square.")
    ] = None,
    position: Annotated[str | None, _in(STREAM, "learned, sinusoidal or none, of tokens so embedded.")] = None,
    input_cosine: Annotated[float, _in(STREAM, COSINE_HELP, min=-1.0, max=1.0)] = 0.0,
    gradient_cosine: Annotated[float, _in(STREAM, GRADIENT_HELP, min=-1.0, max=1.0)] = 0.0,
    cell: Annotated[str | None, _in(CELL, CELL_HELP)] = None,
    lag: Annotated[int, _in(CELL, "Steps back.", min=1, max=1000)] = 40,
    input_variance: Annotated[float, _in(CELL, VARIANCE_HELP, min=0.0)] = 0.01,
    constant_input: Annotated[
        bool, typer.Option("--constant-input", help="The same input at every step.", rich_help_panel=CELL)
    ] = False,
    recurrent_initializer: Annotated[str | None, _in(CELL, "E.g. 'orthogonal(gain=1.5)', identity.")] = None,
    gate_bias: Annotated[str | None, _in(CELL, "E.g. unit_forget, 'chrono(t_max=100)'.")] = None,
    length: Annotated[int | None, _in(CELL, LENGTH_HELP, min=1, max=1000)] = None,
    out: Annotated[
        Path | None, typer.Option(help="The picture: .png, .svg or .pdf. Default: in reports/theory/.")
    ] = None,
) -> None:
    """Predict a network's gradients before training, from its levels alone; or hold RESULTS against the prediction.

    With --architecture conv by layer and position, with --architecture transformer by sub-layer, with --cell by lag.
    """
    from bench.commands.theory import Question, show_agreement, show_map, show_theory

    if results is not None:
        _refuse_options(context)
        show_agreement(results)
        return
    kind = "recurrent" if cell is not None and architecture == "mlp" else architecture
    _refuse_mixture(context, kind)
    levels: dict[str, object] = {
        "architecture": kind, "activation": activation or ("tanh" if kind == "recurrent" else "relu"),
        "width": width or WIDTHS.get(kind, 256),
    }  # fmt: skip
    if kind == "recurrent":
        from bench.commands.theory_lags import LagQuestion, show_lags

        levels |= {
            "cell": cell or "simple", "gate_bias": gate_bias,
            "recurrent_initializer": recurrent_initializer or "orthogonal",
        }  # fmt: skip
        show_lags(LagQuestion(levels, lag, input_variance, constant_input, length, out))
        return

    levels |= {"depth": depth or DEPTHS.get(kind, 32), "initializer": initializer or "glorot_uniform"}
    levels |= {"bias_initializer": bias_initializer}
    if kind == "transformer":
        from bench.commands.theory_streams import StreamQuestion, show_streams

        levels |= {
            "block": block, "heads": heads, "feed_forward": feed_forward, "sublayers": sublayers,
            "query_key": query_key, "attention_gain": attention_gain, "logit_scale": logit_scale, "causal": causal,
            "embedding_initializer": embedding_initializer, "position": position,
        }  # fmt: skip
        cosines = (input_cosine, gradient_cosine)
        show_streams(StreamQuestion(levels, length or 16, input_mean_square, *cosines, out))
        return

    levels |= {name: level for name, level in (("normalization", normalization), ("skip", skip)) if level != "none"}
    if kind == "conv":
        from bench.commands.theory_conv import ConvQuestion, show_conv

        levels |= {"kernel_size": kernel_size, "padding": padding, "downsample": downsample}
        show_conv(ConvQuestion(levels, positions, inputs, input_mean_square, out))
        return
    levels |= {"batch_size": batch_size}
    question = Question(levels, input_mean_square, inputs=inputs, out=out, named=initializer is not None)
    show_map(question) if map_ else show_theory(question)


def _given(context: typer.Context) -> list[str]:
    """The options that the command line gave, by their parameters' names."""
    return [
        name
        for name in context.params
        if name != "results" and getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]


def _spelt(names: list[str]) -> str:
    return ", ".join(f"--{name.strip('_').replace('_', '-')}" for name in names)


def _refuse_options(context: typer.Context) -> None:
    """Options describe one network; results bring their own levels.

    Raises:
        SuiteError: an option was given.
    """
    if given := _given(context):
        raise SuiteError(f"{_spelt(given)}: results bring their own levels, so that no option goes with them.")


def _refuse_mixture(context: typer.Context, architecture: str) -> None:
    """Each option describes networks of some architectures alone.

    Raises:
        SuiteError: there is no such architecture, or options of another were given.
    """
    if architecture not in OPTIONS:
        raise SuiteError(f'--architecture: "{architecture}" is none of which theory speaks. '
                         f"{nearest(architecture, list(OPTIONS))}")  # fmt: skip
    given = [name for name in _given(context) if name not in ("architecture", "out")]
    wrong = [name for name in given if name not in OPTIONS[architecture]]
    if not wrong:
        return
    what, how = DESCRIBED[next(other for other, names in OPTIONS.items() if wrong[0] in names)]
    if architecture == "mlp":
        raise SuiteError(f"{_spelt(wrong)}: describes {what}. {how}.")
    asked = "--cell" if architecture == "recurrent" and "cell" in given else f"--architecture {architecture}"
    known = [name for name in OPTIONS[architecture] if name != "cell"]
    raise SuiteError(f"{_spelt(wrong)}: describes {what}. With {asked} go {_spelt([*known, 'out'])}.")
