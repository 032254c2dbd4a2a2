"""The engine beside a Keras loop, `Model.fit` and a JAX `vmap`, in turn: `python -m benchmarks.speed [--full]`.

A heat is one network for every contestant. They are prepared one after the other, in processes of their own, and then
take turns, a round of each kind of step each, so that whatever else the machine does hits all alike; what is compared
are the times of one round. Rows go to `rows.csv`, facts on the machine to `facts.json`, and a page made of both to
`speed.md`, anew after every heat. Times mean something only on a machine that does nothing else, ratios nearly always.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bench.environment import cores, machine, versions
from benchmarks.case import Case
from benchmarks.end_to_end import cohorts_suite, whole_suite
from benchmarks.process import Processes, environment
from benchmarks.speed_page import page

Row = dict[str, Any]
ONEDNN = ("on", "off")
NORMALIZATIONS = ("none", "batch_normalization")
CELLS = ("simple", "lstm", "gru")
CONV, TRANSFORMER = "conv", "transformer"


@dataclass(frozen=True)
class Contestant:
    """One way to train a case.

    Attributes:
        module: what trains, with the settings that its `prepare` is given.
        form: one of several ways to write the same; the better one counts.
        lone: whether it trains one run of the case only, and not all at once.
        copies: processes at once, each with what one trains.
        worker: whether they are like the workers of `bench run`.
        pinned: whether each process has a core of its own.
        onednn: whether that setting makes a difference.
        everywhere: whether it trains other networks than dense ones too.
    """

    name: str
    module: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    form: str = ""
    lone: bool = False
    copies: int = 1
    worker: bool = False
    pinned: bool = False
    onednn: bool = True
    everywhere: bool = True


ENGINE = Contestant("engine", "benchmarks.cohort_step", copies=cores(), worker=True)  # as `bench run` does it
KERAS = (
    Contestant("Keras loop", "benchmarks.keras_step", lone=True),
    Contestant("fit, jit_compile", "benchmarks.keras_step", {"jit_compile": True}, lone=True, everywhere=False),
    Contestant(
        "fit, steps_per_execution",
        "benchmarks.keras_step",
        {"jit_compile": False, "steps_per_execution": 10},
        lone=True,
        everywhere=False,
    ),
)
JAX = tuple(
    replace(
        Contestant(name, "benchmarks.jax_vmap", {"variant": form}, form, onednn=False),
        copies=copies,
        pinned=copies > 1,
    )
    for name, copies in (("JAX, one process", 1), ("JAX, a process a core", cores()))
    for form in ("unrolled", "scan")
)


@dataclass(frozen=True)
class Heat:
    """Cases and contestants that take turns."""

    name: str
    cases: Sequence[Case]
    contestants: Sequence[Contestant] = (ENGINE,)
    onednn: Sequence[str] = ONEDNN


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: of a heat, of so many `seconds` each.
        depths: of the comparisons, with and without batch normalization.
        cells: of the comparisons of recurrent networks.
        lengths: time steps of the recurrent networks whose first call and growth are measured.
        growth: sizes of one kind.
        minutes: that all heats may take.
        whole: settings of oneDNN under which recurrent suites are trained from end to end.
        suite: one that is, report included.
    """

    rounds: int
    seconds: float
    depths: Sequence[int] = (16, 48, 4)
    cells: Sequence[str] = CELLS
    lengths: Sequence[int] = (50, 200, 1000)
    growth: Mapping[str, Sequence[int]] = field(default_factory=dict)
    minutes: float = float("inf")
    whole: Sequence[str] = ("on",)
    suite: Path | None = None

    def heats(self, contestants: Sequence[Contestant]) -> Iterator[Heat]:
        """The comparisons, then how the engine's cost grows: the sizes of one kind in one heat."""
        everywhere = [each for each in contestants if each.everywhere]
        for cell in self.cells:
            yield Heat("recurrent", [Case.recurrent(cell)], everywhere)
        yield Heat(CONV, [Case.convolutional()], everywhere)
        yield Heat(TRANSFORMER, [Case.transformer()], everywhere)
        if self.lengths:
            yield Heat("deep", [Case.convolutional(50)])
            yield Heat("deep", [Case.transformer(25)])  # of two layers each
        for depth in self.depths:
            for normalization in NORMALIZATIONS:
                yield Heat("steps", [Case(depth=depth, normalization=normalization)], contestants)
        if self.lengths:
            yield Heat("length", [Case.recurrent(cell, each) for cell in self.cells for each in self.lengths])
        for name, sizes in self.growth.items():
            for onednn in ONEDNN:
                yield Heat(name, [replace(Case(), **{name: size}) for size in sizes], onednn=(onednn,))


EFFORTS = {
    "quick": Effort(3, 0.05, (4,), ("gru",), (50,), {"runs": (6, 24)}, whole=()),
    "speed": Effort(
        5, 0.2, lengths=(50, 1000), growth={"width": (16, 256), "runs": (6, 96), "depth": (4, 48)}, minutes=11
    ),
    "full": Effort(
        15,
        0.3,
        growth={
            "width": (16, 32, 64, 128, 256, 512),
            "runs": (6, 12, 24, 48, 96, 192),
            "depth": (4, 8, 16, 32, 64, 128),
        },
        whole=ONEDNN,
        suite=Path("suites/default.toml"),
    ),
}


class Crew:
    """The processes of all heats, as a context; what differs in settings alone shares them."""

    def __init__(self) -> None:
        self.groups: dict[object, Processes] = {}
        self.fresh: list[Processes] = []

    def of(self, contestant: Contestant, onednn: str) -> Processes:
        """A contestant's processes, started if they are not there yet."""
        key = (contestant.module, contestant.copies, contestant.pinned, onednn)
        if key not in self.groups:
            surroundings = environment(onednn, worker=contestant.worker)
            self.groups[key] = Processes(contestant.module, surroundings, contestant.copies, pinned=contestant.pinned)
            self.fresh.append(self.groups[key])
        return self.groups[key]

    def wait(self) -> None:
        """Until all have imported. That one cannot is said when it is asked for more."""
        for group in self.fresh:
            with suppress(RuntimeError):
                group.ask()
        self.fresh.clear()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for group in self.groups.values():
            group.close()


class Entrant:
    """A contestant with one case of a heat."""

    def __init__(self, contestant: Contestant, case: Case, onednn: str, crew: Crew) -> None:
        self.contestant, self.case = contestant, case
        self.processes = crew.of(contestant, onednn)
        self.names = {"contestant": contestant.name, "form": contestant.form, "onednn": onednn} | asdict(case)
        self.name = json.dumps(self.names)
        self.kinds: list[str] = []

    def prepare(self) -> list[Row]:
        """Build and compile; the seconds until the first step was done, and the loss of the first steps."""
        settings = dict(self.contestant.settings)
        found = self.processes.ask(case=asdict(self.case), settings=settings, name=self.name)
        self.kinds = found[0]["kinds"]
        first = max(each["first"] for each in found)
        return [self._row("first", 0, first), self._row("loss", 0, found[0]["loss"])]

    def round(self, number: int, seconds: float) -> list[Row]:
        """What each kind of step took: milliseconds a run, all copies together; products in GFLOP/s; and the memory."""
        rows, runs = [], 1 if self.contestant.lone else self.case.runs
        for kind in self.kinds:
            found = self.processes.ask(kind=kind, seconds=seconds, name=self.name)
            steps_a_second = sum(1 / each["seconds"] for each in found)
            products = 1e-9 * self.case.product_flops * steps_a_second
            rows.append(self._row(kind, number, products if kind == "products" else 1e3 / steps_a_second / runs))
        return [*rows, self._row("peak", number, max(each["peak"] for each in found) / 2**20)]

    def _row(self, kind: str, number: int, value: float) -> Row:
        return self.names | {"kind": kind, "round": number, "value": value}


def race(heat: Heat, crew: Crew, effort: Effort, left_out: list[str]) -> list[Row]:
    """One heat's rows. Who fails is left out from there on, and that is noted; a first round is for warming up."""
    entrants = [
        Entrant(contestant, case, onednn, crew)
        for case in heat.cases
        for contestant in heat.contestants
        for onednn in (heat.onednn if contestant.onednn else ("",))
    ]

    def attempt(entrant: Entrant, action: Callable[[], list[Row]]) -> list[Row]:
        try:
            return action()
        except RuntimeError as error:
            entrants.remove(entrant)
            names = f"{entrant.contestant.name} {entrant.contestant.form}".strip()
            left_out.append(f"{_title(heat)}, {names}: {_reason(error)}")
            return []

    crew.wait()
    rows = [row for entrant in list(entrants) for row in attempt(entrant, entrant.prepare)]
    for number in range(effort.rounds + 1):
        for entrant in entrants[:: 1 if number % 2 else -1]:
            found = attempt(entrant, partial(entrant.round, number, effort.seconds))
            rows += found if number else []
    for processes in {entrant.processes for entrant in entrants}:
        processes.ask(forget=True)
    return [{"heat": heat.name} | row for row in rows]


def measure_all(effort: Effort, contestants: Sequence[Contestant], out: Path, left_out: list[str]) -> None:
    """Every heat, then whole suites; what is known so far is written after each."""
    rows: list[Row] = []
    began, longest = time.monotonic(), dict.fromkeys((True, False), 0.0)  # of comparisons, and of the engine alone
    facts = {"machine": machine(), "versions": versions(), "effort": asdict(effort), "left_out": left_out}
    with Crew() as crew:
        for heat in effort.heats(contestants):
            started, alone = time.monotonic(), len(heat.contestants) == 1
            if started - began + longest[alone] > 60 * effort.minutes:
                left_out.append(f"{_title(heat)}: the {effort.minutes:g} minutes are over")
                continue
            _say(f"{_title(heat)} ({(started - began) / 60:.1f} min so far)")
            rows += race(heat, crew, effort, left_out)
            longest[alone] = max(longest[alone], time.monotonic() - started)
            write(pd.DataFrame(rows), facts, out)
    for cell in (*effort.cells, CONV, TRANSFORMER) if effort.whole else ():
        for onednn in effort.whole:
            _say(f"two cohorts of {cell} from end to end, oneDNN {onednn}")
            rows += cohorts_suite(cell, onednn)
        write(pd.DataFrame(rows), facts, out)
    for onednn in ONEDNN if effort.suite else ():
        _say(f"{effort.suite} from end to end, oneDNN {onednn}")
        rows += whole_suite(effort.suite, onednn)
        write(pd.DataFrame(rows), facts, out)
    write(pd.DataFrame(rows), facts, out)  # once more: what was left out at last


def write(rows: pd.DataFrame, facts: Mapping[str, Any], out: Path) -> None:
    """Rows, facts and the page made of them."""
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "rows.csv", index=False)
    (out / "facts.json").write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
    (out / "speed.md").write_text(page(rows, facts), encoding="utf-8")


def _reason(error: RuntimeError) -> str:
    """The last line of what a process printed that names an error, or else the last."""
    lines = str(error).strip().splitlines() or ["it died without a word"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])


def read(path: Path) -> pd.DataFrame:
    """The rows that `write` wrote: empty words are words, empty numbers are none."""
    numbers = {name: [""] for name in ("depth", "width", "runs", "batch", "length")}
    return pd.read_csv(path, keep_default_na=False, na_values=numbers)


def _title(heat: Heat) -> str:
    case = heat.cases[0]
    if heat.name == "length":
        return "growth with length"
    if case.cell == CONV:
        return f"{case.depth} convolutions"
    if case.cell == TRANSFORMER:
        return f"{case.depth} blocks of a transformer"
    if case.cell:
        return f"{case.cell}, {case.length} steps"
    if len(heat.cases) > 1:
        return f"growth with {heat.name}, oneDNN {heat.onednn[0]}"
    return f"depth {case.depth}, {case.normalization.replace('_', ' ')}"


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, write, and print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--effort", choices=EFFORTS, default="speed", help="quick is to see that it works")
    parser.add_argument("--out", type=Path, default=Path("reports/speed"), help="a folder; default reports/speed")
    parser.add_argument("--page", action="store_true", help="only write the page anew from the rows that are there")
    arguments = parser.parse_args()
    rows, facts = (arguments.out / name for name in ("rows.csv", "facts.json"))
    if arguments.page:
        write(read(rows), json.loads(facts.read_text(encoding="utf-8")), arguments.out)
    else:
        contestants, left_out = [ENGINE, *KERAS], []
        if importlib.util.find_spec("jax"):
            contestants += JAX
        else:
            left_out.append("JAX is not installed: the extra `jax` brings it")
        measure_all(EFFORTS[arguments.effort], contestants, arguments.out, left_out)
    print((arguments.out / "speed.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
