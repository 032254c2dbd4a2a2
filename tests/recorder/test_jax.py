"""The recorder on Keras's JAX backend, which a process of its own has: see `on_jax.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = {  # of `jax_kinds.py`, each in one process
    "dense": "mlp_clipnorm mlp_l2 mlp_relu_adam compiled eager not_compiled eight_at_once",
    "convolution": "conv_batch_normalization conv_pool conv_pre_activation shared nested_frozen",
    "sequences": "lstm bidirectional_gru_masked transformer embedding",
    "own": "two_outputs custom_step subclass",
    "optimizers": "mixed_float16 accumulation moving_average",
}
LAYERS = {  # of `jax_layers.py`
    "models": "training_flag submodels_twice own_activation three_outputs frozen_layers",
    "images": "separable transposed conv_lstm normalizations",
    "sequences": "attentions masked_embedding time_distributed",
    "optimizers": "averaged_and_accumulated muon scaled bfloat16 regularized_and_scheduled",
    "weights": "class_weights sample_weights",
}
PLANTED = ("weight-0-7", "activation-2-0", "loss-4-7", "gradient-2-7", "gradient-0-0")
MODES = ("jit", "eight", "not_compiled", "eager")


def ask(question: str, folder: Path, *words: str) -> str:
    """What a process on JAX writes to stderr when it is asked; it must not fail."""
    command = [sys.executable, "-m", "tests.recorder.on_jax", question, str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "jax"})
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def test_training_is_the_same(tmp_path: Path) -> None:
    ask("same_training", tmp_path, "2", "mlp_relu_adam", "eight_at_once")


@pytest.mark.full
@pytest.mark.parametrize("group", GROUPS)
def test_training_of_thirty_steps_is_the_same(group: str, tmp_path: Path) -> None:
    ask("same_training", tmp_path, "5", *GROUPS[group].split())


@pytest.mark.full
@pytest.mark.parametrize("group", LAYERS)
def test_layers_of_all_kinds_are_recorded(group: str, tmp_path: Path) -> None:
    ask("layers_of_all_kinds", tmp_path, *LAYERS[group].split())


@pytest.mark.full
def test_gradients_are_those_of_jax(tmp_path: Path) -> None:
    ask("gradients", tmp_path, "mlp_clipnorm", "conv_pool", "embedding")


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_nonfinite", ["record", "stop", "raise"])
def test_a_planted_nan_is_found_and_its_step_made_again(mode: str, on_nonfinite: str, tmp_path: Path) -> None:
    ask("planted", tmp_path, *(f"{each}-{mode}-{on_nonfinite}" for each in PLANTED))


@pytest.mark.full
def test_a_smaller_batch_is_not_compiled_once_more_by_auto(tmp_path: Path) -> None:
    ask("one_shape", tmp_path)


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
