"""`bench show` of a run whose suite asked for the tables that are off."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.commands.show import show_run
from tests.dry_results import dry_results
from tests.report.pages import save

TEXT = """
[suite]
name = "asked"
question = "What is in the tables that nobody has unasked?"
replicates = 1

[factors]
cell = ["lstm"]

[fixed]
architecture = "recurrent"
dataset = "recall"
depth = 2
steps = 20
optimizer = "adam"

[record]
time_gradients = { at = [0, "last"] }
parameter_groups = { at = [0, "last"] }
"""


def test_time_steps_and_groups_are_shown_at_the_first_and_the_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = dry_results(TEXT)
    show_run(save(results, tmp_path / "out"), results.tables["runs"]["run_id"].iloc[0])
    told = capsys.readouterr().out
    for step in (0, 19):
        assert f"gradient norm by group of parameters, step {step}\n  layer 0: kernel " in told
        assert f"at lag 0, step {step}" in told
    line = next(line for line in told.splitlines() if line.startswith("  layer 1:"))
    assert [word.split()[0] for word in line.partition(": ")[2].split(", ")] == [
        "kernel", "recurrent_kernel", "bias", "gate_i", "gate_f", "gate_c", "gate_o",
    ]  # fmt: skip
    assert "  layer 2: kernel " in told and "horizon_start" in told


def test_heads_and_projections_of_a_transformer_are_shown_by_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = 'architecture = "transformer"\ndataset = { level = "reverse", length = 8 }\nwidth = 8'
    text = TEXT.replace('cell = ["lstm"]', "heads = [2]").replace(
        'architecture = "recurrent"\ndataset = "recall"', fixed
    )
    results = dry_results(text.replace("time_gradients", "attention"))
    show_run(save(results, tmp_path / "out"), results.tables["runs"]["run_id"].iloc[0])
    told = capsys.readouterr().out
    assert "by head, step 0\n  block 0's attention: 1 (1), 1 (1)\n  block 1's attention: 1 (1)" in told
    assert "by head, step 19" in told
    assert "  block 1's feed-forward: gain " in told and "  the head: kernel " in told
