"""Runs with one planted cause each: how each is planted, on which networks, and what counts as naming it.

`TUNED` is what thresholds of `bench.analysis.causes` may be set on; `HELD_OUT` has other widths, activations, data
and strengths, and no threshold is moved for it. A run that learns all the same asks for no cause and is only counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from bench.analysis import Cause

REPLICATES = 2
PLUGIN = """from keras import ops


def no_number(x):
    return ops.sqrt(x)


def cut_off(x):
    return ops.relu(x - 30.0)
"""
DATA = """import numpy as np


def random_labels(rows, features, classes):
    draw = np.random.default_rng(rows)
    x, y = draw.standard_normal((rows + 400, features)), draw.integers(0, classes, rows + 400)
    return x[:rows], y[:rows], x[rows:], y[rows:]


def far_values(spread, offset):
    draw = np.random.default_rng(5)
    x = draw.standard_normal((800, 8))
    y = offset + spread * (x @ draw.standard_normal(8) / 8**0.5)
    return x[:600], y[:600], x[600:], y[600:]


far_values.kind = "values"
"""
Level = str | float | int | dict[str, str | float]
Cells = Mapping[str, Sequence[Level]]


@dataclass(frozen=True)
class Plant:
    """One cause, the cells in which it is planted (the product of their levels), and the causes that name it."""

    name: str
    cells: Cells
    named: tuple[Cause, ...]

    def each(self) -> list[dict[str, Level]]:
        """Its cells."""
        return [dict(zip(self.cells, levels, strict=True)) for levels in product(*self.cells.values())]


def level(name: str, **settings: float | str) -> Level:
    """A level with settings, as a suite has it."""
    return {"level": name, **settings}


def normal(stddev: float) -> Level:
    """Weights from a normal distribution."""
    return level("random_normal", stddev=stddev)


def scaled(scale: float) -> Level:
    """Weights of this variance times the number of inputs."""
    return level("variance_scaling", scale=scale)


def constant(value: float) -> Level:
    """Every weight the same."""
    return level("keras.initializers:Constant", value=value)


def averages(momentum: float) -> Level:
    """Batch normalization whose moving averages keep so much of their start."""
    return level("batch_normalization", momentum=momentum)


def random_rows(rows: int, features: int, classes: int) -> Level:
    """Rows that no rule tells the class of."""
    return level("planted_data:random_labels", rows=rows, features=features, classes=classes)


def far_values(spread: float, offset: float) -> Level:
    """Targets that are values of this standard deviation about this mean."""
    return level("planted_data:far_values", spread=spread, offset=offset)


def biased(stddev: float) -> Level:
    """Biases from a normal distribution: what all samples share."""
    return level("normal", stddev=stddev)


EXPLODES = (Cause.BLOWN, Cause.EXPLODING)
BASE: dict[str, Level] = {
    "dataset": "digits", "width": 32, "depth": 4, "activation": "relu", "initializer": "he_normal",
    "bias_initializer": "zeros", "normalization": "none", "optimizer": "sgd", "learning_rate": 0.05, "steps": 100,
    "batch_size": 64,
}  # fmt: skip

TUNED: tuple[Plant, ...] = (
    Plant("weights too small", {"activation": ["sigmoid"], "depth": [8, 16], "initializer": [normal(0.05),
          "glorot_uniform"],
          "width": [16, 32]}, (Cause.VANISHING, Cause.UNDERFLOW)),
    Plant("weights far too small", {"activation": ["sigmoid", "tanh"], "depth": [20], "initializer": [normal(1e-3)]},
          (Cause.UNDERFLOW, Cause.VANISHING)),
    Plant("weights too large", {"activation": ["relu"], "depth": [8, 16], "initializer": [normal(0.8), normal(2.0)],
          "width": [16, 32]}, EXPLODES),
    Plant("saturating weights", {"activation": ["tanh"], "depth": [5], "initializer": [
          level("keras.initializers:RandomUniform", minval=0.0, maxval=2.0), normal(8.0)], "learning_rate": [0.01]},
          (Cause.SATURATED,)),
    Plant("saturated sigmoid", {"activation": ["sigmoid"], "depth": [3, 6], "initializer": [normal(15.0), normal(40.0)],
          "learning_rate": [0.01]}, (Cause.SATURATED,)),
    Plant("constant weights", {"activation": ["tanh", "relu"], "depth": [2, 4],
          "initializer": [constant(0.1), constant(0.02)]},
          (Cause.IDENTICAL,)),
    Plant("units cut off", {"activation": ["planted_activations:cut_off"], "depth": [2, 4, 8]}, (Cause.DEAD,)),
    Plant("activation without a number", {"activation": ["planted_activations:no_number"], "depth": [2, 4]},
          (Cause.NOT_FINITE,)),
    Plant("rate too small", {"activation": ["tanh", "relu"], "depth": [2, 4], "learning_rate": [1e-6, 1e-5]},
          (Cause.RATE_SMALL,)),
    Plant("rate too large", {"activation": ["tanh", "relu"], "depth": [2, 4], "learning_rate": [5.0, 50.0]},
          (Cause.RATE_LARGE,)),
    Plant("rate too large for Adam", {"activation": ["tanh", "relu"], "depth": [4], "optimizer": ["adam"],
          "learning_rate": [0.5, 3.0]}, (Cause.RATE_LARGE,)),
    Plant("too few steps", {"activation": ["tanh", "relu"], "depth": [2, 4], "learning_rate": [0.01],
          "steps": [12, 25]},
          (Cause.FEW_STEPS,)),
    Plant("lagging averages", {"depth": [4, 8], "normalization": [averages(0.999), averages(0.9999)],
          "optimizer": ["momentum"]},
          (Cause.LAGGING,)),
    Plant("lagging averages, odd scale", {"activation": ["tanh", "sigmoid"], "depth": [3, 5],
          "normalization": [averages(0.999), averages(0.9999)], "initializer": [normal(0.5)],
          "optimizer": ["momentum"]}, (Cause.LAGGING,)),
    Plant("random labels", {"dataset": [random_rows(64, 20, 4)], "activation": ["relu", "tanh"], "depth": [2, 3],
          "optimizer": ["adam"], "learning_rate": [0.003], "steps": [200], "width": [64]}, (Cause.MEMORIZED,)),
    Plant("targets far out", {"dataset": [far_values(300.0, 0.0), far_values(1.0, 40.0)],
          "activation": ["relu", "tanh"], "depth": [2, 4], "optimizer": ["sgd", "adam"], "learning_rate": [0.001]},
          (Cause.DATA,)),
    Plant("biases that drown samples", {"activation": ["relu"], "depth": [22, 24], "initializer": [scaled(1.6)],
          "bias_initializer": [biased(1.0), biased(2.0)], "learning_rate": [0.01], "width": [96]},
          (Cause.COLLAPSED,)),
    Plant("one class in a hundred", {"dataset": [level("npz", path="rare.npz")], "activation": ["relu", "tanh"],
          "depth": [2, 4], "steps": [60]}, (Cause.MAJORITY,)),
)  # fmt: skip

HELD_OUT: tuple[Plant, ...] = (
    Plant("weights too small", {"dataset": ["mnist1d"], "activation": ["softsign", "hard_sigmoid"], "depth": [12, 18],
          "initializer": [normal(0.03), level("random_uniform", limit=0.05)], "width": [24]},
          (Cause.VANISHING, Cause.UNDERFLOW)),
    Plant("weights far too small", {"dataset": ["wine"], "activation": ["gelu", "sigmoid"], "depth": [18],
          "initializer": [normal(5e-4)], "width": [24], "batch_size": [32]}, (Cause.UNDERFLOW, Cause.VANISHING)),
    Plant("weights too large", {"dataset": ["mnist1d"], "activation": ["elu", "silu"], "depth": [10, 14],
          "initializer": [normal(1.0), level("variance_scaling", scale=12.0)], "width": [24]}, EXPLODES),
    Plant("saturating weights", {"dataset": ["breast_cancer"], "activation": ["softsign", "sigmoid"], "depth": [6],
          "initializer": [level("keras.initializers:RandomUniform", minval=0.0, maxval=3.0), normal(30.0)],
          "width": [20],
          "learning_rate": [0.01], "batch_size": [32]}, (Cause.SATURATED,)),
    Plant("constant weights", {"dataset": ["mnist1d"], "activation": ["gelu", "softplus"], "depth": [3, 5],
          "initializer": [constant(0.05)], "width": [24]}, (Cause.IDENTICAL,)),
    Plant("units cut off", {"dataset": ["wine"], "activation": ["planted_activations:cut_off"], "depth": [3, 5],
          "width": [24], "batch_size": [32]}, (Cause.DEAD,)),
    Plant("activation without a number", {"dataset": ["wine"], "activation": ["planted_activations:no_number"],
          "depth": [3], "width": [24], "batch_size": [32]}, (Cause.NOT_FINITE,)),
    Plant("rate too small", {"dataset": ["wine"], "activation": ["gelu", "elu"], "depth": [3], "width": [24],
          "optimizer": ["momentum", "adam"], "learning_rate": [1e-6, 3e-6], "batch_size": [32]}, (Cause.RATE_SMALL,)),
    Plant("rate too large", {"dataset": ["mnist1d"], "activation": ["gelu", "elu"], "depth": [3, 5], "width": [24],
          "optimizer": ["momentum"], "learning_rate": [3.0, 20.0]}, (Cause.RATE_LARGE,)),
    Plant("rate too large for Adam", {"dataset": ["mnist1d"], "activation": ["gelu", "elu"], "depth": [3],
          "width": [24],
          "optimizer": ["adam"], "learning_rate": [1.0, 5.0]}, (Cause.RATE_LARGE,)),
    Plant("too few steps", {"dataset": ["mnist1d"], "activation": ["gelu", "elu"], "depth": [3], "width": [24],
          "learning_rate": [0.01, 0.02], "steps": [20, 40]}, (Cause.FEW_STEPS,)),
    Plant("lagging averages", {"activation": ["gelu", "elu"], "depth": [3, 6], "width": [24],
          "normalization": [averages(0.9995)], "optimizer": ["momentum"]}, (Cause.LAGGING,)),
    Plant("saturated sigmoid", {"dataset": ["breast_cancer"], "activation": ["sigmoid", "hard_sigmoid"], "depth": [4],
          "initializer": [normal(25.0), level("random_uniform", limit=60.0)], "width": [20], "learning_rate": [0.01],
          "batch_size": [32]}, (Cause.SATURATED,)),
    Plant("lagging averages, odd scale", {"dataset": ["breast_cancer"], "activation": ["softsign", "hard_sigmoid"],
          "depth": [4, 6], "width": [48], "normalization": [averages(0.9995)],
          "initializer": [level("random_uniform", limit=0.9), normal(0.8)], "optimizer": ["momentum"],
          "batch_size": [32]}, (Cause.LAGGING,)),
    Plant("random labels", {"dataset": [random_rows(48, 30, 3)], "activation": ["gelu", "elu"], "depth": [3],
          "optimizer": ["momentum", "adam"], "learning_rate": [0.005], "steps": [300], "width": [48],
          "batch_size": [24]}, (Cause.MEMORIZED,)),
    Plant("targets far out", {"dataset": [far_values(2000.0, 0.0), far_values(0.5, -60.0)],
          "activation": ["gelu", "elu"], "depth": [3], "width": [24], "optimizer": ["momentum", "adam"],
          "learning_rate": [0.002]}, (Cause.DATA,)),
    Plant("biases that drown samples", {"dataset": ["mnist1d"], "activation": ["leaky_relu"], "depth": [20, 23],
          "initializer": [scaled(1.5)], "bias_initializer": [biased(1.5), biased(2.5)], "learning_rate": [0.01],
          "width": [128]}, (Cause.COLLAPSED,)),
    Plant("one class in a hundred", {"dataset": [level("npz", path="rarer.npz")], "activation": ["gelu", "elu"],
          "depth": [3],
          "width": [24], "steps": [80]}, (Cause.MAJORITY,)),
)  # fmt: skip
SETS = {"tuned": TUNED, "held-out": HELD_OUT}


def write_suite(name: str, plants: Sequence[Plant], folder: Path) -> Path:
    """A suite of all cells of a set, each once, with the data and the code that they name."""
    (folder / "planted_activations.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "planted_data.py").write_text(DATA, encoding="utf-8")
    _rare(folder / "rare.npz", share=0.01, features=20, seed=7)
    _rare(folder / "rarer.npz", share=0.05, features=12, seed=8)
    lines = [
        "[suite]",
        f'name = "planted-{name}"',
        'question = "Is the planted cause named?"',
        f"replicates = {REPLICATES}",
    ]
    cells = [BASE | cell for plant in plants for cell in plant.each()]
    for cell in cells:
        if isinstance(data := cell["dataset"], dict) and "path" in data:
            cell["dataset"] = data | {"path": str((folder / str(data["path"])).resolve())}
    varied = list(cells[0])
    lines += ["[factors]", *(f"{factor} = [{_toml(cells[0][factor])}]" for factor in varied)]
    for cell in cells[1:]:
        lines += ["[[include]]", *(f"{factor} = {_toml(cell[factor])}" for factor in varied)]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: Level) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def _rare(path: Path, *, share: float, features: int, seed: int) -> None:
    """Two classes that no feature tells apart, one of them rare."""
    rng = np.random.default_rng(seed)
    rows = 2000
    x, y = (
        rng.standard_normal((rows, features)).astype(np.float32),
        (np.arange(rows) % round(1 / share) == 0).astype(int),
    )
    order = rng.permutation(rows)
    x, y, train = x[order], y[order], int(0.8 * rows)
    np.savez(path, x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:])
