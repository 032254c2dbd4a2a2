"""Fixtures for tests of results folders."""

from tests.inline import inline, unflushed

__all__ = ["inline", "unflushed"]
