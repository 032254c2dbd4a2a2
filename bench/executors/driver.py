"""The driver loop: what runs next, and what becomes of a cohort that does not come back.

Retries and deadlines are the driver's own, whatever executor stands behind `submit(target, argument, timeout)`. A
cohort that does not come back is split in halves until the run that ends it stands alone and is given up. A half trains
in the shape of the whole (bench.executors.tables), so that its numbers are those of the undisturbed cohort to the
bit; but where memory ran out the halves are smaller cohorts, and their last bits may differ.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from bench.executors.child import Answer, Status
from bench.executors.tables import drop_substitutes, with_substitutes
from bench.plan import GRAPH_FACTORS, Cohort, estimate_seconds

RAISED = re.compile(
    r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)\b"
)  # Keras says its call's arguments below
TIMEOUT_FLOOR = 600.0  # seconds: starting TensorFlow and reading data count too
TIMEOUT_FACTOR = 30.0  # times the estimate, which is right within 1.5 where it was measured
POLL_SECONDS = 0.2
TRIES_OF_LOST = 5  # machines may go away one after the other


class Executor(Protocol):
    """Where cohorts run: so many at a time, at this moment."""

    @property
    def slots(self) -> int:
        """How many."""
        ...

    def submit(
        self,
        target: str,
        argument: object,
        timeout: float | None = None,
        reached: Callable[[int], None] = lambda step: None,
    ) -> Future[Answer]:
        """Call the function `module:name` on one argument, for `timeout` seconds at most.

        Args:
            reached: may be called, from any thread, with STARTED and then with steps that were reached.
        """
        ...


class ContextExecutor(Executor, AbstractContextManager["ContextExecutor"], Protocol):
    """One that holds processes: leaving it ends them."""


@dataclass(frozen=True)
class Outcome:
    """Some runs of a planned cohort (all of them, if nothing went wrong), and what became of them for good."""

    cohort: Cohort
    answer: Answer
    shape: Cohort | None = None  # the cohort in whose shape they were trained, if it is another


@dataclass(frozen=True)
class Incident:
    """A cohort, or a part of one, that did not come back, and what is done about it."""

    cohort: Cohort
    answer: Answer
    measure: str  # "tried again", "split", "made smaller" or "given up"

    @property
    def reason(self) -> str:
        """One line on what happened."""
        lines = str(self.answer.value).strip().splitlines() or [""]
        if not lines[0].startswith("Traceback"):
            return lines[0]
        return next((line for line in reversed(lines) if RAISED.match(line)), lines[-1])


@dataclass
class Part:
    """Runs of one planned cohort that are to run together, in the slots that they have in `shape`."""

    cohort: Cohort
    shape: Cohort
    whole: bool = True  # nothing was split off yet
    tries: int = 0
    taken: float | None = None  # time.monotonic() when a worker took it, as seen by the driver
    began: float | None = None  # the same when TensorFlow was imported there; None: not yet, or the executor is silent
    heard: float | None = None  # the same when `step` was reached
    step: int = 0  # the last that it is known to have reached

    def reached(self, step: int) -> None:
        """Note that it began, or went on."""
        self.heard = time.monotonic()
        if self.began is None:
            self.began = self.heard
        self.step = step

    def again(self) -> Part:
        """The same once more."""
        return Part(self.cohort, self.shape, self.whole, self.tries + 1)


class Driver:
    """Runs cohorts on an executor and hands back what became of them.

    Attributes:
        flying: the parts that were submitted and have not come back.
    """

    def __init__(self, executor: Executor, target: str, timeout: float | None = None) -> None:
        self.executor = executor
        self.target = target
        self.timeout = timeout  # seconds; None: by each part's estimated cost
        self.flying: dict[Future[Answer], Part] = {}
        self._queue: deque[Part] = deque()
        self._lost_alone: Counter[tuple[str, str]] = Counter()
        self._hopeless: set[object] = set()

    def events(
        self,
        cohorts: Sequence[Cohort],
        planned: Mapping[str, Cohort] | None = None,
        stop: Callable[[], bool] = lambda: False,
        look: Callable[[], None] = lambda: None,
    ) -> Iterator[Outcome | Incident]:
        """Each outcome as it comes, and each incident before its consequences; in the order given, splits first.

        Args:
            planned: the cohort that each key stands for, where `cohorts` hold some of its runs.
            stop: when it says so nothing more is submitted, and what has not come back by then is left.
            look: called several times a second, whether anything came back or not.
        """
        planned = planned or {cohort.key: cohort for cohort in cohorts}
        for cohort in cohorts:
            alone = cohort.each_alone()
            shapes = alone if cohort.costs and cohort.costs.alone else (planned[cohort.key],)
            self._queue.extend(map(Part, alone, shapes))
        while (self._queue or self.flying) and not stop():
            self._fill()
            ended, _ = wait(self.flying, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self._note_starts()
            look()
            for future in ended:
                yield from self._judge(self.flying.pop(future), future.result(), planned)
        for future in [future for future in self.flying if future.done()]:
            yield from self._judge(self.flying.pop(future), future.result(), planned)

    @property
    def running(self) -> list[Part]:
        """The parts that a worker has in hand."""
        return [part for future, part in list(self.flying.items()) if future.running()]

    @property
    def waiting(self) -> list[Part]:
        """The others, in the order in which they will be taken."""
        return [part for future, part in list(self.flying.items()) if not future.running()] + list(self._queue)

    def _fill(self) -> None:
        """Keep every slot busy, with as many parts waiting: none idles while the driver writes."""
        while self._queue and len(self.flying) < 2 * self.executor.slots:
            part = self._queue.popleft()
            trained = with_substitutes(part.cohort, part.shape)
            limit = self.timeout if self.timeout is not None else default_timeout(trained)
            self.flying[self.executor.submit(self.target, trained, limit, part.reached)] = part

    def _note_starts(self) -> None:
        for future, part in self.flying.items():
            if part.taken is None and future.running():
                part.taken = time.monotonic()

    def _judge(self, part: Part, answer: Answer, planned: Mapping[str, Cohort]) -> Iterator[Outcome | Incident]:
        if answer.status is Status.OK:
            trained = with_substitutes(part.cohort, part.shape)
            tables = drop_substitutes(answer.value, part.cohort, trained)
            yield Outcome(part.cohort, replace(answer, value=tables), part.shape)
            return
        if answer.status in (Status.REFUSED, Status.UNFIT):
            yield Outcome(part.cohort, answer)
            return
        incident = Incident(part.cohort, answer, "given up")
        again, measure = self._smaller(part, incident)
        if part.tries + 1 < _tries(part, answer.status):
            again, measure = [part.again()], "tried again"
        yield replace(incident, measure=measure)
        self._queue.extendleft(reversed(again))
        if not again:
            self._remember(incident, planned[part.cohort.key])
            yield Outcome(part.cohort, answer)

    def _smaller(self, part: Part, incident: Incident) -> tuple[list[Part], str]:
        """What to run in place of a part that did not come back; nothing where that is hopeless."""
        if incident.answer.status is Status.LOST:
            return [], "given up"
        halves = _halves(part.cohort) if len(part.cohort.runs) > 1 else []
        if incident.answer.status in (Status.MEMORY, Status.KILLED):
            if len(part.cohort.runs) < len(part.shape.runs):
                halves = [part.cohort]  # without the substitutes
            return [Part(half, half, whole=False) for half in halves], "made smaller" if halves else "given up"
        if not halves or (incident.reason, _levels(part.cohort)) in self._hopeless:
            return [], "given up"
        return [Part(half, part.shape, whole=False) for half in halves], "split"

    def _remember(self, incident: Incident, planned: Cohort) -> None:
        """Where each run of a cohort was lost alone for one reason, a cohort like it is not taken apart again."""
        lost = (planned.key, incident.reason)
        self._lost_alone[lost] += len(incident.cohort.runs)
        if self._lost_alone[lost] == len(planned.runs):
            self._hopeless.add((incident.reason, _levels(planned)))


def default_timeout(cohort: Cohort) -> float:
    """Seconds after which a cohort is taken to hang: many times its estimated cost, and never few."""
    return max(TIMEOUT_FLOOR, TIMEOUT_FACTOR * estimate_seconds(cohort))


def _tries(part: Part, status: Status) -> int:
    """How often a part may be tried: a death may be chance, a lost machine is, an exception and a hang are not."""
    if status is Status.LOST:
        return TRIES_OF_LOST
    if status is Status.KILLED:
        return 2
    return 2 if status is Status.CRASHED and (part.whole or len(part.cohort.runs) == 1) else 1


def _halves(cohort: Cohort) -> list[Cohort]:
    middle = (len(cohort.runs) + 1) // 2
    return [replace(cohort, runs=runs) for runs in (cohort.runs[:middle], cohort.runs[middle:])]


def _levels(cohort: Cohort) -> tuple[object, ...]:
    """What tells a cohort's runs apart: equal for cohorts that differ in structure alone."""
    return tuple(
        (run.replicate, *(choice.label for name, choice in run.choices.items() if name not in GRAPH_FACTORS))
        for run in cohort.runs
    )
