"""Errors that are the user's to mend, each with the exit code its command ends with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class BenchError(Exception):
    """Something a user can mend; its message is all that is shown of it."""

    exit_code = 2


class SuiteError(BenchError):
    """A suite file, or a command-line choice about it, that cannot be run."""


@contextmanager
def during(where: str) -> Iterator[None]:
    """Put the place in a suite in front of the message of a `SuiteError`."""
    try:
        yield
    except SuiteError as error:
        raise SuiteError(f"{where} {error}") from None


class DataError(BenchError):
    """A dataset that is missing, unreadable or of the wrong shape."""


class ResultsError(BenchError):
    """A results folder that is missing, incomplete or in use."""


class ExecutorError(BenchError):
    """Cohorts cannot be run where the command line says: an engine is missing, or does not answer."""


class RunsFailed(BenchError):  # noqa: N818 (named for what happened, as the exit code is)
    """The suite ended, but some runs raised: their rows say `failed`."""

    exit_code = 3


def printable(text: str) -> str:
    """The text with everything escaped that is not to be seen: a name from a file must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def nearest(got: object, known: Iterable[object]) -> str:
    """A sentence that offers the nearest known name, or the only one with that part, then lists them all."""
    names = [str(name) for name in known]
    spelt, word = {name.lower(): name for name in names}, str(got).lower()
    whole = [name for name in spelt if f"_{word}_" in f"_{name}_"]  # float16 of mixed_float16
    close = whole if len(whole) == 1 else get_close_matches(word, spelt, n=1)
    guess = f'Did you mean "{spelt[close[0]]}"? ' if close else ""
    return f"{guess}Known: {', '.join(names)}."
