"""The recipes for levels of factors, followed in a copy of the project."""

from __future__ import annotations

import pytest

from tests.extending.recipes import ROOT, Copy, recipe

SUITE = """
[suite]
name = "s"
question = "Does it train?"
replicates = 1
[factors]
{factor} = [{levels}]
[fixed]
depth = 2
width = 8
steps = 3
"""
TRAINED = """
from bench.engine.train import train_cohort
from bench.plan import make_plan
from bench.suite import load_suite
from pathlib import Path
for cohort in make_plan(load_suite(Path("s.toml"))).cohorts:
    print(train_cohort(cohort)["runs"]["status"].to_pylist())
"""


LEVELS = {  # a recipe's factor, where each of its blocks goes, and its new levels
    "An activation": (
        "activation",
        {"bench/factors/activations.py": '        _keras(\n            "tanh",'},
        ['"hard_tanh"'],
    ),
    "A normalization": (
        "normalization",
        {
            "bench/engine/layers.py": '@keras.saving.register_keras_serializable("gradtrial")\nclass Weight',
            "bench/factors/normalizations.py": '        Level(\n            "weight_normalization"',
        },
        ['"centering"', '{ level = "centering", position = "after" }'],
    ),
    "An optimizer": (
        "optimizer",
        {"bench/factors/optimizers.py": '        Level(\n            "adam",'},
        ['"adamax"'],
    ),
}


@pytest.mark.parametrize("heading", LEVELS)
def test_a_new_level_is_listed_and_trains(project: Copy, heading: str) -> None:
    factor, anchors, levels = LEVELS[heading]
    for block in recipe(heading):
        project.insert(block.place, anchors[block.place], block.text)
    project.write("s.toml", SUITE.format(factor=factor, levels=", ".join(levels)))
    assert project.run("-c", TRAINED).count("['completed']") == len(levels)
    assert levels[0].strip('"') in project.run("-m", "bench", "list", factor)


def test_a_new_activation_has_a_prediction(activation: Copy) -> None:
    said = activation.run("-m", "bench", "theory", "--activation", "hard_tanh", "--depth", "3", "--width", "16")
    assert "Critical point of hard_tanh (vanishing): sigma_w = 1.00000, sigma_b = 0.00000" in said


@pytest.mark.full
def test_a_new_activation_passes_the_tests_of_activations(activation: Copy) -> None:
    tests = "tests/theory/test_theory_activations.py"
    activation.write(tests, (ROOT / tests).read_text(encoding="utf-8"))
    assert "4 passed" in activation.run("-m", "pytest", tests, "-k", "hard_tanh")


@pytest.fixture
def activation(project: Copy) -> Copy:
    (block,) = recipe("An activation")
    project.insert(block.place, LEVELS["An activation"][1][block.place], block.text)
    return project
