"""The recipes for levels of factors, followed in a copy of the project."""

from __future__ import annotations

import pytest

from tests.extending.recipes import Copy, recipe

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
