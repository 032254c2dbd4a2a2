"""Suite files: what they mean, and the one sentence that an unusable one gets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from bench.cli import app, guarded
from bench.errors import SuiteError
from bench.factors import FACTORS, LOCAL
from bench.plan import make_plan
from bench.suite import Record, Schedule, Suite, load_suite, suite_schema

SUITES = Path(__file__).parents[2] / "suites"
HEAD = '[suite]\nname = "probe"\nquestion = "Does it load?"\nreplicates = 2\n'
GRID = HEAD + '[factors]\ndepth = [2, 8]\nactivation = ["relu", "tanh"]\n'

FACTOR = HEAD + "[factors]\n"
RECORD = GRID + "[record]\n"
Load = Callable[[str], Suite]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Suite:
        path = tmp_path / "probe.toml"
        path.write_text(text, encoding="utf-8")
        return load_suite(path)

    return write_and_load


def _cells(suite: Suite, *factors: str) -> list[tuple[str, ...]]:
    return [tuple(cell[name].label for name in factors) for cell in suite.cells]


def test_a_suite_is_its_product_with_defaults_filled_in(load: Load) -> None:
    suite = load(GRID + "[fixed]\nwidth = 16\n")
    assert (suite.name, suite.title, suite.replicates, suite.seed) == ("probe", None, 2, 0)
    assert _cells(suite, "depth", "activation") == [("2", "relu"), ("2", "tanh"), ("8", "relu"), ("8", "tanh")]
    assert list(suite.factors) == ["depth", "activation"]
    assert set(suite.fixed) == set(FACTORS) - {"depth", "activation"}
    assert suite.fixed["width"].value == 16
    assert suite.fixed["initializer"].name == "glorot_uniform"
    assert all(list(cell) == list(FACTORS) for cell in suite.cells)


CLIPPINGS = '[factors]\nclipping = ["none", "global_norm", { level = "global_norm", threshold = 5.0 }, "value"]\n'
ORTHOGONAL = '[factors]\ninitializer = [{ level = "orthogonal", gain = 1.5 }]\n[[include]]\ndepth = 8\ninitializer = '
RELU_TANH = [("2", "relu"), ("2", "tanh"), ("8", "relu"), ("8", "tanh")]
NORM = 'clipping = { level = "global_norm"'
SKIPS = '[factors]\nskip = ["none", "residual"]\ndepth = [1, 2]\n'


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        # The last factor of the file changes fastest.
        ('[factors]\nactivation = ["relu", "tanh"]\ndepth = [2, 8]\n',
         [("relu", "2"), ("relu", "8"), ("tanh", "2"), ("tanh", "8")]),
        # What matches all keys of an exclude is taken away; a list means any of them.
        (GRID + '[[exclude]]\ndepth = 8\nactivation = "tanh"\n', RELU_TANH[:3]),
        ("[factors]\ndepth = [2, 4, 8]\n[[exclude]]\ndepth = [2, 8]\n", [("4",)]),
        # A bare name matches any settings, a table matches exactly.
        (CLIPPINGS + '[[exclude]]\nclipping = "global_norm"\n', [("none",), ("value",)]),
        (CLIPPINGS + f"[[exclude]]\n{NORM} }}\n", [("none",), ("global_norm(threshold=5)",), ("value",)]),
        (CLIPPINGS + f"[[exclude]]\n{NORM}, threshold = 5 }}\n", [("none",), ("global_norm",), ("value",)]),
        # What exclude took away, include may bring back.
        (GRID + '[[exclude]]\ndepth = 8\n[[include]]\ndepth = 8\nactivation = "tanh"\n',
         [*RELU_TANH[:2], RELU_TANH[3]]),
        # In include a bare name is the level that the suite has.
        (ORTHOGONAL + '"orthogonal"\n', [("orthogonal(gain=1.5)", "4"), ("orthogonal(gain=1.5)", "8")]),
        (ORTHOGONAL + '{ level = "orthogonal" }\n', [("orthogonal(gain=1.5)", "4"), ("orthogonal", "8")]),
        # It takes all levels of the factors that it leaves out, and may vary a fixed factor.
        (GRID + '[[include]]\nactivation = "selu"\n', [*RELU_TANH, ("2", "selu"), ("8", "selu")]),
        (GRID + '[fixed]\nlearning_rate = 0.1\n[[include]]\ndepth = 8\nlearning_rate = 1\nactivation = "relu"\n',
         [*((*cell, "0.1") for cell in RELU_TANH), ("8", "relu", "1")]),
        # A pair that is impossible may be excluded. Plugins and files are levels.
        (SKIPS + '[[exclude]]\nskip = "residual"\ndepth = 1\n', [("none", "1"), ("none", "2"), ("residual", "2")]),
        ('[factors]\nactivation = ["relu", "mine.shapes:snake"]\ndataset = ["data/mine.npz"]\n',
         [("relu", "data/mine.npz"), ("mine.shapes:snake", "data/mine.npz")]),
    ],
)  # fmt: skip
def test_cells_are_the_product_less_exclude_with_include(load: Load, text: str, cells: list[tuple[str, ...]]) -> None:
    suite = load(text if text.startswith("[suite]") else HEAD + text)
    assert _cells(suite, *suite.factors) == cells
    assert not suite.factors.keys() & suite.fixed.keys()
    for place, levels in enumerate(suite.factors.values()):
        found = dict.fromkeys(cell[place] for cell in cells)
        assert [level.label for level in levels if level.label in found] == list(found)


def test_one_file_under_two_paths_is_one_level(load: Load, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"the same")
    with pytest.raises(SuiteError, match="is there twice"):
        load(HEAD + f'[factors]\ndataset = ["{tmp_path}/a.npz", "{tmp_path}/b.npz"]\n')
    with pytest.raises(SuiteError, match="adds a cell that is there already"):
        load(HEAD + f'[factors]\ndataset = ["{tmp_path}/a.npz"]\n[[include]]\ndataset = "{tmp_path}/b.npz"\n')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GRID + "seed = = 3", "this is not TOML: Invalid value (at line 8, column 8)."),
        ("depth = [2]\n" + HEAD, "[depth] is not a key of a suite. Known: suite, factors, fixed, record, include, exc"),
        (GRID + "[fixd]", '[fixd] is not a key of a suite. Did you mean "fixed"?'),
        ("[factors]\ndepth = [2]", "[suite] is missing."),
        (HEAD, "[factors] is missing."),
        (GRID.replace('question = "Does it load?"', ""), "[suite] question is missing."),
        (GRID.replace("replicates", "replicate"), 'replicate is not a key of a suite. Did you mean "replicates"?'),
        (GRID.replace("= 2", "= 2\nsed = 1", 1), 'sed is not a key of a suite. Did you mean "seed"'),
        (GRID.replace("= 2", "= 0", 1), "[suite] replicates: 0 is not allowed: it must be at least 1"),
        (GRID.replace("= 2", "= true", 1), "[suite] replicates: true is not a whole number."),
        (GRID.replace("= 2", "= 2.0", 1), "[suite] replicates: 2.0 is not a whole number."),
        (GRID.replace("= 2", "= 2\nseed = -1", 1), "[suite] seed: -1 is not allowed: it must be at l"),
        (GRID.replace("depth", "colour"), '[factors] colour: "colour" is not a factor. Known: dataset, '),
        (GRID.replace('"probe"', '"größe"'), "it names files: A to Z, a to z, digits, _ and -"),
        (HEAD + CLIPPINGS + '[[include]]\nclipping = "global_norm"\ndepth = 2',
         '[[include]] 1: clipping: "global_norm" may be global_norm or global_norm(threshold=5) here. '
         'Write a table: { level = "global_norm" } has the default settings.'),
        (GRID.replace('"probe"', '"../up"'),
         '[suite] name: "../up" is not allowed: it names files: A to Z, a to z, digits'),
        (GRID.replace('"probe"', '"own"'), '[suite] name: "own" is what recordings of your trainings go by.'),
        (GRID.replace('"probe"', "3"), "[suite] name: 3 is not a text."),
        (GRID.replace('"Does it load?"', '""'), '[suite] question: "" is not allowed: it must not be empty.'),
        (FACTOR, "[factors] is empty: name at least one factor and its levels."),
        (FACTOR + "depth = []", "[factors] depth: the list is empty"),
        (FACTOR + "depth = 4", "[factors] depth: 4 is not a list. Write [4], or move it to [fixed]."),
        (FACTOR + "depht = [4]", '[factors] depht: "depht" is not a factor. Did you mean "depth"? Known: da'),
        (FACTOR + "depth = [4, true]", "[factors] depth: true is not a whole number."),
        (FACTOR + "depth = [4, 2, 4]", "[factors] depth: 4 is there twice."),
        (FACTOR + "learning_rate = [1, 1.0]", "[factors] learning_rate: 1.0 is there twice."),
        (FACTOR + 'skip = ["residual", {level = "residual", layers = 2}]', "layers = 2 } is there twice."),
        (FACTOR + 'initializer = ["he_norml"]', '[factors] initializer: "he_norml" is not a level. Did you mea'),
        (GRID + "[fixed]\ndepth = 3", "[fixed] depth: it is in [factors] too."),
        (GRID + "[fixed]\nwidth = [3]", "[fixed] width: [3] is a list. Give one level, or move it to [factors]."),
        (GRID + "[fixed]\nwidht = 3", '[fixed] widht: "widht" is not a factor. Did you mean "width"?'),
        (GRID + "[include]\ndepth = 3", "[include]: { depth = 3 } is not a list of tables."),
        (GRID + "[[include]]", "[[include]] 1: it names no factor."),
        (GRID + "[[include]]\ndepth = 9\n[[include]]\nbatch = 9",
         '[[include]] 2: "batch" is not a factor. Did you mean'),
        (GRID + "[[include]]\ndepth = []", "[[include]] 1: depth: the list is empty."),
        (GRID + "[[include]]\ndepth = [3, 3]", "[[include]] 1: depth: 3 is named twice."),
        (GRID + "[[include]]\ndepth = 8", "[[include]] 1 adds a cell that is there already: depth 8, activation relu."),
        (GRID + '[[include]]\nskip = "residual"\n[[include]]\nskip = "residual"\ndepth = 2',
         "[[include]] 2 adds a cell that is there already: depth 2, activation relu, skip residual."),
        (GRID + "[[exclude]]\ndepth = 3", "[[exclude]] 1: depth: 3 matches nothing: it is 2, 8 here."),
        (GRID + "[[exclude]]\nwidth = 3", "[[exclude]] 1: width: 3 matches nothing: it is 64 here."),
        (GRID + '[[exclude]]\nactivation = "rel"', '[[exclude]] 1: activation: "rel" is not a level. Did you mean "re'),
        (GRID + "[[exclude]]\ndepth = 2\n[[exclude]]\ndepth = 2", "[[exclude]] 2 takes nothing away"),
        (GRID + "[[exclude]]\ndepth = [2, 8]", "no cell is left: [[exclude]] takes all of them away."),
        (RECORD + 'losses = "never"', '[record] "losses" is not a recorded table. Did you mean "loss_curves"?'),
        (RECORD + 'activations = "always"', '[record] activations: "always" is not a schedule. Write "every_ste'),
        (RECORD + "activations = { evry = 2 }", '[record] activations: "evry" is not a rule. Did you mean "ev'),
        (RECORD + "activations = { every = 0 }", "every = 0 is not allowed: it must be a whole number, at le"),
        (RECORD + "activations = { log_spaced = true }", "log_spaced = true is not allowed"),
        (RECORD + "activations = { at = [] }", "[record] activations: at = [] is not a list of steps"),
        (RECORD + "activations = { at = [0, 201] }", "at: 201 is not a step. Here they go from 0 to 200"),
        (RECORD + "loss_curves = { at = [200] }", "at: 200 is not a step. Here they go from 0 to 199"),
        (RECORD + "activations = { at = [5, 5] }", "at = [5, 5] names a step twice."),
        (FACTOR + f"depth = {list(range(1, 1001))}\nwidth = {list(range(1, 1002))}",
         "1001000 cells are too many: the limit is 1000000."),
        (FACTOR + 'normalization = [{ level = "group_normalization", groups = 7 }]',
         "normalization group_normalization(groups=7) and width 64 do not go together: groups = 7 must divide"),
        (HEAD + '[factors]\nwarmup = [{ level = "linear", steps = 200 }]',
         "warmup linear(steps=200) and steps 200 do not go together: a warm-up must end before the run does: its steps "
         "can be 199 at most."),
        (HEAD + '[factors]\nschedule = ["polynomial_decay"]\nlearning_rate = [1e-5]',
         "the rate would rise to end_learning_rate, 0.0001."),
        (HEAD + '[factors]\nloss = ["huber"]',
         "dataset digits and loss huber do not go together: the targets are classes: categorical_crossentropy is for"),
        (HEAD + '[factors]\nloss = ["categorical_crossentropy"]\n[fixed]\ndataset = "adding"',
         "the targets are values, which have no classes: mean_squared_error, mean_absolute_error, huber are for them."),
        (HEAD + '[factors]\nlabel_smoothing = [0, 0.1]\n[fixed]\ndataset = "adding"',
         "dataset adding and label_smoothing 0.1 do not go together: the targets are values: there is no label to sm"),
        (HEAD + '[factors]\nloss = ["binary_crossentropy"]\n[fixed]\ndataset = "digits"',
         "the targets are 10 classes: categorical_crossentropy is for more than two."),
        (HEAD + '[factors]\nclass_weight = ["balanced"]\n[fixed]\ndataset = "diabetes"',
         "dataset diabetes and class_weight balanced do not go together: the targets are values"),
        (HEAD + '[factors]\ntarget_preprocessing = ["standardize"]',
         "digits and target_preprocessing standardize do not go together: the targets are classes: there is no value"),
        (HEAD + '[factors]\nlabel_smoothing = [1.1]', "1.1 is not allowed: it must be at least 0 and at most 1."),
        (HEAD + '[factors]\nschedule = ["cosine"]', '"cosine" is not a level. Did you mean "cosine_decay"?'),
        (HEAD + SKIPS, "skip residual and depth 1 do not go together: the first hidden layer is outside the blocks"),
        (FACTOR + 'batch_size = [64, 256]\ndataset = ["wine", "digits"]',
         "dataset wine and batch_size 256 do not go together: wine has 142 training rows. Change one"),
        (FACTOR + 'initializer = ["critical"]\nactivation = ["relu", "softplus"]',
         "initializer critical and activation softplus do not go together: no variance of weights and biases"),
        (FACTOR + 'initializer = ["he_normal", "critical"]\nbias_initializer = ["zeros", "normal"]',
         "initializer critical and bias_initializer normal do not go together: critical draws the biases too."),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence_with_the_file_and_the_place(load: Load, text: str, says: str) -> None:
    with pytest.raises(SuiteError) as error:
        load(text)
    message = str(error.value)
    assert "probe.toml: " in message
    assert says in message
    assert "\n" not in message
    assert error.value.exit_code == 2


def test_a_missing_file_offers_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "depth.toml").write_text(GRID)
    with pytest.raises(SuiteError, match=r'dept\.toml: there is no such file\. Did you mean "depth\.toml"\?'):
        load_suite(tmp_path / "dept.toml")
    with pytest.raises(SuiteError, match="has no suite"):
        load_suite(tmp_path / "nowhere" / "dept.toml")


def test_what_is_not_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match="not UTF-8 text"):
        load_suite(tmp_path / "image.toml")
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(tmp_path)


# Code from outside


PLACES = {
    "[factors] activation": '[factors]\nactivation = ["relu", "evil:f"]\n',
    "[fixed] optimizer": '[factors]\ndepth = [2]\n[fixed]\noptimizer = { level = "evil:f", beta = 1.0 }\n',
    "[[include]] 2: dataset": '[factors]\ndepth = [2]\n[[include]]\ndepth = 3\n[[include]]\ndataset = ["evil:f"]\n',
}


@pytest.mark.parametrize("key", PLACES)
def test_where_code_from_outside_is_refused_file_key_and_plugin_are_named(load: Load, key: str, tmp_path: Path) -> None:
    load(HEAD + PLACES[key])
    with pytest.raises(SuiteError) as refused:
        load_suite(tmp_path / "probe.toml", plugins=False)
    assert f'probe.toml: {key}: "evil:f" is code from outside' in str(refused.value)
    assert "Known: " in str(refused.value)


@pytest.mark.parametrize("command", [["run"], ["run", "--dry"], ["check", "--build"]])
def test_then_nothing_is_imported_and_no_folder_made(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.toml"
    path.write_text(HEAD + PLACES["[factors] activation"])
    args = [command[0], str(path), *command[1:], "--no-plugins"]
    code = guarded(lambda: app(args, standalone_mode=False))
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {each.name for each in tmp_path.iterdir()} <= {"evil.py", "s.toml"}


# Schedules


@pytest.mark.parametrize(
    ("schedule", "last", "steps"),
    [
        (Schedule("never"), 5, ()),
        (Schedule("every_step"), 3, (0, 1, 2, 3)),
        (Schedule("every", 4), 10, (0, 4, 8, 10)),
        (Schedule("every", 5), 10, (0, 5, 10)),
        (Schedule("at", listed=(0, 7, "last")), 10, (0, 7, 10)),
        (Schedule("at", listed=(7, 20)), 10, (7,)),
        (Schedule("log_spaced", 2), 100, (0, 100)),
        (Schedule("log_spaced", 4), 100, (0, 1, 10, 100)),
        (Schedule("log_spaced", 5), 1000, (0, 1, 10, 100, 1000)),
        (Schedule("log_spaced", 9), 3, (0, 1, 2, 3)),
        (Schedule("log_spaced", 9), 0, (0,)),
        (Schedule("log_spaced", 2), 0, (0,)),
    ],
)
def test_schedules(schedule: Schedule, last: int, steps: tuple[int, ...]) -> None:
    assert schedule.steps(last) == steps


@pytest.mark.parametrize("count", range(2, 40))
@pytest.mark.parametrize("last", [1, 2, 7, 60, 199, 10_000])
def test_log_spaced_gives_that_many_ascending_steps_from_first_to_last(count: int, last: int) -> None:
    steps = Schedule("log_spaced", count).steps(last)
    assert len(steps) == min(count, last + 1)
    assert list(steps) == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, last)


def test_gradients_end_one_step_before_the_network_does(load: Load) -> None:
    suite = load(GRID + '[record]\nevaluations = { at = ["last"] }\ngradient_norms = { at = ["last"] }\n')
    schedules = suite.schedules(60)
    assert list(schedules) == ["gradient_norms", "activations", "loss_curves", "evaluations"]
    assert (schedules["gradient_norms"], schedules["evaluations"]) == ((59,), (60,))
    assert schedules["loss_curves"] == tuple(range(60))
    assert suite.record.activations == Record().activations


def test_what_is_within_layers_is_recorded_where_networks_have_it_and_refused_elsewhere(load: Load) -> None:
    asked = '[record]\ntime_gradients = { at = [0, "last"] }\n'
    with pytest.raises(SuiteError, match=r'time_gradients: no network of this suite has time steps.*"recurrent"'):
        load(GRID + asked)
    for table, needed in {"attention": 'heads.*"transformer"', "positions": 'positions.*"conv"'}.items():
        with pytest.raises(SuiteError, match=f"{table}: no network of this suite has {needed}"):
            load(GRID + f'[record]\n{table} = "every_step"\n')
    both = load(
        HEAD + '[factors]\narchitecture = ["mlp", "recurrent"]\n[fixed]\ndataset = "digits_rows"\nsteps = 9\n' + asked
    )
    schedules = {cohort.structure["architecture"].name: cohort.schedules for cohort in make_plan(both).cohorts}
    assert schedules["recurrent"]["time_gradients"] == (0, 8)
    assert "time_gradients" not in schedules["mlp"]
    assert "time_gradients" not in load(GRID + '[record]\ntime_gradients = "never"\n').schedules(60)


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_suites_load_name_their_schema_and_obey_it(path: Path) -> None:
    suite = load_suite(path, plugins=path.stem in ("detectors-fresh", "upgrade"))  # they alone name module:function
    assert suite.name == path.stem
    assert suite.text.startswith("#:schema suite.schema.json\n")
    jsonschema.Draft7Validator(suite_schema()).validate(tomllib.loads(suite.text))


def test_committed_schema_is_current() -> None:
    committed = json.loads((SUITES / "suite.schema.json").read_text(encoding="utf-8"))
    assert committed == suite_schema(), "run `make schema`"


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_schema_takes_every_level_with_all_its_settings(factor: object) -> None:
    assert isinstance(factor, type(FACTORS["depth"]))
    allowed = jsonschema.Draft7Validator({**suite_schema(), "required": ["factors"]})
    for level in factor.levels:
        settings = {name: "mine.npz" if each.default == "" else each.default for name, each in level.settings.items()}
        allowed.validate({"factors": {factor.name: [{"level": level.name} | settings]}})
        if level.name not in LOCAL:
            allowed.validate({"factors": {factor.name: [level.name]}})
    for wrong in ("nonsense", {"level": "nonsense"}, True, []):
        assert not allowed.is_valid({"factors": {factor.name: [wrong]}})


def test_schema_refuses_unknown_keys() -> None:
    allowed = jsonschema.Draft7Validator(suite_schema())
    good = tomllib.loads(GRID)
    allowed.validate(good)
    for wrong in (good | {"fixd": {}}, good | {"factors": {"depht": [2]}}, good | {"record": {"losses": "never"}}):
        assert not allowed.is_valid(wrong)


def test_the_guide_names_every_factor_level_and_setting() -> None:
    lines = (SUITES.parent / "docs" / "suites.md").read_text(encoding="utf-8").splitlines()
    for factor in FACTORS.values():
        (row,) = [line for line in lines if line.startswith(f"| `{factor.name}` | ") and line.count("|") == 5]
        assert f"| `{factor.default}` |" in row
        assert ("`module:name`" in row) == factor.plugins
        for level in factor.levels:
            assert f"`{level.name}`" in row
            for name, setting in level.settings.items():
                assert (f"{name} = {setting.default}" if setting.default != "" else name) in row
