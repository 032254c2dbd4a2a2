"""The catalogue of factors, and how a written level becomes a choice."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.factors
from bench.errors import SuiteError
from bench.factors import FACTORS, Factor, Level, Place, Setting, choose, level_name, read_label

LEVELS = [(factor, level) for factor in FACTORS.values() for level in factor.levels]


def test_order_of_factors_and_what_shares_a_graph() -> None:
    assert list(FACTORS) == [
        "dataset", "preprocessing", "target_preprocessing", "architecture", "depth", "width", "activation",
        "initializer", "bias_initializer", "normalization", "skip", "cell", "recurrent_initializer", "gate_bias",
        "direction", "truncate",
        "kernel_size", "padding", "downsample", "head_pool", "heads", "feed_forward", "block", "sublayers", "query_key",
        "attention_gain", "logit_scale", "causal", "position", "embedding_initializer", "tied", "z_loss", "loss",
        "label_smoothing", "class_weight", "clipping", "regularization", "dropout", "precision", "optimizer",
        "learning_rate", "warmup", "schedule", "batch_size", "steps",
    ]  # fmt: skip
    on_the_run_axis = {name for name, factor in FACTORS.items() if factor.place is Place.RUN}
    assert on_the_run_axis == {
        "initializer", "bias_initializer", "recurrent_initializer", "gate_bias", "truncate", "attention_gain",
        "embedding_initializer", "z_loss", "label_smoothing", "class_weight", "clipping", "regularization", "dropout",
        "learning_rate", "warmup", "schedule",
    }  # fmt: skip


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_default_is_a_level_without_changed_settings(factor: Factor) -> None:
    choice = choose(factor, factor.default)
    assert choice.label == str(factor.default)
    assert bool(factor.levels) != bool(factor.number)
    names = [level.name for level in factor.levels]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("factor", "level"), LEVELS, ids=[f"{factor.name}-{level.name}" for factor, level in LEVELS])
def test_every_level_says_what_it_is_and_where_it_comes_from(factor: Factor, level: Level) -> None:
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", level.name)
    assert level.summary.endswith(".") and level.source
    needed = {"level": level.name} | {name: "own.npz" for name, each in level.settings.items() if each.default == ""}
    for setting in level.settings.values():
        assert setting.summary.endswith(".")
        if setting.default != "":
            changed = {name: each.default for name, each in level.settings.items()} | needed
            assert choose(factor, changed) == choose(factor, needed)


@pytest.mark.parametrize(
    ("factor", "written", "label"),
    [
        ("depth", 12, "12"),
        ("learning_rate", 1, "1"),
        ("learning_rate", 0.00001, "1e-05"),
        ("activation", "relu", "relu"),
        ("activation", {"level": "relu"}, "relu"),
        ("initializer", {"level": "orthogonal", "gain": 1.5}, "orthogonal(gain=1.5)"),
        ("initializer", {"level": "orthogonal", "gain": 1}, "orthogonal"),
        ("initializer", {"level": "variance_scaling", "mode": "fan_out", "scale": 4},
         "variance_scaling(scale=4, mode=fan_out)"),
        ("initializer", {"level": "critical", "bias_stddev": "solved"}, "critical"),
        ("initializer", {"level": "critical", "bias_stddev": 0}, "critical(bias_stddev=0)"),
        ("clipping", {"level": "global_norm", "threshold": 5.0}, "global_norm(threshold=5)"),
        ("normalization", {"level": "group_normalization", "groups": 4, "position": "after"},
         "group_normalization(groups=4, position=after)"),
        ("dataset", "data/mine.npz", "data/mine.npz"),
        ("dataset", {"level": "npz", "path": "data/mine.npz"}, "data/mine.npz"),
        ("dataset", {"level": "csv", "path": "data/m.csv", "target": "y, m"}, 'csv(path=data/m.csv, target="y, m")'),
        ("activation", "mine.shapes:snake", "mine.shapes:snake"),
        ("activation", {"level": "mine:snake", "rate": 2.0, "odd": True}, "mine:snake(odd=true, rate=2)"),
    ],
)  # fmt: skip
def test_labels(factor: str, written: object, label: str) -> None:
    assert choose(FACTORS[factor], written).label == label


TEXTS = st.text("abE01.-_,='\"\\() \n\té–", max_size=9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), FLOATS, TEXTS)


def _values(setting: Setting) -> st.SearchStrategy[object]:
    """What a setting of the catalogue may be given, within its limits."""
    default, least = setting.default, setting.minimum if setting.minimum is not None else -1e6
    most = setting.maximum if setting.maximum is not None else 1e6
    if setting.allowed:
        return st.sampled_from(setting.allowed)
    if isinstance(default, bool):
        return st.booleans()
    numbers = st.floats(least, most, exclude_min=setting.exclusive)
    if setting.or_number:
        return st.one_of(st.just(default), numbers)
    if isinstance(default, str):
        return TEXTS.filter(bool)
    return st.integers(int(least), int(most)) if isinstance(default, int) else numbers


@st.composite
def written_levels(draw: st.DrawFn) -> tuple[Factor, object]:
    """A factor, and a value of it as a suite may write it: any level with any settings, any plugin, any number."""
    factor = draw(st.sampled_from(list(FACTORS.values())))
    if factor.number is not None:
        least, most = factor.number.minimum, factor.number.maximum or 1e9
        whole = st.integers(max(int(least), 1), int(most))
        return factor, draw(whole if factor.number.kind is int else st.floats(least, most, exclude_min=True))
    if factor.plugins and draw(st.booleans()):
        settings = draw(st.dictionaries(TEXTS.filter(lambda key: key != "level"), SCALARS, max_size=3))
        return factor, {"level": "outside.module:name", **settings}
    level = draw(st.sampled_from(factor.levels))
    given = {n: draw(_values(s)) for n, s in level.settings.items() if s.default == "" or draw(st.booleans())}
    return factor, {"level": level.name, **given}


@given(written_levels())
def test_a_table_s_label_is_read_back_as_the_choice_it_was_made_from(case: tuple[Factor, object]) -> None:
    factor, written = case
    choice = choose(factor, written)
    assert read_label(factor, choice.column) == choice
    assert read_label(factor, choice.label) == choice
    assert factor.number or choice.label.endswith(".npz") or level_name(choice.label) == choice.name


def test_labels_of_texts_that_look_like_something_else_are_quoted() -> None:
    choice = choose(FACTORS["activation"], {"level": "a:b", "k": "1", "l": "x, y=2", "m": "plain word", "n": 1})
    assert choice.label == 'a:b(k="1", l="x, y=2", m=plain word, n=1)'
    assert read_label(FACTORS["depth"], 8.0) == choose(FACTORS["depth"], 8)
    assert level_name("elu(alpha=0.5)") == level_name("elu") == "elu"


def test_settings_and_numbers_are_resolved_and_have_their_own_type() -> None:
    choice = choose(FACTORS["initializer"], {"level": "variance_scaling", "scale": 4})
    assert choice.settings == (("scale", 4.0), ("mode", "fan_in"), ("distribution", "truncated_normal"))
    assert isinstance(choice.setting("scale"), float)
    assert choice.meaning == ["variance_scaling", dict(choice.settings)]
    assert repr(choose(FACTORS["learning_rate"], 1).value) == "1.0"
    assert choose(FACTORS["learning_rate"], 1) == choose(FACTORS["learning_rate"], 1.0)
    assert repr(choose(FACTORS["depth"], 3).value) == "3"
    plugin = choose(FACTORS["optimizer"], {"level": "mine:Lion", "beta_1": 1, "amsgrad": False})
    assert plugin.name == "mine:Lion"
    assert [(name, repr(value)) for name, value in plugin.settings] == [("amsgrad", "False"), ("beta_1", "1")]


@pytest.mark.parametrize(
    ("factor", "written", "says"),
    [
        ("depth", 0, "0 is not allowed: it must be at least 1 and at most 10000."),
        ("depth", True, "true is not a whole number."),
        ("depth", 4.0, "4.0 is not a whole number."),
        ("depth", "four", '"four" is not a whole number.'),
        ("batch_size", 1, "it must be at least 2"),
        ("learning_rate", 0, "it must be above 0."),
        ("learning_rate", float("nan"), "nan is not allowed: it must be above 0."),
        ("learning_rate", float("inf"), "inf is not allowed"),
        ("learning_rate", False, "false is not a number."),
        ("initializer", "he_norml", '"he_norml" is not a level. Did you mean "he_normal"? Known: random_normal, '),
        ("initializer", "he_norml", '"module:name"'),
        ("activation", "ReLU", '"ReLU" is not a level. Did you mean "relu"? Known: '),
        ("activation", "LeakyReLU", 'Did you mean "leaky_relu"?'),
        ("dataset", "data/m.csv", '"data/m.csv" is a table of columns, of which one is the target. '
         'Write { level = "csv", path = "data/m.csv", target = "…" }.'),
        ("dataset", "m.tsv", '{ level = "csv", path = "m.tsv", target = "…", separator = "tab" }'),
        ("dataset", {"level": "m.parquet", "target": "price"},
         '{ level = "parquet", path = "m.parquet", target = "price" }'),
        ("dataset", "m.xlsx", '"m.xlsx" is not a file that a local dataset is: .npz (np.savez('),
        ("dataset", {"level": "csv", "path": "m.csv"}, "csv needs its setting target: The column to predict"),
        ("dataset", {"level": "csv", "path": "m.csv", "target": "y", "kind": "value"},
         'kind of csv: "value" is not allowed. Did you mean "values"? Known: auto, classes, values.'),
        ("dataset", "mine.npy", "np.savez("),
        ("dataset", "minst", 'Did you mean "mnist"?'),
        ("initializer", "mine:", "is not a level"),
        ("skip", "mine:Skip", '"mine:Skip" is not a level. Known: none, residual, residual_scaled, residual_damped, '
         "residual_post_norm, residual_v1, fixup."),
        ("initializer", 3, '3 is neither the name of a level nor a table such as { level = "glorot_uniform" }.'),
        ("causal", True, 'such as { level = "by_task" }. Did you mean "yes"? Known: by_task, yes, no.'),
        ("precision", "float16", 'Did you mean "mixed_float16"? Known: float32, '),
        ("initializer", "delta", 'Did you mean "delta_orthogonal"?'),
        ("initializer", {"gain": 2.0}, "{ gain = 2.0 } is neither the name of a level"),
        ("initializer", {"level": "orthogonal", "gian": 2.0},
         '"gian" is not a setting of orthogonal. Did you mean "gain"? Known: gain.'),
        ("activation", {"level": "relu", "slope": 2.0}, '"slope" is not a setting of relu. relu has none.'),
        ("initializer", {"level": "orthogonal", "gain": 0}, "gain of orthogonal: 0 is not allowed: it must be a"),
        ("initializer", {"level": "orthogonal", "gain": "big"}, 'gain of orthogonal: "big" is not a number.'),
        ("initializer", {"level": "critical", "bias_stddev": "solve"},
         'bias_stddev of critical: "solve" is neither "solved" nor a number.'),
        ("initializer", {"level": "critical", "bias_stddev": -0.1}, "it must be at least 0."),
        ("initializer", {"level": "critical", "bias_stddev": True}, "true is not a number."),
        ("skip", {"level": "residual", "layers": True}, "layers of residual: true is not a whole number."),
        ("optimizer", {"level": "adam", "beta_1": 1.5}, "it must be at least 0 and at most 1."),
        ("normalization", {"level": "layer_normalization", "position": "befor"},
         'position of layer_normalization: "befor" is not allowed. Did you mean "before"? Known: before, after.'),
        ("dataset", "npz", "npz needs its setting path"),
        ("dataset", {"level": "npz", "path": ""}, "path of npz: "),
        ("dataset", {"level": "npz", "path": 3}, "path of npz: 3 is not a text."),
        ("activation", {"level": "mine:snake", "rates": [1]}, "rates of mine:snake: [1] is neither a number"),
    ],
)  # fmt: skip
def test_refusals_say_what_was_got_and_what_is_allowed(factor: str, written: object, says: str) -> None:
    with pytest.raises(SuiteError) as error:
        choose(FACTORS[factor], written)
    assert says in str(error.value)


def test_front_page_lists_what_it_exports() -> None:
    public = {name for name in vars(bench.factors) if not name.startswith("_") and name != "annotations"}
    files = {"base", "choosing"} | {
        name for name in public if getattr(vars(bench.factors)[name], "__name__", "") == f"bench.factors.{name}"
    }
    catalogues = {name for name in public if isinstance(vars(bench.factors)[name], Factor)}
    assert set(bench.factors.__all__) == public - files - catalogues


def test_suites_and_plans_need_no_heavy_package() -> None:
    heavy = ["numpy", "pandas", "pyarrow", "scipy", "keras", "tensorflow"]
    program = f"import sys, bench.suite, bench.plan; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
