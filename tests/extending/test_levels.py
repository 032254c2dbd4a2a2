"""The recipes for levels of factors, followed in a copy of the project."""

from __future__ import annotations

import pytest

from tests.extending.recipes import ROOT, Copy, copied, recipe

SUITE = """
[suite]
name = "s"
question = "Does it train?"
replicates = 1
[factors]
{factors}
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


ANCHORS = {  # where each block of a recipe goes: in front of this
    "bench/factors/activations.py": '        _keras(\n            "tanh",',
    "bench/engine/layers.py": '@keras.saving.register_keras_serializable("gradtrial")\nclass Weight',
    "bench/factors/blocks.py": '        Level(\n            "weight_normalization"',
    "bench/factors/optimizers.py": '        Level(\n            "adam",',
    "bench/factors/datasets.py": '        DatasetLevel(\n            "npz",',
}
LEVELS = {  # each recipe's factor and new levels
    "An activation": ("activation", ['"hard_tanh"']),
    "A normalization": ("normalization", ['"centering"', '{ level = "centering", position = "after" }']),
    "An optimizer": ("optimizer", ['"adamax"']),
    "A dataset": ("dataset", ['"iris"']),
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The project with what every recipe of LEVELS adds."""
    project = copied(tmp_path_factory.mktemp("grown"))
    for heading in LEVELS:
        for block in recipe(heading):
            project.insert(block.place, ANCHORS[block.place], block.text)
    factors = "\n".join(f"{factor} = [{', '.join(levels)}]" for factor, levels in LEVELS.values())
    project.write("s.toml", SUITE.format(factors=factors))
    return project


def test_new_levels_are_listed_planned_and_predicted(grown: Copy) -> None:
    said = grown.bench(
        "plan s.toml", "list dataset", "theory --activation hard_tanh --depth 3 --width 16",
        "theory --normalization centering",
    )  # fmt: skip
    assert "2 cells x 1 replicate = 2 runs" in said
    assert "iris" in said
    assert "Critical point of hard_tanh (vanishing): sigma_w = 1.00000, sigma_b = 0.00000" in said
    assert 'error: The theory knows nothing of the normalization "centering".' in said
    assert [line[-1] for line in said.splitlines() if line.startswith("ended with")] == ["0", "0", "0", "2"]


@pytest.mark.full
def test_new_levels_train_together(grown: Copy) -> None:
    assert grown.run("-c", TRAINED).count("['completed']") == 2


@pytest.mark.full
def test_a_new_activation_passes_the_tests_of_activations(grown: Copy) -> None:
    tests = "tests/engine/test_theory_activations.py"
    grown.write(tests, (ROOT / tests).read_text(encoding="utf-8"))
    assert "4 passed" in grown.run("-m", "pytest", tests, "-k", "hard_tanh")
