"""Pages share what takes long to compute."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from bench.report.blocks import Panel, Scale
from bench.report.charts import CHARTS, Drawing
from bench.theory import profile


@pytest.fixture(autouse=True, scope="session")
def predicted_once() -> Iterator[None]:
    """A network that several pages have is predicted once."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.analysis.mean_field.profile", cache(profile))
        yield


@pytest.fixture(autouse=True, scope="session")
def drawn_once() -> Iterator[None]:
    """Of pages that differ in one table, the charts of the others are the same."""
    drawings: dict[bytes, Drawing] = {}

    def once(kind: str, draw: Callable[[Panel, Scale], Drawing]) -> Callable[[Panel, Scale], Drawing]:
        def drawn(panel: Panel, scale: Scale) -> Drawing:
            key = pickle.dumps((kind, panel, scale))
            if key not in drawings:
                drawings[key] = draw(panel, scale)
            return drawings[key]

        return drawn

    with pytest.MonkeyPatch.context() as context:
        context.setattr(
            sys.modules["bench.report.render"], "CHARTS", {kind: once(kind, draw) for kind, draw in CHARTS.items()}
        )
        yield
