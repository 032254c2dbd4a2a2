"""Ctrl-C: once to stop when what has ended is written, twice to stop at once."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

HEARD = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Listens while it is entered; only the main thread can.

    Attributes:
        asked: whether to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        """Ask to stop; whoever asks again is not kept waiting.

        Raises:
            KeyboardInterrupt: the second time.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("Stopping when what has ended is written; interrupt again to stop at once.", file=sys.stderr, flush=True)
