"""What theory has numbers for can be asked of runs: claims of a suite name them without code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.suite import load_suite
from tests.cohorts import claim_text

STREAM = """
[suite]
name = "streams"
question = "?"
replicates = 5
[factors]
block = ["pre_norm", "deepnorm"]
depth = [4, 8]
attention_gain = [0.5, 2.0]
[fixed]
architecture = "transformer"
dataset = { level = "reverse", length = 16 }
embedding_initializer = { level = "normal", stddev = 1.0 }
position = "none"
width = 64
batch_size = 8
steps = 1
[record]
gradient_norms = { at = [0] }
activations = { at = [0] }
attention = { at = [0] }
loss_curves = "every_step"
"""
CONV = """
[suite]
name = "images"
question = "?"
replicates = 5
[factors]
padding = ["same", "circular"]
initializer = ["he_normal", "delta_orthogonal"]
[fixed]
architecture = "conv"
depth = 20
width = 16
steps = 1
[record]
gradient_norms = { at = [0] }
activations = { at = [0] }
positions = { at = [0] }
"""


@pytest.mark.parametrize(
    ("suite", "number"),
    [
        (STREAM, 'column = "preactivation_mean_square", layers = "last"'),  # q_L
        (STREAM, 'column = "preactivation_mean_square", layers = "last", transform = "log10"'),
        (STREAM, 'column = "token_cosine", layers = "last"'),  # rho_L
        (STREAM, 'column = "token_distance", layers = 3, transform = "ln"'),
        (STREAM, 'column = "preactivation_grad_norm", transform = "log10", take = "first_less_last"'),  # of the stream
        (STREAM, 'column = "preactivation_grad_norm", layers = "last"'),
        (STREAM, 'column = "entropy", layers = "first"'),
        (STREAM, 'column = "entropy", layers = 3, head = 0'),
        (STREAM, 'column = "logit_std", layers = "first"'),
        (STREAM, 'column = "global_grad_norm"'),  # the total
        (CONV, 'column = "preactivation_grad_norm", transform = "log10", take = "first_less_last"'),
        (CONV, 'column = "preactivation_mean_square", transform = "log10", take = "first_less_last"'),
        (CONV, 'column = "preactivation_grad_norm", transform = "log10", take = "slope"'),
        (CONV, 'column = "mean_square", position = "corner", over_position = "center", layers = "last"'),
        (
            CONV,
            'column = "preactivation_grad_norm", table = "positions", position = [0, 0], over_position = [4, 4], '
            'transform = "log10", layers = "first"',
        ),
    ],
)
def test_a_claim_may_ask_for_what_theory_predicts(suite: str, number: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    rule = f'number = {{ {number}, step = "start" }}\nleast = -1.0\nmost = 1.0'
    path.write_text(suite + claim_text("n", rule), encoding="utf-8")
    (claim,) = load_suite(path).claims
    assert claim.id == "n"
