"""`bench theory`: what it prints, what it draws, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.cli import app, guarded
from bench.commands.theory import Question, show_agreement, show_map, show_theory
from bench.commands.theory_lags import LagQuestion, show_lags
from bench.errors import BenchError, ResultsError, SuiteError
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


def test_a_recurrent_layer_by_lag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(record=True, width=120)
    out = tmp_path / "lags.svg"
    show_lags(LagQuestion({"cell": "lstm", "width": 64}, input_variance=1e-4, out=out), console)
    text = console.export_text()
    assert "lstm, width 64, input variance 10⁻⁴" in text
    assert " 40  -3.149        -3.215  -3.982   7.1·10⁻⁴\n" in text
    assert "The gate alone forgets over 3.72 steps; with the recurrent kernel at large lags −0.0675 decades" in text
    assert "Horizon: 24 steps" in text
    assert "<svg" in out.read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip().endswith("lags.svg")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (LagQuestion({}, 12, 0.1), "q = 0.295, chi = 0.6888; root of chi 0.8300, −0.0809 decades a step."),
        (LagQuestion({}, 12, 0.1), "necessary for exploding and not sufficient"),
        (LagQuestion({}, 12, 0.1), "Horizon: 25 steps"),
        (LagQuestion({}, 12, 0.0), "Horizon: none; more than 1 % is left at every lag to 1,000."),
        (
            LagQuestion({"recurrent_initializer": "orthogonal(gain=0.5)"}, 12, 0.0),
            "spectral radius 0.5000, −0.3010 decades a step.\nLargest singular value 0.5, steepest slope 1: their "
            "product is under 1, which is sufficient for vanishing",
        ),
        (LagQuestion({"cell": "gru", "gate_bias": "chrono(t_max=9)"}, 5), "forgets over 2 to 9 steps, unit by unit"),
        (
            LagQuestion({"activation": "relu", "recurrent_initializer": "identity"}, 9, length=20),
            "Units pass all or nothing (arcsine law)",
        ),
    ],
)
def test_lines_below_the_table(question: LagQuestion, says: str, tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    show_lags(replace(question, out=tmp_path / "x.png"), console)
    assert says in console.export_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cell", "lstn"], 'Did you mean "lstm"'),
        (["--cell", "lstm", "--depth", "3", "--map"], "--depth, --map: describes dense layers. With --cell go --lag, "),
        (["--lag", "9"], "--lag: describes a recurrent cell. Add --cell simple"),
        (["--cell", "lstm", "--activation", "relu"], "Not predicted: "),
        (["--cell", "lstm", "--length", "10"], "lags to 10"),
    ],
)
def test_mistakes_about_cells(arguments: list[str], says: str) -> None:
    error = CliRunner().invoke(app, ["theory", *arguments]).exception
    assert isinstance(error, BenchError)
    assert says in str(error)


def asked(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    out = tmp_path / "x.svg"
    result = CliRunner().invoke(app, ["theory", *arguments, "--out", str(out)])
    assert result.exception is None, result.exception
    assert "<svg" in out.read_text(encoding="utf-8")
    return result.output + capsys.readouterr().out


CONV, STREAM = ["--architecture", "conv", "--depth", "20"], ["--architecture", "transformer"]


FULL = pytest.mark.full
ASKED = [
    pytest.param(
        [*CONV, "--initializer", "he_normal"],
        "Gradient, first over last layer: −0.388 decades; with circular padding +0.000 decades.\n"
        "Zeros around 8 x 8 positions leave 0.9212 of a square a layer in the limit of depth: −0.0178 decades of",
        id="conv",
    ),
    pytest.param(
        [*CONV, "--positions", "40", "--activation", "tanh", "--padding", "circular"],
        "first over last layer: −0.711 decades.\nCritical point of tanh", marks=FULL, id="conv-sequence",
    ),
    pytest.param(
        [*STREAM, "--block", "pre_norm", "--heads", "4", "--length", "16"],
        "first over last sub-layer: +0.333 decades. Were attention to pass back what it passes forward, "
        "√(q last / q first): +0.396 decades.\nEntropy of even weights over 16 tokens: 2.773; logits", id="transformer",
    ),
    pytest.param(
        [*STREAM, "--block", "post_norm", "--embedding-initializer", "keras_uniform"],
        "Tokens enter with mean square 0.00167 and cosine 0.", marks=FULL, id="transformer-embedded",
    ),
    pytest.param(
        [*STREAM, "--block", "post_norm", "--causal", "yes"], "Causal: numbers are means over tokens", marks=FULL,
        id="transformer-causal",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "says"), ASKED)
def test_convolutions_and_transformers(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in asked(arguments, tmp_path, capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--architecture", "cnv"], 'Did you mean "conv"? Known: mlp, conv, recurrent, transformer'),
        (["--heads", "3"], "--heads: describes a transformer. Add --architecture transformer."),
        ([*CONV, "--heads", "3"], "--heads: describes a transformer. With --architecture conv go --depth, "),
        ([*STREAM, "--heads", "3"], "3 of them cannot share a width of 64: heads share the width, and of 64 so many"),
        ([*STREAM, "--block", "prenorm"], 'Did you mean "pre_norm"'),
        ([*STREAM, "--block", "none"], "transformer needs one; pre_norm is"),
        ([*CONV, "--padding", "valid"], "Known: same, circular"),
        ([*CONV, "--padding", "none"], "conv needs one; same is"),
        ([*CONV, "--positions", "8by8"], "write 8x8 for an image, 40 for a sequence"),
        ([*CONV, "--kernel-size", "9"], "kernel_size can be 8 at most"),
        ([*CONV, "--normalization", "instance_normalization"], "Not predicted: instance_normalization; its statistics"),
    ],
)
def test_mistakes_about_convolutions_and_transformers(arguments: list[str], says: str) -> None:
    error = CliRunner().invoke(app, ["theory", *arguments]).exception
    assert isinstance(error, BenchError)
    assert says in str(error)
