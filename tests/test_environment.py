"""What is read of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.environment import processor_ticks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cpu  30 5 15 100 20 0 3 7 9 0\ncpu0 1 1 1 1\n", (60, 180)),
        ("cpu  0 0 0 0 0 0 0 0 0 0\n", None),  # as some containers have it
        ("intr 1 2\n", None),
        ("", None),
    ],
)
def test_ticks_of_processors_are_those_in_use_and_all(
    text: str, found: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.environment.PROCESSORS", tmp_path / "stat")
    assert processor_ticks() is None  # no such file
    (tmp_path / "stat").write_text(text)
    assert processor_ticks() == found
