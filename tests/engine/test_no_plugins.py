"""`--no-plugins`: a suite that names code from outside is refused before that code can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import app, guarded
from bench.errors import SuiteError
from bench.suite import load_suite

HEAD = '[suite]\nname = "s"\nquestion = "q"\nreplicates = 1\n'
PLACES = {
    "[factors] activation": '[factors]\nactivation = ["relu", "evil:f"]\n',
    "[fixed] optimizer": '[factors]\ndepth = [2]\n[fixed]\noptimizer = { level = "evil:f", beta = 1.0 }\n',
    "[[include]] 2: dataset": '[factors]\ndepth = [2]\n[[include]]\ndepth = 3\n[[include]]\ndataset = ["evil:f"]\n',
}


def write(folder: Path, body: str) -> Path:
    path = folder / "s.toml"
    path.write_text(HEAD + body)
    return path


@pytest.mark.parametrize("key", PLACES)
def test_the_message_names_file_key_and_plugin(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, PLACES[key])
    load_suite(path)
    with pytest.raises(SuiteError) as refused:
        load_suite(path, plugins=False)
    assert str(refused.value).startswith(f'{path}: {key}: "evil:f" is code from outside')
    assert "Known: " in str(refused.value)


@pytest.mark.parametrize("command", [["run"], ["run", "--dry"], ["check", "--build"]])
def test_nothing_is_imported_and_no_folder_made(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, PLACES["[factors] activation"])
    args = [command[0], str(path), *command[1:], "--no-plugins"]
    code = guarded(lambda: app(args, standalone_mode=False))
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {each.name for each in tmp_path.iterdir()} <= {"evil.py", "s.toml"}
