"""Suites altered by the thousand: each can be planned, or ends in one clear message and nothing else."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import app, guarded
from bench.errors import BenchError, DataError, SuiteError
from bench.plan import make_plan
from bench.suite import load_suite, parse_suite
from tests.suite.mutations import SUITES, altered_tables, altered_text, as_toml, examples

MOST_PLANNED = 20_000  # runs; loading has limits of its own
LONGEST_MESSAGE = 3000
HEAD = '[suite]\nname = "s"\nquestion = "q"\nreplicates = 1\n'
FACTORS = "[factors]\ndepth = [2]\n"


def outcome(text: str) -> str:
    """What becomes of a suite's text: the message it ends in, or nothing."""
    try:
        suite = parse_suite(text, Path("s.toml"))
        plan = make_plan(suite) if len(suite.cells) * suite.replicates <= MOST_PLANNED else None
    except (SuiteError, DataError) as error:  # data where there is no such file
        return str(error)
    if plan is not None:
        assert len({run.run_id for run in plan.runs}) == len(plan.runs) == len(suite.cells) * suite.replicates
        assert sum(len(cohort.runs) for cohort in plan.cohorts) == len(plan.runs)
    return ""


def check_message(said: str) -> None:
    assert said == "" or said.startswith("s.toml: ")
    assert len(said) < LONGEST_MESSAGE


@examples(1500)
@given(altered_tables())
def test_a_suite_with_altered_tables_is_planned_or_refused(text: str) -> None:
    check_message(outcome(text))


@examples(700)
@given(altered_text())
def test_a_suite_with_altered_text_is_planned_or_refused(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.toml"
        path.write_bytes(text)
        try:
            load_suite(path)
        except SuiteError as error:
            check_message(str(error).replace(f"{folder}/", ""))


def command(*args: str) -> tuple[int, str]:
    """A command's exit code and what it wrote to standard error."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = guarded(lambda: app(list(args), standalone_mode=False))
    return code, errors.getvalue()


@examples(100)
@given(altered_tables(), st.sampled_from(["plan", "check", "run"]))
def test_a_command_ends_with_0_or_with_one_message_and_2(text: str, name: str) -> None:
    said = outcome(text)
    untried = {"try_levels": lambda *_, **__: [], "findings": lambda *_: []}
    with tempfile.TemporaryDirectory() as folder, patch.multiple("bench.commands.check", **untried):
        path, out = Path(folder) / "s.toml", Path(folder) / "out"
        path.write_text(text, encoding="utf-8")
        if name == "run" and not said:
            return  # what runs is shown elsewhere; here nothing may
        code, errors = command(name, str(path), *(["--dry", "--out", str(out)] if name == "run" else []))
        assert code == (2 if said else 0)
        assert [path] == list(Path(folder).iterdir())
        if said:
            assert errors.startswith(f"error: {path}: ")
            assert all(character.isprintable() or character == "\n" for character in errors)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + f"[factors]\ndepth = [1{'0' * 400}]", "[factors] depth: a number of more than 50 digits"),
        (HEAD + f"[factors]\nlearning_rate = [1{'0' * 400}]", "learning_rate: a number of more than 50 digits"),
        (HEAD + f"[factors]\ndepth = [1{'0' * 5000}]", "a whole number has too many digits"),
        (HEAD + f"[factors]\ndepth = [0x{'f' * 9000}]", "[factors] depth: a number of more than 50 digits"),
        (HEAD + FACTORS + f"x = {'[' * 3000}{']' * 3000}", "nested more than 8 deep"),
        (HEAD + FACTORS + f"[fixed]\nactivation{'.a' * 600} = 1", "nested more than 8 deep"),
        (HEAD + '[factors]\nactivation = [{ level = "a:b", x = nan }]', "x of a:b: nan is not allowed"),
        (HEAD + '[factors]\nactivation = [{ level = "a:b", x = -inf }]', "x of a:b: -inf is not allowed"),
        (HEAD + FACTORS + '[verdicts.thresholds]\n"outcome.learned_share" = nan', "outcome.learned_share: nan"),
        (HEAD + FACTORS + '[verdicts.thresholds]\n"gradtrial.vanishing.signal_ratio" = inf', "signal_ratio: inf"),
        (HEAD + FACTORS + f'[verdicts.thresholds]\n"outcome.learned_share" = 1{"0" * 400}', "beyond 1e308"),
        (HEAD + FACTORS + "[fixed]\nsteps = 10_000_000", "[record] loss_curves"),
        (HEAD.replace("= 1", "= 10_000") + f"[factors]\ndepth = {[*range(1, 200)]}", "[suite] replicates: 10000"),
        (HEAD + f'[factors]\nactivation = ["{"x" * 9999}"]', "… (10001 characters) is not a level"),
        (HEAD + '[factors]\nactivation = ["\\u001b[2J\\n"]', r'"\x1b[2J\n" is not a level'),
    ],
)  # fmt: skip
def test_what_the_properties_found_stays_mended(text: str, says: str) -> None:
    said = outcome(text)
    assert says in said
    check_message(said)


def test_the_product_of_all_factors_is_refused_before_it_is_expanded() -> None:
    factors = {name: list(range(2, 60)) for name in ("depth", "width", "batch_size", "steps")}
    with pytest.raises(BenchError, match="11316496 cells are too many"):
        parse_suite(as_toml({"suite": {"name": "s", "question": "q", "replicates": 1}, "factors": factors}), Path("s"))


def test_a_question_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(HEAD.replace('"q"', '"[/bold] [red]why[/red] \\u001b[2J?"') + FACTORS)
    assert guarded(lambda: app(["plan", str(path)], standalone_mode=False)) == 0
    assert "[/bold] [red]why[/red] \\x1b[2J?" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["run", "plan", "check"])
def test_a_name_that_no_file_can_have_is_one_message(name: str) -> None:
    code, errors = command(name, "x" * 300)
    assert (code, errors.count("\n")) == (2, 1)


def test_the_shipped_suites_are_what_is_altered() -> None:
    assert len(SUITES) >= 5
    assert all(outcome(text) == "" for text in SUITES)
