"""The same rows as a page of benchopt and of gradtrial: `python -m benchmarks.benchopt_report --benchopt PROGRAM`.

benchopt is no dependency: make it an environment of its own (`python -m venv DIR`, then
`DIR/bin/pip install benchopt==1.10.0`) and name its program, `DIR/bin/benchopt`. Equal on both sides: the runs, the
steps at which they were evaluated, and the four numbers of each evaluation; benchopt gets their gap as a fifth metric,
and a time. Not equal: gradtrial's folder also holds each layer's gradient norms at 20 steps and its activations at 6,
and its page shows them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from bench.environment import machine
from benchmarks.benchopt_rows import benchopt_rows, make_results, write_benchmark
from benchmarks.command import BENCH, Spent, markdown, middle, spent


@dataclass(frozen=True)
class Pages:
    """What both programs read, took and wrote."""

    rows: pd.DataFrame  # benchopt's
    table_rows: int  # gradtrial's, of all tables
    spent: dict[str, Spent]
    sizes: dict[str, int]  # of the pages, in bytes


def measure_both(benchopt: Path, repeats: int) -> Pages:
    """Write the rows in both forms and time both programs in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results, benchmark = make_results(folder), folder / "benchmark_rows"
        benchmark.mkdir()
        rows = benchopt_rows(results)
        source = write_benchmark(rows, benchmark)
        commands = {
            "benchopt plot": [str(benchopt), "plot", str(benchmark), "--filename", str(source), "--no-display"],
            "bench report": [*BENCH, "report", str(results)],
        }
        found: dict[str, list[Spent]] = {name: [] for name in commands}
        for repeat in range(repeats):
            for name, command in commands.items():
                print(f"measuring {name} ({repeat + 1} of {repeats})", file=sys.stderr, flush=True)
                found[name].append(spent(command))
        pages = {
            "benchopt plot": source.with_name("rows_rows.html"),
            "bench report": results / "index.html",
        }
        table_rows = sum(pq.read_metadata(path).num_rows for path in (results / "tables").glob("*/*.parquet"))
        return Pages(
            rows,
            table_rows,
            {name: middle(several) for name, several in found.items()},
            {name: page.stat().st_size for name, page in pages.items()},
        )


def summary(pages: Pages) -> str:
    """The table and what was compared."""
    rows = pages.rows
    metrics = [name for name in rows if name.startswith("objective_") and name != "objective_name"]
    counts = [rows[name].nunique() for name in ("solver_name", "dataset_name", "idx_rep", "stop_val")]
    read = {"benchopt plot": f"{len(rows):,} × {len(metrics)}", "bench report": f"{pages.table_rows:,} in all tables"}
    lines = [
        (
            f"`{name}`",
            read[name],
            f"{s.wall:.1f} s",
            f"{s.cpu:.1f} s",
            f"{s.memory / 1e9:.2f} GB",
            _megabytes(pages, name),
        )
        for name, s in pages.spent.items()
    ]
    theirs, ours = (pages.spent[name].cpu for name in ("benchopt plot", "bench report"))
    larger = pages.sizes["benchopt plot"] / pages.sizes["bench report"]
    said = "{:,} configurations × {} data sets × {} replicates × {} steps".format(*counts)
    return "\n\n".join(
        [
            f"{said} = {len(rows):,} rows",
            markdown(("", "rows", "time", "CPU", "memory", "page"), lines),
            f"benchopt takes {theirs / ours:.1f} times the CPU seconds; its page is {larger:.1f} times as large.",
        ]
    )


def _megabytes(pages: Pages, name: str) -> str:
    return f"{pages.sizes[name] / 1e6:.2f} MB"


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.benchopt_report", description=__doc__)
    parser.add_argument("--benchopt", type=Path, required=True, help="the program, in an environment of its own")
    parser.add_argument("--repeats", type=int, default=3, help="pages of each; the median counts; default 3")
    arguments = parser.parse_args()
    pages = measure_both(arguments.benchopt.absolute(), arguments.repeats)
    print(f"{machine()['processor']}, {machine()['cores']} cores\n\n{summary(pages)}")


if __name__ == "__main__":
    main()
