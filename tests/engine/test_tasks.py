"""Tasks on sequences: their rules, their naive losses, their sizes, and that a small network learns them."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import entr
from scipy.stats import binom

from bench.analysis import Outcome, judge
from bench.engine.datasets import describe, load, load_raw
from bench.engine.npz import NAMES
from bench.engine.objective import Objective
from bench.engine.scores import naive_scores, split_scores
from bench.engine.tasks import tokens
from bench.engine.train import train_cohort
from bench.errors import DataError, SuiteError
from bench.factors import FACTORS, Choice, TaskLevel, choose, dataset_level
from bench.factors.topics import SYMBOLS, topics, topics_digest
from bench.plan.costs import estimate_memory, run_bytes
from bench.theory import profile
from tests.cohorts import cohorts

RECORD = """
[record]
gradient_norms = "never"
loss_curves = "never"
activations = "never"
evaluations = { at = [0, "last"] }
"""
TASKS = [level.name for level in FACTORS["dataset"].levels if isinstance(level, TaskLevel)]
RULED = [name for name in TASKS if name not in ("text", "shapes")]  # whose targets follow from the sample alone


def dataset(name: str, **settings: object) -> Choice:
    return choose(FACTORS["dataset"], {"level": name, **settings})


def _adding(x: np.ndarray) -> np.ndarray:
    marks, half = x[..., 1], x.shape[1] // 2
    assert set(np.unique(marks).tolist()) == {0.0, 1.0}
    assert (marks[:, :half].sum(axis=1) == 1).all() and (marks[:, half:].sum(axis=1) == 1).all()
    assert x[..., 0].min() >= 0.0 and x[..., 0].max() < 1.0
    return np.where(marks == 1.0, x[..., 0], 0.0).sum(axis=1)


def _symbols(x: np.ndarray) -> np.ndarray:
    assert (np.sort(x, axis=-1)[..., -1] == 1.0).all() and (x.sum(axis=-1) == 1.0).all()
    return x.argmax(axis=-1)


def _recall(x: np.ndarray) -> np.ndarray:
    shown = _symbols(x)
    symbols = x.shape[-1] - 2
    assert shown[:, 0].max() < symbols and (shown[:, 1:-1] == symbols).all() and (shown[:, -1] == symbols + 1).all()
    return shown[:, 0]


def _copy_memory(x: np.ndarray) -> np.ndarray:
    shown = _symbols(x)
    blank = x.shape[-1] - 2
    items = int(np.argmax(shown[0] == blank))
    assert (shown[:, :items] < blank).all()
    rest = np.full((len(x), x.shape[1] - items), blank)
    rest[:, -items - 1] = blank + 1
    assert (shown[:, items:] == rest).all()
    return np.concatenate([np.full((len(x), x.shape[1] - items), blank), shown[:, :items]], axis=1)


def _temporal_order(x: np.ndarray) -> np.ndarray:
    shown, length = _symbols(x), x.shape[1]
    rows, places = np.nonzero(shown >= 4)
    assert (np.bincount(rows, minlength=len(x)) == 2).all()
    first, second = places[::2], places[1::2]
    assert length // 10 <= first.min() and first.max() < 2 * length // 10
    assert 4 * length // 10 <= second.min() and second.max() < 5 * length // 10
    every = np.arange(len(x))
    return 2 * (shown[every, first] == 5) + (shown[every, second] == 5)


def _parity(x: np.ndarray) -> np.ndarray:
    assert (np.abs(x) == 1.0).all()
    return (np.prod(x[..., 0], axis=1) < 0).astype(int)


def _recalled(x: np.ndarray) -> np.ndarray:
    keys, values, symbols = x[:, :-1:2], x[:, 1::2], 16 if x.shape[1] == 17 else 5
    assert keys.min() == 0 and keys.max() == symbols - 1 == values.min() - 1 and values.max() == 2 * symbols - 1
    assert (np.diff(np.sort(keys, axis=1), axis=1) > 0).all()
    asked = keys == x[:, -1:]
    assert (asked.sum(axis=1) == 1).all() and asked.any(axis=0).all()
    return values[asked] - symbols


def _sorted_entropy(length: int, symbols: int) -> float:
    """Mean over i of the entropy of the i-th of `length` draws in order, in nats."""
    least = binom.sf(np.arange(length)[:, None], length, np.arange(1, symbols + 1) / symbols)
    return float(entr(np.diff(least, axis=1, prepend=0.0)).sum(axis=1).mean())


# What a task's samples say of their targets; the best constant answer's loss, in nats or squared; the digest of the
# validation rows, which never change.
RULES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float, dict[str, object], str]] = {
    "adding": (_adding, 1 / 6, {"length": 11}, "7159bb41a272ae41"),
    "recall": (_recall, math.log(5), {"length": 3, "symbols": 5}, "c865e7ff5a7253b8"),
    "copy_memory": (_copy_memory, 4 * math.log(5) / 15, {"delay": 7, "items": 4, "symbols": 5}, "32981577417a5ddc"),
    "temporal_order": (_temporal_order, math.log(4), {"length": 37}, "0ffb0d79ae892886"),
    "parity": (_parity, math.log(2), {"length": 7}, "5cc69b1fe795af55"),
    "associative_recall": (_recalled, math.log(5), {"pairs": 3, "symbols": 5}, "1c20aadbbe50730f"),
    "reverse": (lambda x: x[:, ::-1], math.log(5), {"length": 7, "symbols": 5}, "954380bb4f1c54c3"),
    "sort": (lambda x: np.sort(x, axis=1), _sorted_entropy(7, 5), {"length": 7, "symbols": 5}, "dd7fa0d0472ca309"),
}


@pytest.mark.parametrize("name", RULED)
def test_targets_follow_from_the_samples_and_the_naive_loss_is_the_rule_s(name: str) -> None:
    rule, naive, settings, bits = RULES[name]
    assert dataset_level(dataset(name)) == FACTORS["dataset"].level(name)
    for choice in (dataset(name), dataset(name, **settings, rows=3000)):
        level, data = dataset_level(choice), load(choice, "standardize")
        assert isinstance(level, TaskLevel)
        assert (level.input_shape, level.classes, level.train_rows) == (data.shape, data.classes, len(data.x_train))
        kind, numbers = ("tokens", np.int32) if data.vocabulary else ("sequence", np.float32)
        assert (level.kind, level.asks, len(data.x_validation)) == (kind, data.kind, 1024)
        for x, y in ((data.x_train, data.y_train), (data.x_validation, data.y_validation)):
            assert x.dtype == numbers and len(np.unique(x.reshape(len(x), -1), axis=0)) > 1
            np.testing.assert_allclose(y.ravel(), rule(x).ravel(), rtol=1e-6)
    fresh = naive_scores(data.kind, np.concatenate([data.y_train, data.y_validation]))["naive_loss"]
    assert fresh == pytest.approx(naive, rel=0.06)  # four standard errors of a variance from 4000 draws of adding
    raw = load_raw(dataset(name))
    assert sha256(raw[2].tobytes() + raw[3].tobytes()).hexdigest()[:16] == bits


@pytest.mark.parametrize("name", TASKS)
def test_draws_are_fixed_and_validation_does_not_depend_on_the_rows_that_train(name: str) -> None:
    few, again, many = (load_raw(dataset(name, rows=rows)) for rows in (200, 200, 300))
    assert all(np.array_equal(one, other) for one, other in zip(few, again, strict=True))
    assert np.array_equal(few[2], many[2]) and np.array_equal(few[3], many[3])
    assert not np.array_equal(many[0][:200], few[2][:200])


def test_text_is_windows_whose_targets_are_the_next_characters_and_validation_shares_none_with_training() -> None:
    choice, whole = dataset("text", length=20, rows=300), tokens(topics())
    data, level = load(choice, "standardize"), dataset_level(choice)
    assert level is not None and (level.shape, level.input_shape, level.kind) == ((20,), (20, SYMBOLS), "tokens")
    assert (data.shape, data.vocabulary, data.classes, data.x_train.dtype) == (
        (20, SYMBOLS),
        SYMBOLS,
        SYMBOLS,
        np.int32,
    )
    folds = np.linspace(0, len(whole), 21).astype(int)
    middles = (folds[:-1] + 0.8 * np.diff(folds)).astype(int)
    parts = (list(zip(folds, middles, strict=False)), list(zip(middles, folds[1:], strict=True)))
    pieces = [b"".join(whole[a:b].astype(np.uint8).tobytes() + b"\xff" for a, b in ends) for ends in parts]
    for x, y, piece in ((data.x_train, data.y_train, pieces[0]), (data.x_validation, data.y_validation, pieces[1])):
        assert (x[:, 1:] == y[:, :-1]).all()
        windows = np.concatenate([x, y[:, -1:]], axis=1).astype(np.uint8)
        assert all(window.tobytes() in piece for window in windows)
    assert set(np.unique(whole)) >= {0, 1, *(tokens("aZ~\0"))} and whole.max() == SYMBOLS - 1
    pairs = np.zeros((SYMBOLS, SYMBOLS))
    np.add.at(pairs, (whole[:-1], whole[1:]), 1.0)
    given = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1.0)
    entropy = -(pairs * np.log(np.where(given > 0, given, 1.0))).sum() / pairs.sum()
    assert data.learned_loss == pytest.approx(entropy) and 2.2 < entropy < 2.7
    shares = np.bincount(data.y_validation.ravel()) / data.y_validation.size
    naive = naive_scores(data.kind, data.y_validation, steps_alike=data.steps_alike)
    assert naive == {"naive_loss": pytest.approx(entr(shares).sum()), "naive_accuracy": shares.max()}
    assert describe(choice).startswith(
        "text(length=20, rows=300): 300 training and 1024 validation rows of (20,) tokens of 97"
    )


def _kind_shown(image: np.ndarray) -> int:
    """Which outline stands in an image without noise: what is lit of the square around it tells."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    side = len(rows)
    assert side == len(columns) and 5 <= side <= 11 and set(np.unique(image).tolist()) == {0.0, 1.0}
    box = image[np.ix_(rows, columns)]
    corners = box[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
    kind = {(0, 0, 0, 0): 0, (1, 1, 1, 1): 1, (0, 0, 1, 1): 3}[tuple(map(int, corners))]
    bars = box.all(axis=0).any() and box.all(axis=1).any() and box.sum() == 2 * side - 1
    return 2 if bars else kind


def test_shapes_are_outlines_of_four_kinds_and_sizes_at_all_places_and_noise_is_added() -> None:
    x, y, again, _ = load_raw(dataset("shapes", size=12, noise=0.0, rows=2000))
    assert [_kind_shown(image) for image in x[..., 0]] == y.tolist()
    assert np.bincount(y).min() > 400 and x.any(axis=0).all() and x.shape[1:] == (12, 12, 1)
    noisy = load_raw(dataset("shapes", size=12, noise=0.5, rows=2000))
    assert np.array_equal(noisy[1], y) and np.std(noisy[2] - again) == pytest.approx(0.5, rel=0.02)
    choice = dataset("shapes")
    assert dataset_level(choice) == FACTORS["dataset"].level("shapes")
    data = load(choice, "unit_mean_square")
    assert (data.shape, data.classes, len(data.x_train)) == ((16, 16, 1), 4, 10_000)
    np.testing.assert_allclose(np.square(data.x_validation).mean(axis=(1, 2, 3)), 1.0, rtol=1e-5)
    naive = naive_scores(data.kind, np.concatenate([data.y_train, data.y_validation]))["naive_loss"]
    assert naive == pytest.approx(math.log(4), rel=1e-3)


def test_a_guess_among_the_values_shown_has_not_learned_which_is_whose() -> None:
    times = np.arange(9)  # how often one of 16 values is among 8: docs/suites.md has the entropy of such a guess
    assert 16 * (binom.pmf(times, 8, 1 / 16) * entr(times / 8)).sum() == pytest.approx(1.80, abs=0.005)
    assert _sorted_entropy(16, 16) == pytest.approx(1.77, abs=0.005)
    for pairs, symbols in ((3, 3), (3, 16), (8, 16)):
        x, y, *_ = load_raw(dataset("associative_recall", pairs=pairs, symbols=symbols, rows=4000))
        counts = (x[:, 1:-1:2, None] == np.arange(symbols, 2 * symbols)).sum(axis=1)
        guessed = (counts.argmax(axis=1) == y).mean()
        assert 1 / symbols + 0.1 < guessed < (1 + 1 / symbols) / 2  # half of the way from chance to 1


def test_another_python_s_text_makes_other_runs_and_is_refused_where_the_suite_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = ('dataset = ["text"]', 'architecture = "recurrent"')
    (own,) = cohorts(*written)
    choice = own.structure["dataset"]
    assert choice.digest == topics_digest() and choice.digest in str(choice.meaning)
    monkeypatch.setattr("bench.factors.datasets.topics_digest", lambda: "0" * 64)
    (other,) = cohorts(*written)
    assert own.runs[0].run_id != other.runs[0].run_id
    with pytest.raises(DataError, match=r'"pydoc_data.topics" has changed since its suite was read'):
        load_raw(choice)


def test_a_copy_of_blanks_alone_has_the_naive_accuracy_and_no_constant_answer_has_learned() -> None:
    data = load(dataset("copy_memory", delay=7, items=4, symbols=5, rows=3000), "standardize")
    naive = naive_scores(data.kind, data.y_validation)
    assert naive["naive_accuracy"] == 11 / 15  # delay + items of delay + 2 items steps
    assert naive["naive_loss"] == pytest.approx(4 * math.log(5) / 15, rel=0.01)


def test_digits_as_sequences_are_the_digits() -> None:
    whole = load(dataset("digits"), "standardize")
    for choice in (dataset("digits_rows"), dataset("digits_pixels")):
        data = load(choice, "standardize")
        assert data.x_train.reshape(-1).tobytes() == whole.x_train.tobytes()
        assert data.y_validation.tobytes() == whole.y_validation.tobytes()
    permuted = load(dataset("digits_pixels", permuted=True), "standardize")
    pixels = {column.tobytes() for column in whole.x_train.reshape(len(whole.x_train), 64).T}
    columns = [column.tobytes() for column in permuted.x_train[..., 0].T]
    assert set(columns) == pixels and columns != [c.tobytes() for c in whole.x_train.reshape(-1, 64).T]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('dataset = [{ level = "temporal_order", length = 9 }]',
         "length of temporal_order: 9 is not allowed: it must be at least 10 and at most 1000."),
        ('dataset = [{ level = "recall", symbols = 1 }]', "symbols of recall: 1 is not allowed: it must be at least 2"),
        ('dataset = [{ level = "recall", length = 1000, symbols = 64, rows = 100_000 }]',
         "so many sequences of (1000, 66) take over 1 GiB: rows can be 3043 at most."),
        ('dataset = ["digits", "parity"]\npreprocessing = ["unit_mean_square"]',
         "dataset parity and preprocessing unit_mean_square do not go together: the sequences of parity are left"),
        ('dataset = [{ level = "adding", rows = 100 }]\nbatch_size = [101]', "adding has 100 training rows."),
        ('dataset = ["text"]', "text is tokens, numbers that stand for symbols, which mlp would take as sizes"),
        ('dataset = ["text"]\narchitecture = ["recurrent"]\npreprocessing = ["unit_mean_square"]',
         "tokens are symbols and have no scale; standardize leaves them"),
        ('dataset = [{ level = "associative_recall", pairs = 20 }]',
         "20 pairs have different keys: symbols must be 20 or more."),
        ('dataset = [{ level = "associative_recall", pairs = 2 }]', "2 is not allowed: it must be at least 3"),
        ('dataset = [{ level = "sort", symbols = 1 }]', "symbols of sort: 1 is not allowed: it must be at least 2"),
        ('dataset = [{ level = "shapes", size = 10 }]', "size of shapes: 10 is not allowed: it must be at least 11"),
        ('dataset = [{ level = "shapes", noise = -1 }]', "noise of shapes: -1 is not allowed: it must be at least 0"),
        ('dataset = [{ level = "shapes", size = 128, rows = 100_000 }]',
         "so many images of (128, 128, 1) take over 1 GiB: rows can be 15360 at most."),
        ('dataset = [{ level = "adding", lenght = 9 }]', '"lenght" is not a setting of adding. Did you mean "length"?'),
    ],
)  # fmt: skip
def test_what_a_task_cannot_do_is_refused_as_the_suite_is_read(written: str, says: str) -> None:
    with pytest.raises(SuiteError) as error:
        cohorts(written)
    assert says in str(error.value)


def test_a_sequence_in_a_file_is_one_and_unequal_lengths_are_refused(tmp_path: Path) -> None:
    arrays = dict(zip(NAMES, load_raw(dataset("parity", rows=100)), strict=True))
    path = str(tmp_path / "own.npz")
    np.savez(path, **arrays)
    data = load(choose(FACTORS["dataset"], path), "standardize")
    assert (data.shape, data.classes) == ((10, 1), 2)
    whole = arrays["x_train"].astype(np.float64)  # each feature over rows and steps
    np.testing.assert_allclose(data.x_train, (whole - whole.mean()) / whole.std(), rtol=1e-6)
    unequal = np.empty(100, object)
    unequal[:] = [np.zeros((1 + row % 3, 1)) for row in range(100)]
    np.savez(path, **arrays | {"x_train": unequal})
    load.cache_clear()
    with pytest.raises(DataError, match="unequal length make such an array: pad them to one length"):
        load(choose(FACTORS["dataset"], path), "standardize")


def test_sizes_follow_the_settings_wherever_they_are_needed() -> None:
    short, long = (dict(cohorts(f'dataset = [{{ level = "adding", length = {n} }}]')[0].structure) for n in (10, 1000))
    assert run_bytes(long) - run_bytes(short) == 4 * 4 * 64 * 2 * 990  # four copies of the first kernel's numbers
    few, many = (
        estimate_memory(cohorts(f'dataset = [{{ level = "recall", length = 1000, rows = {rows} }}]')[0])
        for rows in (100, 20_100)
    )
    assert many - few == 3 * 4 * 20_000 * 1000 * 10
    assert describe(dataset("adding", length=10, rows=100)) == (
        "adding(length=10, rows=100): 100 training and 1024 validation rows of (10, 2), a value; drawn by its rule"
    )


@pytest.mark.filterwarnings("error")
def test_theory_has_a_band_for_a_head_with_one_value() -> None:
    found = profile({"dataset": "adding(length=10)", "depth": 4, "activation": "tanh"})
    for name, values in found.columns().items():
        assert np.isfinite(values).all(), name
    assert (found.preactivation_high[:-1] > found.preactivation_low[:-1]).all()


def test_a_class_at_each_step_is_scored_as_keras_scores_it() -> None:
    data = load(dataset("copy_memory", delay=2, items=1, symbols=3, rows=100), "standardize")
    objective = Objective.of(data)
    rng = np.random.default_rng(0)
    y, logits = data.y_train[:6], rng.normal(size=(2, 6, 4, 4)).astype(np.float32)
    flat = tf.constant(logits.reshape(2, 6, 16))
    losses = objective.losses(tf.constant(np.stack([y, y])), flat).numpy()
    own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(losses.mean(axis=1), [float(own(y, each)) for each in logits], rtol=1e-5)
    answers = objective.answers(flat)
    assert answers is not None and (answers.numpy() == logits.argmax(axis=-1)).all()
    right = answers.numpy() == y
    scores = split_scores({"loss": losses, "accuracy": right.astype(float), "answer": answers.numpy()}, y, 4)
    np.testing.assert_allclose(scores["accuracy"], np.stack([right[:, :4].mean((1, 2)), right[:, 4:].mean((1, 2))], 1))
    balanced = np.mean([right[:, :4][:, y[:4] == k].mean(axis=1) for k in np.unique(y[:4])], axis=0)
    np.testing.assert_allclose(scores["balanced_accuracy"][:, 0], balanced)
    assert (objective.outputs, objective.classes, objective.steps) == (16, 0, 4)


LEARNED = """
width = 32
depth = 2
optimizer = "adam"
learning_rate = 0.01
batch_size = 32
steps = {steps}
"""


@pytest.mark.traced  # hundreds of steps
@pytest.mark.parametrize(
    ("written", "steps"),
    [('{ level = "adding", length = 5 }', 300), pytest.param('"recall"', 100, marks=pytest.mark.full),
     pytest.param('{ level = "copy_memory", delay = 3, items = 2, symbols = 4 }', 100, marks=pytest.mark.full)],
    ids=["adding", "recall", "copy_memory"],
)  # fmt: skip
def test_a_small_mlp_learns(written: str, steps: int) -> None:
    (cohort,) = cohorts(f"dataset = [{written}]", LEARNED.format(steps=steps), 2, RECORD)
    judged = judge({name: table.to_pandas() for name, table in train_cohort(cohort).items()})
    assert (judged["outcome"] == Outcome.LEARNED).all(), judged["final_validation_loss"].tolist()
