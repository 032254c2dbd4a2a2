"""`bench show` says of a run of one's own what its page says: one first sign, the others, and what to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands.show import show_run
from bench.report import dump_report
from tests.recorder.problems import of_networks
from tests.recorder.problems.parts import Problem
from tests.recorder.test_problems import first_sign, recorded


@pytest.mark.parametrize("make", [of_networks.rmse_loss, of_networks.clipped_away], ids=lambda each: each.__name__)
def test_the_first_sign_and_what_to_try_are_the_same(
    make: Callable[[], Problem], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(make, tmp_path)
    capsys.readouterr()
    show_run(tmp_path, "")
    lines = capsys.readouterr().out.splitlines()
    said = [line.partition(": ")[::2] for line in lines]
    (first,) = [words for name, words in said if name == "first sign"]
    others = [words for name, words in said if name == "other sign"]
    sections = {each["id"]: str(each) for each in dump_report(tmp_path)["sections"]}
    assert first.startswith(first_sign(tmp_path)[0])
    assert first.rstrip(".") in sections["what"]
    assert all(each.partition(", ")[2].rstrip(".") in sections["what"] for each in others)
    tried = [line.removeprefix("to try").lstrip(": ") for line in lines if line.startswith("to try")]
    assert tried
    assert all(each in sections["try"] for each in tried)
