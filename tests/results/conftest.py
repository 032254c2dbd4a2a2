"""Pages share what takes long to compute, as those of tests/report do."""

from tests.report.conftest import drawn_once, predicted_once

__all__ = ["drawn_once", "predicted_once"]
