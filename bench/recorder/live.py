"""The few lines that a recorder writes to the terminal while a model trains: each at most once, ten at most."""

from __future__ import annotations

import sys

MOST = 10


class Voice:
    """Writes to stderr; `live=False` keeps all but what could not be recorded."""

    def __init__(self, *, live: bool) -> None:
        self.live = live
        self.said: set[str] = set()

    def say(self, line: str, kind: str = "") -> None:
        """A line, unless one of its kind was said already."""
        if self.live and (kind or line) not in self.said and len(self.said) < MOST:
            self.said.add(kind or line)
            self._write(line)

    def warn(self, line: str) -> None:
        """A line that is said in any case."""
        self._write(line)

    @staticmethod
    def _write(line: str) -> None:
        print(f"gradtrial: {line}", file=sys.stderr, flush=True)
