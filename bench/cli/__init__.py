"""The command line. Each command imports what it needs when it is called: no command but training loads TensorFlow.

A mistake of the user's is one message and an exit code (EXIT_CODES), never a traceback.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.theory import theory
from bench.errors import BenchError, RunsFailed, SuiteError, printable

EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault of gradtrial's own; 2 something to mend in the suite, the data, the folder or the "
    "command line, named in a message; 3 done, but some runs failed, or a claim or comparison came out as --fail-on "
    "names; 130 "
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
BASE_HELP = "Results to compare with, such as reports/default; or reference: those that ship."
MARGIN_HELP = "How small a difference is none, such as accuracy=0.01; may be given several times."
FAIL_ON_CHANGE = "End with exit code 3 if the verdict is worse, or inconclusive; may be given twice."
FIGURES_HELP = "Also write each figure of the page there as SVG, PNG and CSV; files of the same names are replaced."
PAGE_HELP = "Where --html writes to. Default: runs/RUN.html in RESULTS."
MODEL_HELP = "Makes the compiled model, where Keras could not save it."
STEP_HELP = "Of a loop of your own: returns what watch was given, step, model and optimizer."
REPORT_HELP = "A results folder to show; may be given several times. Default: all in reports/."
DOCS_HELP = "A folder of Markdown to show, with README.md beside it. Default: gradtrial's, of a checkout."
WITHOUT_HELP = "Leave out reports, docs or reference; may be given several times."
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
def replay(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where bench.Recorder recorded.")],
    run: Annotated[str, typer.Option(metavar="RUN", help="Which, if several were stopped there.")] = "",
    model: Annotated[str, typer.Option(metavar="MODULE:FUNCTION", help=MODEL_HELP)] = "",
    step: Annotated[str, typer.Option(metavar="MODULE:FUNCTION", help=STEP_HELP)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print every tensor as JSON.")] = False,
) -> None:
    """Make a training step again that a Recorder stopped, and say which tensor was the first not to be finite."""
    from bench.commands.replay import show_replay

    show_replay(folder, run, model, step, as_json)


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
def compare(  # noqa: PLR0913 (one parameter an option)
    base: Annotated[Path, typer.Argument(metavar="BASE", help=BASE_HELP)],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="The results that may differ.")],
    margin: Annotated[list[str] | None, typer.Option(metavar="NUMBER=SIZE", help=MARGIN_HELP)] = None,
    fail_on: Annotated[list[str] | None, typer.Option(metavar="VERDICT", help=FAIL_ON_CHANGE)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Also write it as a page, such as change.html.")
    ] = None,
) -> None:
    """Say whether two results of one suite differ: worse, better, same or inconclusive, and where."""
    from bench.commands.compare import refuse, show_comparison

    if as_json and markdown:
        raise SuiteError("--json and --markdown: give one of them.")
    form: Literal["table", "json", "markdown"] = "json" if as_json else "markdown" if markdown else "table"
    refuse(show_comparison(base, candidate, margin or [], fail_on or [], form, out), fail_on or [])


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
    target: Annotated[str, typer.Option(help="The column to predict, of a CSV or Parquet file.")] = "",
) -> None:
    """Fetch datasets ahead, say where they are, and what is in them."""
    from bench.commands.data import fetch

    fetch(names or [], target)


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
def script(
    results: ResultsArg,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run, or its start.")],
    out: Annotated[Path, typer.Option(help="The script; nothing that is there is replaced.")] = Path("run.py"),
) -> None:
    """Write one run as a plain Keras script that trains it again and compares its losses."""
    from bench.commands.script import script

    script(results, run_id, out)


@app.command()
def site(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder: new, empty, or made by this.")],
    report: Annotated[list[Path] | None, typer.Option(metavar="RESULTS", help=REPORT_HELP)] = None,
    docs: Annotated[Path | None, typer.Option(metavar="FOLDER", help=DOCS_HELP)] = None,
    without: Annotated[list[str] | None, typer.Option(metavar="PART", help=WITHOUT_HELP)] = None,
    title: Annotated[str, typer.Option(help="What heads the first page.")] = "gradtrial",
) -> None:
    """Write reports, docs and reference results as a static site, ready for a pages host."""
    from bench.commands.site import make_site

    make_site(folder, report or [], docs, without or [], title)


app.command()(theory)


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
