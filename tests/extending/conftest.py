"""A copy of the project for each recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extending.recipes import Copy, copied
from tests.inline import inline, tiny, undisturbed

__all__ = ["inline", "tiny", "undisturbed"]


@pytest.fixture
def project(tmp_path: Path) -> Copy:
    """A copy of the project in a temporary folder."""
    return copied(tmp_path)
