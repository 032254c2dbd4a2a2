"""Cohorts on this machine: a few child processes with one thread each.

One thread a worker makes a run's numbers independent of how many workers there are, and two workers of one thread
train faster than one of two: small matrix products do not share well (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from queue import SimpleQueue

from bench.environment import cores, worker_settings
from bench.executors.child import Answer, Child
from bench.executors.driver import Outcome
from bench.plan import Cohort

TENSORFLOW_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "OPENBLAS_NUM_THREADS": "1",  # of NumPy's decompositions: two threads in each worker wait for one another
}


def default_workers() -> int:
    """One worker a core that this process may use; one alone where there is a GPU to share."""
    if Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != "-1":
        return 1
    return cores()


class LocalExecutor:
    """Trains cohorts in child processes, as a context: leaving it ends them."""

    def __init__(self, workers: int) -> None:
        self.children = [Child(TENSORFLOW_ENVIRONMENT | worker_settings()) for _ in range(workers)]
        self.idle: SimpleQueue[Child] = SimpleQueue()
        for child in self.children:
            self.idle.put(child)
        self.slots = workers
        self.threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for child in self.children:
            child.close()

    def submit(
        self,
        target: str,
        argument: object,
        timeout: float | None = None,
        reached: Callable[[int], None] = lambda step: None,
    ) -> Future[Answer]:
        """Call the function `module:name` on one argument once a worker is free, for `timeout` seconds at most."""
        return self.threads.submit(self._call, target, argument, timeout, reached)

    def _call(self, target: str, argument: object, timeout: float | None, reached: Callable[[int], None]) -> Answer:
        child = self.idle.get()
        try:
            return child.call(target, argument, timeout, reached)
        finally:
            self.idle.put(child)


def run_cohorts(executor: LocalExecutor, target: str, cohorts: Sequence[Cohort]) -> Iterator[Outcome]:
    """Each cohort's outcome as it ends, tried once and not taken apart."""
    pending = {executor.submit(target, cohort): cohort for cohort in cohorts}
    while pending:
        ended, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in ended:
            yield Outcome(pending.pop(future), future.result())
