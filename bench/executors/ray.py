"""Cohorts on the nodes of a Ray cluster, or of one that Ray starts on this machine.

Ray places tasks and moves bytes. Whatever can go wrong with a cohort goes wrong in a private child process of the Ray
worker (bench.executors.remote), as on one machine. Retries and deadlines are the driver's: Ray repeats a task that ran
out of memory without end, and waits without end for a node that froze.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from bench.errors import ExecutorError
from bench.executors.answers import Answer, Status
from bench.executors.child import GRACE_SECONDS, SECONDS_TO_START
from bench.executors.ray_cluster import Cluster, Share
from bench.executors.remote import Request, answer

# After ray_cluster, which says so where Ray is not installed.
import ray  # isort: skip
from ray import exceptions as faults  # isort: skip

ONE_CPU = Share()
POLL_SECONDS = 0.2
SECONDS_TO_LEAVE = 10.0
GRACE = 60.0  # seconds beyond the child's own deadlines, after which its node is taken to be frozen


@dataclass
class Flight:
    """A request on its way: Ray sends the node's id when it starts, then the answer."""

    request: Request
    stream: Any
    future: Future[Answer] = field(default_factory=Future)
    node: str = ""  # empty: it waits
    deadline: float = math.inf  # time.monotonic()


class RayExecutor:
    """Trains cohorts as tasks of a Ray cluster, as a context: leaving it gives up what is on its way.

    Raises:
        ExecutorError: there is no cluster at the address, or none of its nodes has what a cohort is to be granted.
    """

    def __init__(
        self, address: str = "", share: Share = ONE_CPU, workers: int = 0, plugins: Sequence[Path] = ()
    ) -> None:
        self.workers = workers  # cohorts at a time at most; 0: as many as there is room for
        self._cluster = Cluster(address, share, workers, plugins)
        self._task = ray.remote(max_retries=0, num_returns="streaming")(_serve)
        self._flights: list[Flight] = []
        self._lock = Lock()
        self._over = Event()
        self._watcher = Thread(target=self._watch, daemon=True)
        self._known: set[str] = set()
        if not self._cluster.room():
            self.__exit__()
            raise ExecutorError(
                f"No node has {share.cpus:g} CPUs{f' and {share.gpus:g} GPUs' if share.gpus else ''} for a cohort: "
                f"the largest has {self._cluster.largest('CPU'):g} CPUs and {self._cluster.largest('GPU'):g} GPUs."
            )
        self._watcher.start()

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join(SECONDS_TO_LEAVE)  # a call of Ray's after its end would start it again
        with self._lock:
            for flight in self._flights:
                ray.cancel(flight.stream, force=True)
            self._flights.clear()
        ray.shutdown()

    @property
    def slots(self) -> int:
        """Cohorts that the nodes of this moment can train at a time; nodes come and go."""
        room = self._cluster.room()
        return max(1, min(room, self.workers or room))

    def submit(self, target: str, argument: object, timeout: float | None = None) -> Future[Answer]:
        """Call the function `module:name` on one argument on some node, for `timeout` seconds at most."""
        request = Request(target, argument, timeout, self._cluster.share.cpus, self._cluster.share.gpus)
        flight = Flight(request, self._send(request))
        with self._lock:
            self._flights.append(flight)
        return flight.future

    def _send(self, request: Request) -> Any:
        return self._task.options(**self._cluster.grant(request.argument)).remote(request)

    def _watch(self) -> None:
        """Move flights on until the end. An error here reaches the driver through each of them."""
        try:
            while not self._over.wait(POLL_SECONDS / 2):
                self._turn()
        except Exception as error:  # the boundary of this thread
            with self._lock:
                for flight in self._flights:
                    flight.future.set_exception(error)

    def _turn(self) -> None:
        with self._lock:
            flights = {flight.stream: flight for flight in self._flights}
        if not flights:
            return
        ready, _ = ray.wait(list(flights), num_returns=1, timeout=POLL_SECONDS)
        for stream in ready:
            self._read(flights[stream])
        before, self._known = self._known, {node["NodeID"] for node in self._cluster.nodes()}
        for flight in flights.values():
            if flight.future.done():
                continue
            if flight.node and (flight.node not in self._known or time.monotonic() > flight.deadline):
                how = "does not answer" if flight.node in self._known else "is gone"
                ray.cancel(flight.stream, force=True)
                self._end(flight, Answer(Status.LOST, f"the node {flight.node[:8]} {how}"))
            elif not flight.node and before - self._known:
                # It may have been on its way to the node that is gone, and Ray would wait for it there.
                ray.cancel(flight.stream, force=True)
                flight.stream = self._send(flight.request)

    def _read(self, flight: Flight) -> None:
        """The next message of a task that has one."""
        try:
            message = ray.get(next(flight.stream))
        except (faults.RayError, StopIteration) as fault:
            self._end(flight, _fault(fault))
            return
        if isinstance(message, Answer):
            self._end(flight, message)
            return
        flight.node = message
        limit = flight.request.timeout
        if limit is not None:
            flight.deadline = time.monotonic() + SECONDS_TO_START + limit + 3 * GRACE_SECONDS + GRACE
        flight.future.set_running_or_notify_cancel()

    def _end(self, flight: Flight, answer: Answer) -> None:
        with self._lock:
            self._flights.remove(flight)
        if not flight.future.running():
            flight.future.set_running_or_notify_cancel()
        flight.future.set_result(answer)


def _serve(request: Request) -> Iterator[object]:
    """On a node: say where this is, so that the driver knows that it started, then answer."""
    yield ray.get_runtime_context().get_node_id()
    yield answer(request)


def _fault(fault: Exception) -> Answer:
    """What Ray says of a task that did not answer; the child's own faults are answers."""
    said = (str(fault).strip().splitlines() or [type(fault).__name__])[0].partition(". ")[0]
    if isinstance(fault, faults.OutOfMemoryError):
        return Answer(Status.KILLED, f"Ray stopped it, as when memory runs out: {said}")
    if isinstance(fault, (faults.RayTaskError, faults.RuntimeEnvSetupError)):
        return Answer(Status.UNFIT, f"a node cannot run gradtrial: {str(fault).strip().splitlines()[-1]}")
    return Answer(Status.LOST, f"{type(fault).__name__}: {said}")
