"""Fixtures for tests of results folders."""

from tests.inline import inline, tiny, undisturbed, unflushed

__all__ = ["inline", "tiny", "undisturbed", "unflushed"]
