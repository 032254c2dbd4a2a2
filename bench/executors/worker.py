"""The private process that imports TensorFlow, answers one request after the other, and may die alone.

Started as `python -m bench.executors.worker`. It reads pickled requests `(target, argument)` from standard input and
answers each with pickled messages on its private output: STARTED once the target is imported, now and then the step
that the target has reached, at last `(status, value, resident bytes)`. What the target prints goes to standard error,
of which the driver keeps the end. It ends at once when the driver's end of the pipe closes: a driver that is killed
leaves nothing behind.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from bench.errors import BenchError
from bench.executors.child import STARTED, Status

SECONDS_BETWEEN_STEPS = 1.0  # that are told to the driver

Request = tuple[str, object]


def serve() -> None:
    """Answer requests until the driver closes its end."""
    faulthandler.enable()  # a segmentation fault says where it was
    # The driver's deadline interrupts first: heard also where a shell in the background had interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a print in a plugin must not end up among the answers
    requests: SimpleQueue[Request] = SimpleQueue()
    Thread(target=_listen, args=(requests,), daemon=True).start()

    def send(message: object) -> None:
        pickle.dump(message, answers)
        answers.flush()

    told = 0.0

    def reached(step: int) -> None:
        nonlocal told
        if step == STARTED or time.monotonic() - told > SECONDS_BETWEEN_STEPS:
            told = time.monotonic()
            send(step)

    while True:
        target, argument = requests.get()
        status, value = answer(target, argument, reached)
        send((status.value, value, resident_bytes()))


def resident_bytes() -> int:
    """Memory that this process holds now; where the system does not say, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _listen(requests: SimpleQueue[Request]) -> None:
    """Hand requests on; when the driver is gone, end this process and what it started, whatever it is doing."""
    # A stream of its own: sys.stdin is locked by who reads it, and the interpreter could not end while it waits.
    asked = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    while True:
        try:
            requests.put(pickle.load(asked))
        except (EOFError, OSError, pickle.UnpicklingError):
            os.killpg(0, signal.SIGKILL)


def answer(target: str, argument: object, reached: Callable[[int], None] = lambda step: None) -> tuple[Status, object]:
    """Call `module:name` on an argument: its value, or what went wrong.

    `reached` is called with STARTED when it is imported, and handed on to a target that takes it.
    """
    try:
        module, _, name = target.partition(":")
        function = getattr(importlib.import_module(module), name)
        reached(STARTED)
        told = {"reached": reached} if "reached" in signature(function).parameters else {}
        return Status.OK, function(argument, **told)
    except BenchError as error:
        return Status.REFUSED, str(error)
    except Exception as error:  # the boundary: the driver decides what a failure means
        kinds = {kind.__name__ for kind in type(error).__mro__}
        status = Status.MEMORY if kinds & {"MemoryError", "ResourceExhaustedError"} else Status.ERROR
        return status, traceback.format_exc()


if __name__ == "__main__":
    serve()
