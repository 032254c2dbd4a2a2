"""What a task on another machine does: check the versions there, then feed that worker's private child process.

Nothing here knows the engine that shipped the task; TensorFlow is imported in the child alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.environment import DECIDING, versions
from bench.executors.answers import Answer, Status
from bench.executors.child import Child
from bench.executors.local import TENSORFLOW_ENVIRONMENT


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
    environment = TENSORFLOW_ENVIRONMENT | {"TF_NUM_INTRAOP_THREADS": threads}
    return environment if gpus else environment | {"CUDA_VISIBLE_DEVICES": "-1"}
