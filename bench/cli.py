"""The command line. Each command imports what it needs when it is called: no command but training loads TensorFlow.

A mistake of the user's is one message and an exit code (EXIT_CODES), never a traceback.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BenchError, RunsFailed, SuiteError, printable

EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault of gradtrial's own; 2 something to mend in the suite, the data, the folder or the "
    "command line, named in a message; 3 done, but some runs failed, or some claim came out as --fail-on names; 130 "
    "interrupted. A run that diverges is a result, not a failure."
)

app = typer.Typer(
    help="Which remedy for vanishing and exploding gradients helps where, on the Keras of today.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SuiteArg = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or a suite's name: see bench list.")]
ResultsArg = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder, such as reports/default.")]
PluginsOption = Annotated[bool, typer.Option("--no-plugins", help="Refuse a suite that names code as module:name.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Worker processes; 0: one a core, or one beside a GPU.")]

ONLY_HELP = "Run only the cells that fit, e.g. 'depth>=16 and activation==\"tanh\"'; the folder keeps the rest."
TIMEOUT_HELP = "Stop a cohort that takes longer. Default: 30 times its estimated cost, and no less than 600."
EXECUTOR_HELP = "Where cohorts run: local, or ray (extra `ray`; docs/cluster.md)."
ADDRESS_HELP = "Of a Ray cluster: auto on one of its nodes, or host:port. Default: Ray on this machine."
MEMORY_HELP = "What Ray reserves for a cohort, such as 2GB. Default: by its estimated need."
FAIL_ON_HELP = "End with exit code 3 if a claim is refuted or inconclusive; may be given twice."
MAP_HELP = "Draw where networks train: over weight and bias variance, or with --initializer over depth and gain."
FIGURES_HELP = "Also write each figure of the page there as SVG, PNG and CSV; files of the same names are replaced."
CELL_PANEL = "A recurrent layer, by lag"
CELL_HELP = "simple, lstm or gru: predict its gradient by lag."
VARIANCE_HELP = "Of the input's part of the pre-activations."
OF_CELLS = ("cell", "lag", "input_variance", "constant_input", "recurrent_initializer", "gate_bias", "length")
OF_BOTH = ("activation", "width", "out")
PAGE_HELP = "Where --html writes to. Default: runs/RUN.html in RESULTS."
JSON_HELP = "One JSON object a line on standard output instead of the bar."


def find_suite(given: str) -> Path:
    """The file that a suite argument means; `bench.suite.load` is imported when a command asks."""
    from bench.suite.load import find_suite

    return find_suite(given)


def _print_versions(wanted: bool) -> None:
    if wanted:
        from bench.environment import versions

        found = versions()
        print(", ".join(f"{name} {found[name]}" for name in ("gradtrial", "keras", "tensorflow")))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions and end.")
    ] = False,
) -> None:
    """Which remedy for vanishing and exploding gradients helps where, on the Keras of today."""


@app.command()
def run(  # noqa: PLR0913 (one parameter an option)
    suite: SuiteArg,
    out: Annotated[Path | None, typer.Option(help="Results folder. Default: reports/<suite>.")] = None,
    workers: WorkersOption = 0,
    dry: Annotated[bool, typer.Option("--dry", help="Numbers by formula, without TensorFlow.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train everything again.")] = False,
    only: Annotated[str, typer.Option(metavar="EXPR", help=ONLY_HELP)] = "",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try runs again that failed.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0.001, metavar="SECONDS", help=TIMEOUT_HELP)] = None,
    json_progress: Annotated[bool, typer.Option("--json-progress", help=JSON_HELP)] = False,
    executor: Annotated[str, typer.Option(help=EXECUTOR_HELP)] = "local",
    address: Annotated[str | None, typer.Option(help=ADDRESS_HELP)] = None,
    cpus: Annotated[float | None, typer.Option(min=0.01, help="CPUs for each cohort on Ray; 1 if not given.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0.0, help="GPUs for each cohort on Ray, or a part of one.")] = None,
    memory: Annotated[str | None, typer.Option(help=MEMORY_HELP)] = None,
    report: Annotated[bool, typer.Option(help="Write the report at the end.")] = True,
    no_plugins: PluginsOption = False,
) -> None:
    """Train what a suite plans and the results folder does not hold yet, then write the report."""
    from bench.commands.executor import Where
    from bench.commands.run import Options, run_suite
    from bench.suite import load_suite

    loaded = load_suite(find_suite(suite), plugins=not no_plugins)
    folder = out or Path("reports") / loaded.name
    command = shlex.join(["bench", *sys.argv[1:]])
    failure: RunsFailed | None = None
    try:
        where = Where(executor, address, cpus, gpus, memory, workers)
        run_suite(loaded, Options(folder, where, dry, fresh, only, retry_failed, timeout, json_progress, command))
    except KeyboardInterrupt:
        kept = f"What has ended is kept in {folder}; the same command goes on from there."
        nothing = f"Nothing had ended, and {folder} holds no results."
        print(f"Stopped. {kept if any(folder.glob('tables/*/*.parquet')) else nothing}", file=sys.stderr)
        raise typer.Exit(130) from None
    except RunsFailed as error:
        failure = error
    if report:
        write_report(folder, as_json=json_progress)
    if failure:
        raise failure


@app.command()
def report(
    results: ResultsArg,
    dump: Annotated[bool, typer.Option("--dump", help="Print the page's data as JSON instead.")] = False,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help=FIGURES_HELP)] = None,
) -> None:
    """Write index.html from the tables of a results folder."""
    if dump and figures:
        raise SuiteError("--dump and --figures: give one of them.")
    write_report(results, dump=dump, figures=figures)


def write_report(folder: Path, *, dump: bool = False, as_json: bool = False, figures: Path | None = None) -> None:
    """Write a results folder's report and print where it is, `as_json` for machines.

    Raises:
        ResultsError: the disk is full or the folder cannot be written to.
    """
    from bench.report import dump_report, write_report

    if dump:
        print(json.dumps(dump_report(folder), indent=2))
        return
    path = write_report(folder, figures)
    print(json.dumps({"event": "report", "path": str(path)}) if as_json else path)


@app.command()
def merge(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders of one suite.")],
    out: Annotated[Path, typer.Option(help="The folder to make; it must be new or empty.")],
) -> None:
    """Join results folders that several machines made of one suite; `bench report` then shows them as one."""
    from bench.commands.merge import merge

    merge(results, out, shlex.join(["bench", *sys.argv[1:]]))


@app.command()
def claims(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders.")],
    suite: Annotated[str | None, typer.Option(help="Judge by this suite's claims instead.")] = None,
    fail_on: Annotated[list[str] | None, typer.Option(metavar="VERDICT", help=FAIL_ON_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown document.")] = False,
) -> None:
    """Judge a suite's claims by its results: supported, refuted or inconclusive, each with its effect and interval."""
    from bench.commands.claims import show_claims

    if as_json and markdown:
        raise SuiteError("--json and --markdown: give one of them.")
    show_claims(
        results,
        find_suite(suite) if suite else None,
        fail_on or [],
        "json" if as_json else "markdown" if markdown else "table",
    )


@app.command()
def check(
    suite: SuiteArg,
    build: Annotated[bool, typer.Option("--build", help="Also build each structure and train one step.")] = False,
    no_plugins: PluginsOption = False,
) -> None:
    """Say whether a suite can run."""
    from bench.commands.check import check_suite

    check_suite(find_suite(suite), build=build, plugins=not no_plugins)


@app.command()
def plan(
    suite: SuiteArg,
    workers: WorkersOption = 0,
    every: Annotated[bool, typer.Option("--all", help="List every cohort.")] = False,
) -> None:
    """Say what a suite would run, how long and how much, without training."""
    from bench.commands.plan import show_plan

    show_plan(find_suite(suite), workers, every=every)


@app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; suites/NAME.toml is written.")]) -> None:
    """Write a commented suite that runs as it is."""
    from bench.commands.new import new_suite

    print(new_suite(name))


@app.command("list")
def list_(what: Annotated[str | None, typer.Argument(metavar="[FACTOR]", help="A factor.")] = None) -> None:
    """List suites and factors, or a factor's levels."""
    from bench.commands.listing import list_all

    list_all(what)


@app.command()
def schema(
    tables: Annotated[bool, typer.Option("--tables", help="What the tables hold instead, in Markdown.")] = False,
) -> None:
    """Print the JSON Schema of suite files."""
    if tables:
        from bench.commands.listing import tables_page

        print(tables_page(), end="")
    else:
        from bench.suite import suite_schema

        print(json.dumps(suite_schema(), indent=2))


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(metavar="[DATASET]...", help="Default: all.")] = None,
) -> None:
    """Fetch datasets ahead and say where they are."""
    from bench.commands.data import fetch

    fetch(names or [])


@app.command()
def show(
    results: ResultsArg,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run, or its start.")],
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help=PAGE_HELP)] = None,
    html: Annotated[bool, typer.Option("--html", help="Write it as a page instead.")] = False,
) -> None:
    """Show one run: its cell, outcome, events and curves."""
    if html:
        from bench.report import write_run

        print(write_run(results, run_id, path))
    elif path is not None:
        raise SuiteError(f"{path}: only a page has a file; give --html.")
    else:
        from bench.commands.show import show_run

        show_run(results, run_id)


@app.command()
def theory(  # noqa: PLR0913 (one parameter an option)
    context: typer.Context,
    results: Annotated[
        Path | None, typer.Argument(metavar="[RESULTS]", help="Compare a results folder; without options.")
    ] = None,
    activation: Annotated[str | None, typer.Option(help="As in a suite. Default: relu; with --cell tanh.")] = None,
    initializer: Annotated[str | None, typer.Option(help="E.g. 'random_normal(stddev=0.3)'.")] = None,
    depth: Annotated[int, typer.Option(min=1, max=2000, help="Hidden layers.")] = 32,
    width: Annotated[int, typer.Option(min=2, help="Units in a hidden layer, or of a state.")] = 256,
    normalization: Annotated[str, typer.Option(help="E.g. 'batch_normalization(position=after)'.")] = "none",
    skip: Annotated[str, typer.Option(help="E.g. 'residual(layers=1)'.")] = "none",
    bias_initializer: Annotated[str, typer.Option(help="How biases are drawn.")] = "zeros",
    batch_size: Annotated[int, typer.Option(min=2, help="Samples in a batch.")] = 64,
    inputs: Annotated[int | None, typer.Option(min=1, help="Features of a sample. Default: the width.")] = None,
    input_mean_square: Annotated[float, typer.Option(min=1e-12, help="Of the inputs' features.")] = 1.0,
    map_: Annotated[bool, typer.Option("--map", help=MAP_HELP)] = False,
    cell: Annotated[str | None, typer.Option(help=CELL_HELP, rich_help_panel=CELL_PANEL)] = None,
    lag: Annotated[int, typer.Option(min=1, max=1000, help="Steps back.", rich_help_panel=CELL_PANEL)] = 40,
    input_variance: Annotated[float, typer.Option(min=0.0, help=VARIANCE_HELP, rich_help_panel=CELL_PANEL)] = 0.01,
    constant_input: Annotated[
        bool, typer.Option("--constant-input", help="The same input at every step.", rich_help_panel=CELL_PANEL)
    ] = False,
    recurrent_initializer: Annotated[
        str | None, typer.Option(help="E.g. 'orthogonal(gain=1.5)', identity.", rich_help_panel=CELL_PANEL)
    ] = None,
    gate_bias: Annotated[
        str | None, typer.Option(help="E.g. unit_forget, 'chrono(t_max=100)'.", rich_help_panel=CELL_PANEL)
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Steps from h = 0 on. Default: many.", rich_help_panel=CELL_PANEL),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The picture: .png, .svg or .pdf. Default: in reports/theory/.")
    ] = None,
) -> None:
    """Predict a network's gradients before training, from its levels alone; or hold RESULTS against the prediction.

    With --cell: a recurrent layer's gradient by lag.
    """
    from bench.commands.theory import Question, show_agreement, show_map, show_theory

    if results is not None:
        _refuse_options(context)
        show_agreement(results)
        return
    _refuse_mixture(context, recurrent=cell is not None)
    if cell is not None:
        from bench.commands.theory_lags import LagQuestion, show_lags

        levels = {
            "cell": cell, "activation": activation or "tanh", "width": width, "gate_bias": gate_bias,
            "recurrent_initializer": recurrent_initializer or "orthogonal",
        }  # fmt: skip
        show_lags(LagQuestion(levels, lag, input_variance, constant_input, length, out))
        return

    levels = {
        "activation": activation or "relu", "initializer": initializer or "glorot_uniform",
        "normalization": normalization, "skip": skip, "bias_initializer": bias_initializer, "depth": depth,
        "width": width, "batch_size": batch_size,
    }  # fmt: skip
    given = {name: level for name, level in levels.items() if level != "none"}
    question = Question(given, input_mean_square, inputs=inputs, out=out, named=initializer is not None)
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


def _refuse_mixture(context: typer.Context, *, recurrent: bool) -> None:
    """Some options describe a stack of layers, others a recurrent cell.

    Raises:
        SuiteError: options of the other kind were given.
    """
    other = set(context.params) - {*OF_CELLS, *OF_BOTH} if recurrent else {*OF_CELLS}
    if not (wrong := [name for name in _given(context) if name in other]):
        return
    if recurrent:
        known = _spelt([*(name for name in OF_CELLS if name != "cell"), *OF_BOTH])
        raise SuiteError(f"{_spelt(wrong)}: describes dense layers. With --cell go {known}.")
    raise SuiteError(f"{_spelt(wrong)}: describes a recurrent cell. Add --cell simple, --cell lstm or --cell gru.")


def main() -> None:
    """Run the command line; a mistake of the user's is one message and an exit code."""
    sys.exit(guarded(app))


def guarded(command: Callable[[], object]) -> int:
    """Call a command and turn a BenchError into its message on standard error and its exit code."""
    try:
        command()
    except BenchError as error:
        print("\n".join(map(printable, f"error: {error}".splitlines())), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    main()
