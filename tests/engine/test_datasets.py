"""Datasets: what ships offline, what Keras keeps on disk, and local files, good and bad."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import urllib.error
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bench.engine.datasets import Dataset, describe, keras_path, kind_of, load, load_raw, read_npz
from bench.engine.fitting import try_dataset
from bench.errors import DataError
from bench.factors import FACTORS, Choice, DataKind, DatasetLevel, TaskLevel, choose, content_digest, read_label
from tests.inline import bench as typed

ROOT = Path(__file__).parents[2]
OFFLINE = {  # training rows, validation rows, one sample, classes; the digest of what is standardized: it never changes
    "digits": (1438, 359, (8, 8, 1), 10, "96a632f9d812290d"),
    "digits_rows": (1438, 359, (8, 8), 10, "96a632f9d812290d"),
    "digits_pixels": (1438, 359, (64, 1), 10, "96a632f9d812290d"),
    "mnist1d": (4000, 1000, (40, 1), 10, "a18e4f72999858e2"),
    "breast_cancer": (455, 114, (30,), 2, "4e79ef05879b9ecc"),
    "wine": (142, 36, (13,), 3, "cac6881de33eafe3"),
    "diabetes": (354, 88, (10,), 1, "960b318475d10d11"),
}
Arrays = dict[str, np.ndarray]


def dataset(written: object) -> Choice:
    return choose(FACTORS["dataset"], written)


def refusal(written: object) -> str | None:
    """The one message that a dataset ends in, or None if it can be used."""
    try:
        load(dataset(written), "standardize")
    except DataError as error:
        return str(error)
    return None


def digest(data: Dataset) -> str:
    parts = (data.x_train, data.y_train, data.x_validation, data.y_validation)
    return sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]


# Offline


@pytest.mark.parametrize("name", OFFLINE)
def test_an_offline_dataset_is_scaled_by_its_training_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = load_raw(dataset(name))
    monkeypatch.setattr("bench.engine.datasets.load_raw", lambda _: raw)  # mnist1d takes seconds each time
    load.cache_clear()
    data = load(dataset(name), "standardize")
    rows, validation, shape, classes, bits = OFFLINE[name]
    levels = {level.name: level for level in FACTORS["dataset"].levels if isinstance(level, DatasetLevel)}
    shipped = {level.name for level in levels.values() if level.offline and not isinstance(level, TaskLevel)}
    assert OFFLINE.keys() == shipped  # of tasks: see test_tasks
    level = levels[name]
    assert (level.train_rows, level.shape, level.classes) == (rows, shape, classes)
    assert (data.x_train.shape, data.x_validation.shape) == ((rows, *shape), (validation, *shape))
    assert (data.shape, data.classes, data.labels) == (shape, classes, "")
    values = level.asks is DataKind.VALUES
    each = (1,) if values else ()
    assert (data.y_train.shape, data.y_validation.shape) == ((rows, *each), (validation, *each))
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.float32 if values else np.int32)
    for y in (data.y_train, data.y_validation):
        assert values or set(y.tolist()) == set(range(classes))

    x = data.x_train.astype(np.float64)
    varies = np.ptp(x, axis=0) > 0
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0)[varies], 1.0, atol=1e-5)
    assert (x[:, ~varies] == 0.0).all()  # a pixel that never changes is 0, not NaN
    assert np.isfinite(data.x_validation).all()
    assert digest(data) == bits

    x_train, _, x_validation, _ = raw
    deviation = x_train.std(axis=0)
    by_hand = (x_validation - x_train.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    np.testing.assert_allclose(data.x_validation, by_hand, rtol=1e-4, atol=1e-5)

    unit = load(dataset(name), "unit_mean_square")
    for x in (unit.x_train, unit.x_validation):
        square = np.mean(np.square(x.astype(np.float64)), axis=tuple(range(1, x.ndim)))
        np.testing.assert_allclose(square, 1.0, rtol=1e-5)


def test_images_are_scaled_in_blocks_and_never_held_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(1000, 6, 6, 3)
    monkeypatch.setattr("bench.engine.datasets.load_raw", lambda _: (x, labels(1000), x[:100], labels(100)))
    scaled = []
    for rows in (1000, 64):
        monkeypatch.setattr("bench.engine.preprocessing.BLOCK_ROWS", rows)
        scaled.append(load.__wrapped__(dataset("cifar10"), "standardize"))
    np.testing.assert_allclose(scaled[0].x_train, scaled[1].x_train, rtol=1e-6, atol=1e-7)
    tracemalloc.start()
    load.__wrapped__(dataset("cifar10"), "standardize")
    assert tracemalloc.get_traced_memory()[1] < x.size * 8  # less than one copy in double precision
    tracemalloc.stop()


def test_the_split_is_a_fifth_that_shares_no_row_and_rows_keep_their_labels() -> None:  # and is fixed: see OFFLINE
    from sklearn.datasets import load_wine

    whole = load_wine()
    label = {row.tobytes(): y for row, y in zip(whole.data, whole.target, strict=True)}
    x_train, y_train, x_validation, y_validation = load_raw(dataset("wine"))
    for x, y in ((x_train, y_train), (x_validation, y_validation)):
        assert [label[row.tobytes()] for row in x] == y.tolist()
    train, validation = ({row.tobytes() for row in x} for x in (x_train, x_validation))
    assert len(train) == 142 and len(validation) == 36
    assert not train & validation


# What Keras keeps on disk


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras folder, no network, and no comparison with the hashes of the real files."""
    from keras.src.backend import config
    from keras.src.utils import file_utils

    def unreachable(*_: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))  # Keras reads KERAS_HOME once, when imported
    monkeypatch.setattr(file_utils, "urlretrieve", unreachable)
    monkeypatch.setattr(file_utils, "validate_file", lambda *_, **__: True)
    load.cache_clear()
    (tmp_path / "datasets").mkdir()
    return tmp_path


def images(rows: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 256, (rows, *shape), dtype=np.uint8)


def labels(rows: int) -> np.ndarray:
    return (np.arange(rows) % 10).astype(np.uint8)


def write_fashion(folder: Path) -> None:
    """The four idx files, 30 training and 20 test rows."""
    folder.mkdir(parents=True)
    for prefix, rows in (("train", 30), ("t10k", 20)):
        x = struct.pack(">IIII", 2051, rows, 28, 28) + images(rows, 28, 28).tobytes()
        y = struct.pack(">II", 2049, rows) + labels(rows).tobytes()
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(x))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(y))


def write_archive(path: Path, members: dict[str, dict[bytes, object]]) -> None:
    """A tar.gz of pickled batches, as the CIFAR archives are."""
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in members.items():
            data = pickle.dumps(batch, protocol=4)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def test_mnist_is_read_from_the_file_that_keras_keeps(keras_home: Path) -> None:
    np.savez(keras_path("mnist"), x_train=images(30, 28, 28), y_train=labels(30), x_test=images(20, 28, 28),
             y_test=labels(20))  # fmt: skip
    assert keras_path("mnist") == keras_home / "datasets" / "mnist.npz"
    x_train, y_train, x_validation, y_validation = load_raw(dataset("mnist"))
    np.testing.assert_array_equal(x_train[..., 0], images(30, 28, 28))
    np.testing.assert_array_equal(x_validation[..., 0], images(20, 28, 28))  # Keras's test rows validate
    assert (y_train.tolist(), y_validation.tolist()) == (labels(30).tolist(), labels(20).tolist())
    assert load(dataset("mnist"), "standardize").shape == (28, 28, 1)


def test_cifar_is_read_from_its_archives(keras_home: Path) -> None:
    def batch(rows: int, of: str, classes: list[int]) -> dict[bytes, object]:
        return {b"data": images(rows, 3072), b"coarse_labels": [0] * rows, of.encode(): classes}

    # Keras repeats a lone row.
    members = {f"cifar-10-batches-py/data_batch_{k}": batch(1, "labels", [7]) for k in range(1, 6)}
    write_archive(keras_path("cifar10"), members | {"cifar-10-batches-py/test_batch": batch(20, "labels", [7] * 20)})
    x_train, y_train, x_validation, y_validation = load_raw(dataset("cifar10"))
    assert (x_train.shape, y_train.shape) == ((50_000, 32, 32, 3), (50_000,))
    planes = images(20, 3072).reshape(20, 3, 32, 32)
    np.testing.assert_array_equal(x_validation, planes.transpose(0, 2, 3, 1))
    assert set(y_train) == set(y_validation) == {7}

    fine = {
        f"cifar-100-python/{part}": batch(n, "fine_labels", [*range(n)]) for part, n in (("train", 100), ("test", 20))
    }
    write_archive(keras_path("cifar100"), fine)
    data = load(dataset("cifar100"), "standardize")
    assert (data.x_train.shape, data.x_validation.shape, data.classes) == ((100, 32, 32, 3), (20, 32, 32, 3), 100)
    assert keras_path("cifar10").parent == keras_path("cifar100").parent == keras_home / "datasets"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_without_network_the_error_names_the_place_and_the_command(keras_home: Path, name: str) -> None:
    said = refusal(name) or ""
    for words in (str(keras_path(name)), str(keras_home), f"`bench data {name}`", "no network here"):
        assert words in said


def bench(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The command with this Keras folder and without a network."""
    closed = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "KERAS_HOME": str(home)}
    command = [sys.executable, "-m", "bench", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | closed, check=False)


@pytest.mark.usefixtures("inline")
def test_the_command_finds_under_keras_home_what_is_there_and_names_what_is_not(keras_home: Path) -> None:
    write_fashion(keras_home / "datasets" / "fashion-mnist")
    done = typed("data", "fashion_mnist", "mnist")
    assert done.returncode == 2
    assert f"30 training and 20 validation rows of (28, 28, 1), 10 classes; {keras_home}" in done.stdout
    assert str(keras_home / "datasets" / "mnist.npz") in done.stderr and "`bench data mnist`" in done.stderr


@pytest.mark.full
def test_without_network_a_suite_ends_before_it_trains(tmp_path: Path) -> None:
    done = bench(tmp_path / "keras", "run", "mnist", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "`bench data mnist`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


# Local files


def good() -> Arrays:
    return {"x_train": np.eye(6, 4), "y_train": np.arange(6) % 3, "x_test": np.ones((2, 4)), "y_test": np.arange(2)}


def saved(folder: Path, **changes: np.ndarray | None) -> Path:
    """A file with the good arrays and these changes; None takes one away."""
    path = folder / "mine.npz"
    np.savez(path, **{name: array for name, array in (good() | changes).items() if array is not None})
    return path


def test_a_local_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for array, wanted in zip(read_npz(path), good().values(), strict=True):
        np.testing.assert_array_equal(array, wanted)
    data = load(dataset(str(path)), "standardize")
    assert (data.shape, data.classes) == ((4,), 3)
    assert describe(dataset(str(path))).startswith(f"{path}: 6 training and 2 validation rows")


@pytest.mark.parametrize(
    ("y_train", "y_test", "classes", "says"),
    [
        (np.arange(6) % 3, np.arange(2), 3, ""),
        (np.arange(6) % 3 + 1, np.array([1, 2]), 3, "its labels 1 to 3 are taken as the classes 0 to 2"),
        (np.arange(6) % 2, np.array([0, 9]), 3, "its labels 0, 1, 9 have gaps between them"),
        (np.array([7, 99999] * 3), np.array([7, 7]), 2, "its labels 7, 99999 have gaps"),
        (np.array([-1, 1] * 3, np.int8), np.array([1, 2**63], np.uint64), 3, "its labels -1, 1, 9223372036854775808"),
        (np.array([True, False] * 3), np.array([1, 0]), 2, ""),
        (np.arange(6) * 2, np.arange(6, 8) * 2, 8, "its labels 0, 2, 4, 6, 8, 10, 12, 14 have gaps"),
        (np.arange(6) * 2, np.array([20, 30, 40, 50]), 10, "its labels 0, 2, 4, 6, 8, 10, 20, …, 50 have gaps"),
    ],
)
def test_labels_become_classes_from_0_and_gaps_are_said(
    tmp_path: Path, y_train: np.ndarray, y_test: np.ndarray, classes: int, says: str
) -> None:
    path = saved(tmp_path, y_train=y_train, y_test=y_test, x_test=np.ones((len(y_test), 4)))
    data = load(dataset(str(path)), "standardize")
    order = sorted({*y_train.tolist(), *y_test.tolist()})
    assert [order[k] for k in data.y_train] == y_train.tolist()
    assert [order[k] for k in data.y_validation] == y_test.tolist()
    assert data.classes == classes and data.y_train.dtype == np.int32
    assert says in data.labels and bool(says) == bool(data.labels)
    assert try_dataset((dataset(str(path)), 2, ("mlp",))) == (f'dataset "{path}": {data.labels}' if says else "")


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_feature_that_never_varies_stays_silent(tmp_path: Path, constant: float) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 3))
    x[:, 1] = constant
    path = saved(tmp_path, x_train=x, y_train=np.arange(1000) % 2, x_test=x[:9] + 1e-7, y_test=np.arange(9) % 2)
    data = load(dataset(str(path)), "standardize")
    assert np.abs(data.x_train[:, 1]).max() < 1e-6
    assert np.abs(data.x_validation[:, 1]).max() < 1e-5
    np.testing.assert_allclose(data.x_train[:, [0, 2]].std(axis=0), 1.0, rtol=1e-5)


WHOLE = np.arange(24).reshape(6, 4)
SERIES = np.random.default_rng(0).normal(3.0, [1.0, 5.0], (6, 4, 2))


@pytest.mark.parametrize(
    ("x", "y", "asked", "says"),
    [
        (SERIES, np.arange(6) % 3, ("classes", 3), ""),
        (SERIES, np.arange(24).reshape(6, 4) % 5, ("classes_each", 5), "a class at each step"),
        (SERIES, SERIES[:, 0, 0], ("values", 1), "its targets are values to predict"),
        (SERIES, SERIES[:, :3, 0], ("values", 3), "its targets are values to predict"),
        (WHOLE, np.arange(6) % 3, ("classes", 3), ""),
        (WHOLE, np.arange(1, 25).reshape(6, 4), ("classes_each", 24), "a class at each step; "),
        (WHOLE, np.arange(200.0, 206.0) / 7, ("values", 1), "its targets are values"),
        (np.eye(600, 4), np.arange(600.0), ("values", 1), "its targets are values to predict"),
    ],
)  # fmt: skip
def test_what_a_file_s_targets_ask_for_is_told_by_their_type_and_shape(
    tmp_path: Path, x: np.ndarray, y: np.ndarray, asked: tuple[str, int], says: str
) -> None:
    tokens = 24 if x is WHOLE else 0
    path = str(saved(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y))
    choice = dataset({"level": "npz", "path": path, "tokens": tokens} if tokens else path)
    load.cache_clear()
    data = load(choice, "standardize")
    assert (str(kind_of(choice)), data.classes) == asked
    assert says in try_dataset((choice, 2, ("recurrent" if x.ndim == 3 or tokens else "mlp",)))
    if tokens:
        assert (data.shape, data.vocabulary) == ((4, 24), 24) and (data.x_train == x).all()
        assert read_label(FACTORS["dataset"], choice.label) == choice != dataset(path)
        with pytest.raises(DataError, match="architecture mlp does not take tokens; recurrent and transformer do"):
            try_dataset((choice, 2, ("mlp",)))
    elif x.ndim == 3:
        by_hand = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
        np.testing.assert_allclose(data.x_train, by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "tokens", "says"),
    [
        (SERIES, np.ones((6, 3), int), 0, ["train rows", "shape (6, 4, 2) and y (6, 3)", "[rows, 4], a class at"]),
        (SERIES, np.ones((6, 1), int), 0, ["y (6, 1)", "A column: save y.ravel()"]),
        (SERIES, np.full((6, 4, 2), 0.5), 0, ["y is float64 of shape (6, 4, 2)", "numbers [rows] or [rows, k]"]),
        (WHOLE, np.arange(6) % 3, 23,
         ["1 of its tokens outside 0 to 22, the first 23 in row 5, step 3", "tokens = 24?"]),
        (WHOLE + 1, np.arange(6) % 3, 24, ["the first 24 in row 5", "number tokens from 0 on"]),
        (WHOLE - 2, np.arange(6) % 3, 24, ["the first -2 in row 0, step 0", "what is negative"]),
        (SERIES[:, :, 0], np.arange(6) % 3, 24, ["x is float64 of shape (6, 4)", "whole numbers [rows, steps]"]),
    ],
)  # fmt: skip
def test_targets_and_tokens_that_do_not_fit_a_sequence_are_refused(
    tmp_path: Path, x: np.ndarray, y: np.ndarray, tokens: int, says: list[str]
) -> None:
    path = str(saved(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y))
    said = refusal({"level": "npz", "path": path, "tokens": tokens} if tokens else path) or ""
    assert [words for words in (path, *says) if words not in said] == []


@pytest.mark.parametrize(
    ("x", "y", "level", "says"),
    [
        (
            SERIES,
            np.arange(24).reshape(6, 4) % 5,
            ("head_pool", "global_average"),
            "would read the mean over all steps",
        ),
        (WHOLE, np.arange(6) % 3, ("tied", "yes"), "it has 24 tokens and 3 classes, and a head can share"),
        (SERIES, SERIES[:, 0, 0], ("z_loss", 0.1), "its targets are values, which have no logits"),
    ],
)
def test_what_a_network_cannot_answer_of_a_file_is_refused(
    tmp_path: Path, x: np.ndarray, y: np.ndarray, level: tuple[str, object], says: str
) -> None:
    path = str(saved(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y))
    choice = dataset({"level": "npz", "path": path, "tokens": 24} if x is WHOLE else path)
    factor, written = level
    with pytest.raises(DataError, match=says):
        try_dataset((choice, 2, ("transformer",), (factor, choose(FACTORS[factor], written))))


def test_a_batch_is_no_larger_than_the_training_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batch_size 7 is more than the 6 training rows"):
        try_dataset((dataset(str(saved(tmp_path))), 7, ("mlp",)))


def test_a_file_that_changed_since_its_suite_was_read_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    read = replace(dataset(str(path)), digest=content_digest(path))
    load_raw(read)
    saved(tmp_path, x_test=np.zeros((2, 4)))
    with pytest.raises(DataError, match="has changed since its suite was read"):
        load_raw(read)


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"y_test": None}, ["lacks y_test", "it holds x_train, y_train, x_test"]),
        ({"x_train": None, "x_test": None}, ["lacks x_train, x_test"]),
        ({"x_train": with_one(np.eye(6, 4), np.nan)}, ["train rows", "x holds 1 NaN or infinite", "first in row 1"]),
        ({"x_test": with_one(np.ones((2, 4)), -np.inf)}, ["validation rows", "x holds 1 NaN or infinite"]),
        ({"x_train": with_one(np.ones((6, 4, 3)), np.nan)}, ["x holds 3 NaN", "first in row 1, time step 2 (counted"]),
        ({"y_train": np.arange(5)}, ["train rows", "x has shape (6, 4) and y (5,)"]),
        ({"y_test": np.zeros((2, 1), int)}, ["validation rows", "y (2, 1)", "y.ravel()"]),
        ({"y_train": np.eye(6, 3)[[0, 1, 2, 0, 1, 2]]}, ["y (6, 3)", "one-hot", "y.argmax(axis=1)"]),
        ({"y_train": np.full((6, 2), 2)}, ["y (6, 2); allowed is [rows] for y."]),
        ({"x_train": np.arange(6.0)}, ["train rows", "x has shape (6,)", "x.reshape(-1, 1)"]),
        ({"x_train": np.zeros((0, 4)), "y_train": np.zeros(0, int)}, ["train rows", "x has shape (0, 4)"]),
        ({"y_train": np.zeros(6)}, ["train rows", "y is float64", "whole numbers", 'y.astype("int64")']),
        ({"y_test": np.full(2, 0.5, np.float32)}, ["validation rows", "y is float32", "np.digitize(y"]),
        ({"y_train": np.array(["a", "b"] * 3)}, ["y is <U1", "np.unique(y, return_inverse=True)[1]"]),
        ({"x_train": np.eye(300, 4), "y_train": np.arange(300) * 3}, ["y holds 301 different", "np.digitize(y"]),
        ({"x_train": np.full((6, 4), "a")}, ["train rows", "x is <U1", "numbers for x"]),
        ({"y_train": np.full(6, 3), "y_test": np.full(2, 3)}, ["one class only"]),
        ({"x_train": np.ones((6, 0)), "x_test": np.ones((2, 0))}, ["shape (6, 0)", "holds no number"]),
        ({"x_train": np.eye(6, 4) * 1e300}, ["too large to be scaled"]),
        ({"x_test": np.full((2, 4), 1e300)}, ["too large to be scaled"]),
        ({"x_train": np.eye(6, 4) + 1j}, ["x is complex128"]),
        ({"x_train": np.zeros((6, 4), "datetime64[s]")}, ["x is datetime64[s]"]),
        ({"x_test": np.ones((2, 5))}, ["samples of (5,)", "the training rows' are (4,)"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_array(tmp_path: Path, changes: Arrays, says: list[str]) -> None:
    path = saved(tmp_path, **changes)
    said = refusal(str(path)) or ""
    assert [words for words in (str(path), *says) if words not in said] == []


def test_a_missing_file_is_named_with_its_folder_and_one_that_cannot_be_is_one_message(
    tmp_path: Path,
) -> None:
    absent = tmp_path / "absent.npz"
    assert f'"{absent}": there is no such file (looked in {tmp_path})' in (refusal(str(absent)) or "")
    for name in ("a\0b.npz", "x" * 300 + ".npz", "no/" * 2000 + "x.npz"):
        assert "file" in (refusal(name) or "")


def entry(path: Path, name: str, content: bytes) -> Path:
    """The good file with one entry of these bytes."""
    saved(path.parent, **{name: None})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", content)
    return path


def header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array at all",
        header("(6, 4)"),
        header("(1000000000000000, 1000)"),
        header("(9, " * 50),
        header("(-6, 4)"),
        header("(6, 4)", "'|O'"),
        header("(6, 4)", "'<U999999999'"),
        header("(6, 4)", "[('a', '<f8'), ('b', '|O')]"),
        header("(" * 500 + ")" * 500),
    ],
)
@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_an_entry_that_is_no_array_or_lies_about_its_shape_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    said = refusal(str(entry(tmp_path / "mine.npz", name, content))) or ""
    assert "mine.npz" in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.npz.*not a readable \.npz"):
        read_npz(path)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    monkeypatch.setattr("bench.engine.npz.MAX_BYTES", 500)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(DataError, match="the limit is"):
        read_npz(path)


@pytest.mark.parametrize("seed", range(60))
def test_a_file_with_altered_bytes_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    path = saved(tmp_path)
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), rng.integers(1, 30)):
        content[place] = rng.integers(256)
    path.write_bytes(content[: rng.integers(1, len(content) + 1)] if seed % 3 == 0 else content)
    said = refusal(str(path))
    assert said is None or "mine.npz" in said


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return [np.zeros((2 + k % 3, 1)) for k in range(9)], np.arange(9) % 2", "unequal lengths, 2 to 4 steps: pad"),
        ("x = np.empty(9, object)\n    x[:] = [[0] * (1 + k) for k in range(9)]\n    return x, np.arange(9) % 2",
         "x is object; allowed are numbers for x. Its sequences have unequal lengths, "),
    ],
)  # fmt: skip
def test_a_function_s_sequences_of_unequal_lengths_are_refused_with_the_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    (tmp_path / "outside_series.py").write_text(f"import numpy as np\n\n\ndef made():\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside_series", raising=False)
    load.cache_clear()
    assert says in (refusal("outside_series:made") or "")


@pytest.mark.parametrize("body", ["raise ValueError('planted')", "return 1, 2", "return [[1], [2, 3]], 1, 2, 3"])
def test_a_plugin_that_makes_no_dataset_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    (tmp_path / "outside_data.py").write_text(f"def made():\n    {body}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside_data", raising=False)
    assert "outside_data:made" in (refusal("outside_data:made") or "")
