"""`[[claims]]` in a suite: what is read, what is refused and how it is said, the schema, and every claim shipped."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from bench.analysis.claims import Verdict, judge_claims
from bench.errors import SuiteError
from bench.plan import make_plan
from bench.quantities import ACCURACY, QUANTITIES, Quantity
from bench.suite import parse_suite, suite_schema
from tests.analysis.claims_tables import suite_of
from tests.dry_results import dry_results

FACTORS = """
depth = [4, 16, 32]
activation = ["relu", "tanh"]
initializer = ["glorot_uniform", { level = "orthogonal", gain = 1.5 }, "orthogonal"]
learning_rate = [0.01, 0.1]
"""
RULE = """
number = { learned = 0.9 }
where = { activation = "relu" }
of = { initializer = "orthogonal" }
against = { initializer = "glorot_uniform" }
best = "learning_rate"
least = 0.3
"""
PARTS = """
number = { learned = 0.9 }
where = { activation = "relu" }
least = 0.5
all = [{ name = "shallow", where = { depth = 4 } }, { name = "deep", where = { depth = 32 }, least = 0.2, level = 0.7 }]
"""
POINTS = """
number = { column = "loss", table = "evaluations" }
most = 0.0
reduce = { take = "slope", over = [
  { x = 1.5, cells = { initializer = { level = "orthogonal", gain = 1.5 } } },
  { x = 1.0, cells = { initializer = "glorot_uniform", activation = ["relu", "tanh"] } },
] }
"""

IN_TIME = 'steps = 60\narchitecture = "recurrent"\ndataset = "recall"\n[record]\ntime_gradients = { at = [0] }\n'

# What in RULE is replaced by what, and what is said of it.
WRONG = {
    'best = "learning_rate"': [
        ('bast = "learning_rate"', 'rule bast is not a key. Did you mean "best"?'),
        ('best = "activation"', "best: activation needs two levels that every side has; here it is relu."),
        ('best_by = "loss"', "best_by: it belongs to best."),
        ('best = "depth"\nexclude = 1', "exclude is not a key"),
    ],
    "learned = 0.9": [
        ("learned = 2", "rule: number: learned: 2 is not allowed: it must be at most 1.0."),
        ('response = "signal_ratio"', 'response: "signal_ratio" is a number of each recorded step. Did you'),
        ('colum = "loss"', 'number: it needs one of its keys response, learned or column. Did you mean "c'),
        ('column = "loss"', "table: loss is in loss_curves and evaluations; say which."),
        ('column = "weight_grad"', 'column: "weight_grad" is not one. Did you mean "weight_grad_norm"?'),
        ('column = "std", layers = "hed"', "layers: \"hed\" is not allowed: it is 'first', 'last' or 'head',"),
        ('column = "std", layers = "head"', "layers: activations has no head"),
        ('column = "std", layers = [1]', "layers: [1] is neither a layer nor two"),
        ('column = "std", layers = 3, take = "max"', "take: 3 is one layer"),
        ('column = "std", on = "ln_layer"', 'on: it belongs to take = "slope"'),
        ('column = "std", step = 59', "step: activations has none at 59; the nearest are"),
        ('column = "std", split = "train"', "split: only evaluations have one"),
        ('column = "accuracy", take = "max"', "take: evaluations has no layers."),
        ('column = "accuracy", above = 0.5, step = "end"', "step: with below or above"),
        ('column = "accuracy", above = 0.5, below = 0.1', "below and above: give one"),
        ('column = "accuracy", smooth = 3', "smooth: it belongs to below or above."),
        ('column = "accuracy", over = "los"', 'over: "los" is not a column of evaluations. Did you mean "loss"?'),
    ],
    'activation = "relu" }': [
        ('activation = "relu", depth = 33 }', "rule: of: depth: 33 matches nothing: it is 4, 16, 32 here."),
        ('activation = "rel" }', 'of: activation: "rel" is not a level. Did you mean "relu"?'),
        ("dept = 4 }", 'of: "dept" is not a factor. Did you mean "depth"?'),
    ],
    'against = { initializer = "glorot_uniform" }': [
        ('against = { initializer = "orthogonal" }', "of and against share"),
    ],
    'of = { initializer = "orthogonal" }': [
        ("", "of is missing: against compares"),
    ],
    "least = 0.3": [
        ("", "least or most is missing"),
        ("least = 0.3\nmost = 0.3", "least = 0.3 must be less than most = 0.3."),
        ("least = inf", "give finite numbers"),
        ('least = "x"', 'rule least: "x" is not a number.'),
        ('least = 0.0\ncompare = "ratio"', "they are ratios, so above 0"),
        ("least = 0.3\nlevel = 95", "rule level: 95 is not allowed: it must be below 1.0."),
        ('least = 0.3\nlost = "worst"', "rule lost: \"worst\" is not allowed: it is 'unknown', 'measured'"),
        ("least = 0.3\nlost = 0.1", "this number leaves no choice"),
        ("least = 0.3\nln = true", "whether a run learned has none"),
        ('least = 0.3\nreduce = { over = "learning_rate", take = "max" }', "learning_rate is in reduce too"),
        ('least = 0.3\nreduce = { over = "width", take = "slope" }', "width needs two levels"),
        ('least = 0.3\nreduce = { over = "initializer", take = "slope" }', "initializer is not a number"),
        ('least = 0.3\nreduce = { over = "depth", take = "slop" }', 'reduce take: "slop" is not allowed: it is'),
        ('least = 0.3\nreduce = { ovr = "depth", take = "slope" }', 'reduce ovr is not a key. Did you mean "over"?'),
        ('least = 0.3\nreduce = { over = "depth", take = "mean", x = "ln_level" }', 'x: it belongs to take = "slope"'),
    ],
}  # fmt: skip


def test_a_claim_is_read_with_its_cells_resolved() -> None:
    claim = suite_of(FACTORS, RULE).claims[0]
    assert (claim.id, claim.statement, claim.needs, len(claim.parts)) == ("c0", "It is so.", "all", 1)
    part = claim.parts[0]
    assert part.number == Quantity(table="evaluations", of=ACCURACY, split="train", at_least=0.9)
    assert part.of == {"activation": ("relu",), "initializer": ("orthogonal(gain=1.5)", "orthogonal")}
    assert part.against == {"activation": ("relu",), "initializer": ("glorot_uniform",)}
    assert (part.best, part.least, part.most, part.level, part.lost) == (("learning_rate",), 0.3, None, 0.95, "unknown")
    assert part.planned == 3 * 3 * 2 * 5  # depths, initializers, rates, replicates


def test_parts_inherit_what_they_leave_out() -> None:
    shallow, deep = suite_of(FACTORS, PARTS).claims[0].parts
    assert (shallow.name, shallow.least, shallow.of) == ("shallow", 0.5, {"activation": ("relu",), "depth": (4,)})
    assert (deep.name, deep.least, deep.of) == ("deep", 0.2, {"activation": ("relu",), "depth": (32,)})
    assert (shallow.level, deep.level) == (0.95, 0.7)


def test_a_factor_reduces_at_its_levels_and_a_list_at_its_points() -> None:
    along = 'number = { learned = 0.9 }\nleast = 4\nreduce = { over = "depth", take = "largest" }'
    assert [x for x, _ in suite_of(FACTORS, along).claims[0].parts[0].reduce[0].rows] == [4.0, 16.0, 32.0]
    points = suite_of(FACTORS, POINTS).claims[0].parts[0].reduce[0]
    assert points.factors == ("initializer", "activation")
    assert points.rows[0] == (1.5, {"initializer": ("orthogonal(gain=1.5)",)})


def test_claims_take_no_part_in_the_names_of_runs() -> None:
    bare, claiming = suite_of(FACTORS), suite_of(FACTORS, RULE, PARTS)
    assert bare.claims == () and len(claiming.claims) == 2
    assert make_plan(bare) == make_plan(claiming)


@pytest.mark.parametrize(
    ("old", "new", "said"), [(old, new, said) for old, cases in WRONG.items() for new, said in cases]
)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_name(old: str, new: str, said: str) -> None:
    assert old in RULE
    with pytest.raises(SuiteError) as caught:
        suite_of(FACTORS, RULE.replace(old, new))
    assert str(caught.value).startswith("planted.toml: [[claims]] 1 (c0): ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((PARTS.replace('"deep"', '"shallow"'),), 'rule: name: "shallow" is there twice.'),
        ((PARTS.replace("least = 0.2", "leest = 0.2"),), 'rule all 2 leest is not a key. Did you mean "least"?'),
        ((PARTS + 'any = [{ name = "x" }]',), "all and any: give one of them."),
        ((POINTS.replace("x = 1.5", "y = 1.5"),), "reduce over 1 y is not a key. Known: x, cells."),
        ((POINTS.replace("gain = 1.5", "gain = 2.5"),), "over 1: cells: initializer: "),
        ((POINTS + 'where = { activation = "tanh", initializer = "orthogonal" }',), "has no cell in common with"),
    ],
)
def test_what_is_wrong_in_parts_and_points_is_said(rules: tuple[str, ...], said: str) -> None:
    with pytest.raises(SuiteError, match="planted") as caught:
        suite_of(FACTORS, *rules)
    assert said in str(caught.value)


def test_an_id_that_is_there_twice_and_a_missing_key_are_refused() -> None:
    text = suite_of(FACTORS, RULE, RULE).text
    with pytest.raises(SuiteError, match=r'\[\[claims\]\] 2 \(c0\): id: "c0" is there twice.'):
        parse_suite(text.replace('"c1"', '"c0"'), Path("planted.toml"))
    with pytest.raises(SuiteError, match=r"\[\[claims\]\] 1 \(c0\): source is missing."):
        parse_suite(text.replace('source = "A paper."', "", 1), Path("planted.toml"))
    bare = parse_suite(re.sub('(paper|differs) = ".*"', "", text), Path("p.toml"))
    assert [(claim.paper, claim.differs) for claim in bare.claims] == [("", "")] * 2
    with pytest.raises(SuiteError, match="nested more than 14 deep"):
        parse_suite(text + "lost = " + "[" * 40 + "]" * 40, Path("planted.toml"))


def test_both_sides_must_choose_from_the_same_levels() -> None:
    more = "steps = 60" + '\n[[include]]\ninitializer = { level = "orthogonal" }\nlearning_rate = 0.5\n'
    with pytest.raises(SuiteError, match=r"best: learning_rate 0\.5: only one side has it"):
        suite_of(FACTORS, RULE, fixed=more)


def test_sides_of_which_no_cell_has_a_partner_are_refused() -> None:
    rule = RULE.replace('where = { activation = "relu" }\n', "").replace("initializer =", "activation =")
    rule = rule.replace("orthogonal", "selu").replace("glorot_uniform", "relu")
    factors = 'activation = ["selu"]\ninitializer = ["lecun_normal"]\nlearning_rate = [0.01, 0.1]\n'
    fixed = 'steps = 60\n[[include]]\nactivation = "relu"\ninitializer = "he_normal"\n'
    with pytest.raises(SuiteError, match="no pair: they differ in initializer too; name its levels on both sides"):
        suite_of(factors, rule, fixed=fixed)
    named = rule.replace('"selu" }', '"selu", initializer = "lecun_normal" }')
    named = named.replace('"relu" }', '"relu", initializer = "he_normal" }')
    assert suite_of(factors, named, fixed=fixed).claims[0].parts[0].against


def test_a_table_that_is_never_recorded_is_refused() -> None:
    rule = RULE.replace("{ learned = 0.9 }", '{ response = "loss_area" }')
    with pytest.raises(SuiteError, match="best: evaluations is never recorded here"):
        suite_of(FACTORS, rule, fixed='steps = 60\n[record]\nevaluations = "never"')


def test_the_schema_takes_what_is_read_and_refuses_what_is_not() -> None:
    allowed = jsonschema.Draft7Validator(suite_schema())
    jsonschema.Draft7Validator.check_schema(suite_schema())
    written = tomllib.loads(suite_of(FACTORS, RULE, PARTS, POINTS).text)
    allowed.validate(written)
    bast = {"number": {"learned": 0.9}, "bast": "depth"}
    for rule in (bast, {"number": {"response": "none"}}, {"where": {"dept": 4}}):
        claim = written["claims"][0] | {"rule": rule}
        assert not allowed.is_valid(written | {"claims": [claim]}), rule


def test_a_claim_may_name_each_quantity_of_a_run_and_none_of_each_step() -> None:
    for name, each in QUANTITIES.items():
        rule = f'number = {{ response = "{name}" }}\nleast = 0'
        if each.per_step:
            with pytest.raises(SuiteError, match=f'"{name}" is a number of each recorded step'):
                suite_of("depth = [4]", rule)
        else:
            own = {"fixed": IN_TIME} if each.table == "time_gradients" else {}
            assert suite_of("depth = [4]", rule, **own).claims[0].parts[0].number == each


# The language is enough for the literature.
SUITES = Path(__file__).parents[2] / "suites"
PAPERS = [
    *sorted((SUITES / "claims").glob("*.toml")),
    *(SUITES / f"{name}.toml" for name in ("textbook", "recurrent", "default")),
]


@pytest.mark.parametrize(  # default's claims are ten of textbook's
    "path", [pytest.param(each, marks=[pytest.mark.full] * (each.stem == "default"), id=each.stem) for each in PAPERS]
)
def test_every_claim_is_said_and_judged(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"#:schema (\.\./)?suite\.schema\.json\n", text)
    jsonschema.Draft7Validator(suite_schema()).validate(tomllib.loads(text))
    found = dry_results(re.sub(r"^replicates = \d+", "replicates = 3", text, flags=re.MULTILINE))
    assert found.suite.name == path.stem
    judged = judge_claims(found.tables, found.suite.claims)
    assert len(judged) >= 2
    for claim in judged:
        assert claim.verdict in set(Verdict)
        for part in claim.parts:
            assert part.counts.judged > 0 and part.counts.missing == 0
            assert part.why.startswith("too few") or not math.isnan(part.low), part.why
            assert part.rule.startswith("The ") and part.rule.endswith(".") and part.unit
