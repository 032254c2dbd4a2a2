"""Pages share what takes long to compute."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from bench.theory import profile


@pytest.fixture(autouse=True, scope="session")
def predicted_once() -> Iterator[None]:
    """A network that several pages have is predicted once."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.analysis.mean_field.profile", cache(profile))
        yield
