"""A Ray cluster to run on: one that stands already, or one that Ray starts on this machine; and what its nodes have."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ExecutorError
from bench.executors.local import default_workers
from bench.plan import Cohort, estimate_memory

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported: nothing is sent to anybody
try:
    import ray
except ImportError as error:
    raise ExecutorError("--executor ray needs Ray: pip install 'gradtrial[ray]'.") from error

NODES_SECONDS = 2.0  # between two looks at which nodes are alive
CONNECT_SECONDS = 10.0
STORE_BYTES = 256 * 2**20  # shared memory of a cluster that is started here: tables are small


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
                _knock(self._head)
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


def _knock(address: str) -> None:
    """Try whether anything listens at host:port: Ray would try for four minutes."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ExecutorError(f"{address}: nothing listens there ({error}).") from error


def _silence() -> None:
    """Keep Ray from printing what happens to its nodes on standard output, where --json-progress speaks.

    It offers no switch for that. What matters of it reaches the driver as an answer.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None
