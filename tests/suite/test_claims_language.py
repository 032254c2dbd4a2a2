"""The language is enough for the literature: well-known claims as rules, each read, said in words and judged."""

from __future__ import annotations

import math

import pytest

from bench.analysis.claims import Judged, Verdict, judge_claims
from tests.analysis.claims_tables import CLAIM
from tests.dry_results import dry_results

SUITE = """
[suite]
name = "literature"
question = "Can all of it be said?"
replicates = 3

[factors]
depth = [4, 20, 60]
activation = ["relu", "tanh", "sigmoid"]
initializer = ["glorot_uniform", "he_normal", "orthogonal"]
normalization = ["none", "batch_normalization"]
clipping = ["none", "global_norm"]
learning_rate = [0.01, 0.03]

[fixed]
steps = 20

[[include]]
skip = ["residual", "residual_scaled"]
activation = "relu"
initializer = "he_normal"
clipping = "none"

[[exclude]]
activation = "sigmoid"
initializer = "orthogonal"
"""
RELU, TANH = 'where = { activation = "relu"', 'where = { activation = "tanh"'
PLAIN = 'normalization = "none", clipping = "none", skip = "none"'
NORMALIZED = 'initializer = "he_normal", normalization = "batch_normalization", clipping = "none", skip = "none"'
GLOROT = 'where = { initializer = "glorot_uniform" }'
TIME = 'number = { column = "loss", table = "evaluations", below = 0.5 }'
AGAINST_GLOROT = 'of = { initializer = "he_normal" }\nagainst = { initializer = "glorot_uniform" }'
RULES = {
    "sigmoid signals shrink by a quarter a layer": f"""
number = {{ column = "preactivation_grad_norm", transform = "ln", take = "slope", layers = [1, -3], step = "start" }}
where = {{ activation = "sigmoid", initializer = "glorot_uniform", depth = 60, learning_rate = 0.01, {PLAIN} }}
least = 1.41
most = 1.48""",
    "gradients of signals shrink, those of weights do not": f"""
{TANH}, depth = 20, learning_rate = 0.01, initializer = "glorot_uniform", {PLAIN} }}
all = [
  {{ name = "signals", number = {{ response = "signal_ratio_start" }}, most = -0.3 }},
  {{ name = "weights", number = {{ response = "weight_ratio_start" }}, least = -0.05, most = 0.05 }},
]""",
    "the last sigmoid layer saturates, the first do not": f"""
where = {{ activation = "sigmoid", initializer = "glorot_uniform", depth = 4, learning_rate = 0.01, {PLAIN} }}
statistic = "each"
all = [
  {{ name = "last", number = {{ column = "mean", layers = "last" }}, most = 0.1 }},
  {{ name = "first", number = {{ column = "mean", layers = [0, 1], take = "max" }}, most = 0.6 }},
]""",
    "deep ReLU trains from He, not from Glorot": f"""
number = {{ learned = 0.9 }}
{RELU}, {PLAIN} }}
{AGAINST_GLOROT}
best = "learning_rate"
least = 0.2
all = [{{ name = "20", where = {{ depth = 20 }} }}, {{ name = "60", where = {{ depth = 60 }} }}]""",
    "learning time grows with depth from one start, not from the other": f"""
{TIME}
ln = true
best = "learning_rate"
best_by = "lowest"
reduce = {{ over = "depth", take = "slope", x = "ln_level" }}
{RELU}, {PLAIN} }}
all = [
  {{ name = "glorot", where = {{ initializer = "glorot_uniform" }}, least = 0.5 }},
  {{ name = "orthogonal", where = {{ initializer = "orthogonal" }}, most = 0.2 }},
]""",
    "trainable depth follows the depth scale": f"""
number = {{ learned = 0.9 }}
best = "learning_rate"
{RELU}, {PLAIN} }}
all = [
  {{ name = "rank", least = 0.5, reduce = [
    {{ over = "depth", take = "largest" }},
    {{ take = "rank_correlation", over = [
      {{ x = 7.0, cells = {{ initializer = "glorot_uniform" }} }},
      {{ x = 22.0, cells = {{ initializer = "he_normal" }} }},
    ] }},
  ] }},
  {{ name = "scales", {GLOROT}, reduce = {{ over = "depth", take = "largest" }}, least = 3.5, most = 17.5 }},
]""",
    "orthogonal learns twice as fast": f"""
{TIME}
best = "learning_rate"
best_by = "lowest"
{TANH}, depth = 60, {PLAIN} }}
of = {{ initializer = "glorot_uniform" }}
against = {{ initializer = "orthogonal" }}
compare = "ratio"
least = 2""",
    "means and variances stay put in every layer": f"""
{TANH}, depth = 20, learning_rate = 0.01, initializer = "he_normal", {PLAIN} }}
all = [
  {{ name = "mean", number = {{ column = "mean", step = "start", take = "max" }}, most = 0.1 }},
  {{ name = "low", number = {{ column = "std", transform = "square", step = "start", take = "min" }}, least = 0.8 }},
  {{ name = "high", number = {{ column = "std", transform = "square", step = "start", take = "max" }}, most = 1.5 }},
]""",
    "batch normalization makes gradients explode at the predicted rate": f"""
number = {{ column = "preactivation_grad_norm", transform = "ln", take = "slope", layers = [1, -2], step = "start" }}
{RELU}, depth = 60, learning_rate = 0.01, {NORMALIZED} }}
least = -0.2
most = -0.18""",
    "batch normalization allows larger rates": """
number = { learned = 0.9 }
reduce = { over = "learning_rate", take = "largest" }
where = { activation = "relu", depth = 20, initializer = "he_normal", clipping = "none", skip = "none" }
of = { normalization = "batch_normalization" }
against = { normalization = "none" }
compare = "ratio"
least = 5""",
    "plain networks degrade with depth, residual ones do not": """
number = { column = "loss", table = "evaluations" }
best = "learning_rate"
where = { activation = "relu", initializer = "he_normal", normalization = "batch_normalization", clipping = "none" }
of = { depth = 60 }
against = { depth = 20 }
lost = 2.3
all = [
  { name = "plain", where = { skip = "none" }, least = 0.2 },
  { name = "residual", where = { skip = "residual" }, most = 0.1 },
]""",
    "the share of the branch falls as one over the layer": """
number = { column = "preactivation_mean_square", transform = "ln", take = "slope", on = "ln_layer", step = "start" }
where = { skip = "residual", normalization = "batch_normalization", depth = 60, learning_rate = 0.01 }
least = 0.9
most = 1.1""",
    "a last layer's gradient falls with the root of the depth": """
number = { column = "weight_grad_norm", layers = "head", step = "start" }
ln = true
reduce = { over = "depth", take = "slope", x = "ln_level" }
where = { skip = "residual", normalization = "none", learning_rate = 0.01 }
least = -0.65
most = -0.35""",
    "clipping widens the range of rates": """
number = { learned = 0.9 }
reduce = { over = "learning_rate", take = "largest" }
where = { depth = 20, normalization = "none", skip = "none", initializer = "he_normal" }
of = { clipping = "global_norm" }
against = { clipping = "none" }
compare = "ratio"
any = [
  { name = "relu", where = { activation = "relu" }, least = 3 },
  { name = "tanh", where = { activation = "tanh" }, least = 3 },
]""",
    "one start beats both of its neighbours": f"""
number = {{ column = "accuracy" }}
lost = "chance"
best = "learning_rate"
{TANH}, depth = 60, {PLAIN} }}
of = {{ initializer = "orthogonal" }}
least = 0.05
all = [
  {{ name = "ordered", against = {{ initializer = "glorot_uniform" }} }},
  {{ name = "chaotic", against = {{ initializer = "he_normal" }} }},
]""",
    "gradients of the first steps fall": """
number = { column = "global_grad_norm", transform = "log10", step = "change" }
where = { activation = "relu", depth = 60, normalization = "batch_normalization", clipping = "none", skip = "none" }
statistic = "median"
lost = "measured"
level = 0.7
most = 0.0""",
}


@pytest.fixture(scope="module")
def judged() -> dict[str, Judged]:
    claims = "".join(CLAIM.format(id=f"c{place}", rule=rule) for place, rule in enumerate(RULES.values()))
    found = dry_results(SUITE + claims)
    return dict(zip(RULES, judge_claims(found.tables, found.suite.claims), strict=True))


@pytest.mark.parametrize("name", RULES)
def test_every_claim_is_said_and_judged(judged: dict[str, Judged], name: str) -> None:
    claim = judged[name]
    assert claim.verdict in set(Verdict)
    for part in claim.parts:
        assert part.counts.judged > 0 and part.counts.missing == 0
        assert part.why.startswith("too few") or not math.isnan(part.low), part.why
        assert part.rule.startswith("The ") and part.rule.endswith(".") and part.unit
