"""Cohorts on the nodes of a Ray cluster that stands already, or of one that Ray starts on this machine.

Ray places tasks and moves bytes. Whatever can go wrong with a cohort goes wrong in a private child process of the Ray
worker, as on one machine; TensorFlow is imported there alone. Retries and deadlines are the driver's: Ray repeats a
task that ran out of memory without end, and waits without end for a node that froze.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from bench.environment import DECIDING, versions, worker_settings
from bench.errors import ExecutorError
from bench.executors.child import GRACE_SECONDS, SECONDS_TO_START, Answer, Child, Status
from bench.executors.local import TENSORFLOW_ENVIRONMENT, default_workers
from bench.plan import Cohort, estimate_memory

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported: nothing is sent to anybody
try:
    import ray
    from ray import exceptions as faults
except ImportError as error:
    raise ExecutorError("--executor ray needs Ray: pip install 'gradtrial[ray]'.") from error

NODES_SECONDS = 2.0  # between two looks at which nodes are alive
CONNECT_SECONDS = 10.0
LOST_SECONDS = 10.0  # a head that refuses for so long is lost: a busy machine refuses a single connection too
STORE_BYTES = 256 * 2**20  # shared memory of a cluster that is started here: tables are small
POLL_SECONDS = 0.2
SECONDS_TO_LEAVE = 10.0
GRACE = 60.0  # seconds beyond the child's own deadlines, after which its node is taken to be frozen


@dataclass(frozen=True)
class Share:
    """What each cohort is granted. Its memory follows from its size; `memory` (bytes), where given, replaces that."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int | None = None

    def room(self, resources: dict[str, float]) -> int:
        """How many such shares a node with these resources holds by CPUs and GPUs; memory differs by cohort."""
        wanted = {name: amount for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}
        return min(int(resources.get(name, 0.0) / amount) for name, amount in wanted.items())


ONE_CPU = Share()


class Cluster:
    """The cluster that this process joined; one a process.

    Raises:
        ExecutorError: none answers at the address; in `nodes` and `room` also: it was lost.
    """

    def __init__(self, address: str, share: Share, workers: int, plugins: Sequence[Path]) -> None:
        self.share = share
        _connect(address, math.ceil((workers or default_workers()) * share.cpus), plugins)
        self._head = ray.get_runtime_context().gcs_address
        self._nodes: list[dict[str, Any]] = []
        self._looked = -math.inf

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive, as Ray describes them, not older than NODES_SECONDS."""
        if time.monotonic() - self._looked > NODES_SECONDS:
            try:
                _knock(self._head, LOST_SECONDS)
            except ExecutorError as error:  # Ray would end this process, but a minute later and without a word
                raise ExecutorError(
                    f"The Ray cluster was lost: {error} What has ended is kept; the same command goes on from there."
                ) from error
            self._nodes = [node for node in ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def room(self) -> int:
        """How many cohorts all nodes hold at a time."""
        return sum(self.share.room(node["Resources"]) for node in self.nodes())

    def largest(self, resource: str) -> float:
        """The most of a resource (CPU, GPU, memory in bytes) that any node has."""
        return max((node["Resources"].get(resource, 0.0) for node in self.nodes()), default=0.0)

    def grant(self, argument: object) -> dict[str, Any]:
        """The options of a task with this argument: its share, and no more memory than the largest node has."""
        memory = self.share.memory
        if memory is None and isinstance(argument, Cohort):
            memory = int(min(estimate_memory(argument), self.largest("memory")))
        return {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "memory": memory}


def _connect(address: str, cpus: int, plugins: Sequence[Path]) -> None:
    """Join the cluster at an address, or start one here; gradtrial's code and the suite's plugins travel along."""
    if address.startswith("ray://"):
        raise ExecutorError(
            f"--address {address}: Ray Client is not supported. Run bench on a node of the cluster with --address auto."
        )
    _knock(address)
    code = [str(Path(__file__).parent.parent), *map(str, plugins)]
    here = {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    _silence()
    try:
        ray.init(
            **({"address": address} if address else here),
            runtime_env={"py_modules": code, "excludes": ["**/__pycache__"]},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ExecutorError(f"--address {address}: no Ray cluster answers there ({error}).") from error


def _knock(address: str, patience: float = 0.0) -> None:
    """Try whether anything listens at host:port, for `patience` seconds: Ray would try for four minutes."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    until = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            if time.monotonic() >= until:
                raise ExecutorError(f"{address}: nothing listens there ({error}).") from error
        time.sleep(POLL_SECONDS)


def _silence() -> None:
    """Keep Ray from printing what happens to its nodes on standard output, where --json-progress speaks.

    It offers no switch for that. What matters of it reaches the driver as an answer.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


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

    def submit(
        self,
        target: str,
        argument: object,
        timeout: float | None = None,
        reached: Callable[[int], None] = lambda step: None,
    ) -> Future[Answer]:
        """Call the function `module:name` on one argument on some node, for `timeout` seconds at most.

        A node says when it starts and when it ends: nothing is `reached` in between.
        """
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


@dataclass(frozen=True)
class Request:
    """A call of the function `module:name` on one argument, and what is granted to it."""

    target: str
    argument: object
    timeout: float | None  # seconds from the import of the target; None: no limit
    cpus: float
    gpus: float
    versions: Mapping[str, str] = field(default_factory=versions)  # the driver's


_children: dict[tuple[object, ...], Child] = {}  # by environment; this process's own


def answer(request: Request) -> Answer:
    """The child's answer; a refusal where this machine's numbers could not stand beside the driver's."""
    here = versions()
    other = [
        f"{name} {here[name]} instead of {request.versions[name]}"
        for name in DECIDING
        if here[name] != request.versions[name]
    ]
    if other:
        return Answer(Status.UNFIT, f"{os.uname().nodename} has {', '.join(other)}; versions are never mixed.")
    environment = worker_environment(request.cpus, request.gpus)
    granted = os.environ.get("CUDA_VISIBLE_DEVICES", "all")  # a child that was started with other GPUs is no use
    key = (granted, *sorted(environment.items()))
    child = _children.setdefault(key, Child(environment))
    return child.call(request.target, request.argument, request.timeout)


def worker_environment(cpus: float, gpus: float) -> dict[str, str]:
    """The child's environment: as many TensorFlow threads as whole CPUs were granted, and no GPU that was not."""
    threads = str(max(1, int(cpus)))
    environment = TENSORFLOW_ENVIRONMENT | worker_settings() | {"TF_NUM_INTRAOP_THREADS": threads}
    return environment if gpus else environment | {"CUDA_VISIBLE_DEVICES": "-1"}
