"""The recorder on Keras's JAX backend, which a process of its own has: see `on_jax.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAIN = ("mlp_relu_adam",)
KINDS = (
    "mlp_clipnorm", "mlp_l2", "conv_batch_normalization", "conv_pool", "conv_pre_activation", "shared", "nested_frozen",
    "lstm", "bidirectional_gru_masked", "transformer", "embedding", "two_outputs", "custom_step", "subclass",
    "mixed_float16", "accumulation", "moving_average", "eight_at_once", "compiled", "eager", "not_compiled",
)  # fmt: skip


def ask(question: str, folder: Path, *words: str) -> str:
    """What a process on JAX writes to stderr when it is asked; it must not fail."""
    command = [sys.executable, "-m", "tests.recorder.on_jax", question, str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "jax"})
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


@pytest.mark.parametrize(
    ("name", "epochs"),
    [*((name, "1") for name in PLAIN), *(pytest.param(name, "5", marks=pytest.mark.full) for name in KINDS)],
)
def test_training_is_the_same(name: str, epochs: str, tmp_path: Path) -> None:
    ask("same_training", tmp_path / "own", name, epochs)


@pytest.mark.full
@pytest.mark.parametrize("name", ["mlp_clipnorm", "conv_pool", "embedding"])
def test_gradients_are_those_of_jax(name: str, tmp_path: Path) -> None:
    ask("gradients", tmp_path, name)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["jit", "eight", "not_compiled"])
@pytest.mark.parametrize("on_nonfinite", ["record", "stop"])
def test_a_planted_nan_is_found(mode: str, on_nonfinite: str, tmp_path: Path) -> None:
    cases = product(("weight", "activation", "loss", "gradient"), "024", "07", [mode], [on_nonfinite])
    ask("planted", tmp_path, *map("-".join, cases))


@pytest.mark.full
def test_rows_so_far_are_kept(tmp_path: Path) -> None:
    ask("kept", tmp_path)


@pytest.mark.full
def test_what_cannot_be_recorded_is_one_sentence(tmp_path: Path) -> None:
    said = [line for line in ask("refused", tmp_path).splitlines() if line.startswith("gradtrial: ")]
    assert len(said) == 4
    assert "`jax.value_and_grad`" in said[0]
    assert all("of the recorder's own" in each for each in said[1:3])
    assert "a loop of one's own" in said[3]
    assert all(each.endswith("Training goes on without a record.") for each in said)
