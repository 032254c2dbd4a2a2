"""`bench theory`: what it prints, what it draws, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.cli import app, guarded
from bench.commands.theory import Question, show_agreement, show_map, show_theory
from bench.errors import ResultsError, SuiteError
from tests.dry_results import SMALL, dry_results
from tests.report.pages import save

PNG = b"\x89PNG"


def shown(question: Question) -> str:
    console = Console(record=True, width=100)
    show_theory(question, console)
    return console.export_text()


def test_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "tanh.png"
    text = shown(Question({"activation": "tanh", "initializer": "he_normal", "depth": 6, "width": 64}, out=out))
    assert "tanh, he_normal, width 64" in text
    assert "Fixed point: q* = 0.618, chi = 1.1055" in text
    assert "sigma_w = 1.00000" in text
    assert len([line for line in text.splitlines() if line.strip()[:1].isdigit() and line.split()[0] in "012345"]) == 6
    assert out.read_bytes()[:4] == PNG
    assert capsys.readouterr().out.strip().endswith(str(out))


def test_the_default_path_is_in_reports_theory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown(Question({"activation": "relu", "initializer": "random_normal(stddev=0.1)", "depth": 3, "width": 16}))
    assert [path.name for path in Path("reports/theory").iterdir()] == ["profile-relu-random_normal-stddev=0.1.png"]


@pytest.mark.parametrize("named", [True, False])
def test_maps(tmp_path: Path, named: bool) -> None:
    out = tmp_path / "map.svg"
    levels = {"activation": "relu", "initializer": "he_normal", "width": 64, "depth": 4}
    show_map(Question(levels, out=out, named=named))
    assert "<svg" in out.read_text(encoding="utf-8")


def test_mistakes_are_named_and_end_with_2(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match='Did you mean "glorot_uniform"'):
        shown(Question({"activation": "tanh", "initializer": "glorot_unifrm", "width": 16}))
    with pytest.raises(ResultsError, match="pictures end in"):
        shown(Question({"activation": "tanh", "depth": 2, "width": 16}, out=tmp_path / "x.gif"))
    result = CliRunner().invoke(app, ["theory", "--activation", "tnh"])
    assert isinstance(result.exception, SuiteError)

    def mistaken() -> None:
        raise result.exception  # type: ignore[misc]

    assert guarded(mistaken) == 2


def test_results_are_held_against_the_prediction(tmp_path: Path) -> None:
    suite = SMALL.replace('["sigmoid", "relu", "tanh"]', '["tanh"]').replace("[2, 12, 40]", "[2, 12]")
    console = Console(record=True, width=120)
    show_agreement(save(dry_results(suite), tmp_path / "out"), console)
    text = console.export_text()
    rows = [line for line in text.splitlines() if " layers, " in line and "tanh" not in line and "/3" in line]
    assert len(rows) == 8
    assert "Coverage of the 95 % bands: " in text
    assert " of 144 layers (" in text
    assert "By normalization" in text
    assert "of 8 settings part" in text
    assert "All 24 runs have a prediction." in text


def test_results_take_no_options_and_must_be_there(tmp_path: Path) -> None:
    given = CliRunner().invoke(app, ["theory", str(tmp_path), "--depth", "3", "--batch-size", "8"])
    assert isinstance(given.exception, SuiteError)
    assert str(given.exception).startswith("--depth, --batch-size: ")
    assert isinstance(CliRunner().invoke(app, ["theory", str(tmp_path)]).exception, ResultsError)
