"""What the executor's tests have children do."""

import os
import signal
import sys
import time

from bench.errors import SuiteError


def double(number: int) -> int:
    return 2 * number


def fail(_: object) -> None:
    raise RuntimeError("planted")


def refuse(_: object) -> None:
    raise SuiteError("mend your suite")


def die(_: object) -> None:
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def leave(_: object) -> None:
    os._exit(3)


def chatter(number: int) -> int:
    print("noise on standard output")
    return number


def tensorflow_is_loaded(_: object) -> bool:
    return "tensorflow" in sys.modules


def process(_: object) -> int:
    time.sleep(0.2)
    return os.getpid()


def threads(_: object) -> str:
    return os.environ["TF_NUM_INTRAOP_THREADS"]
