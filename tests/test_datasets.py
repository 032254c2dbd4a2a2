"""Datasets: what they hold, how they are scaled, where they are looked for, and what is refused."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.engine.datasets import keras_path, load, load_raw, read_npz
from bench.errors import DataError
from bench.factors import FACTORS, Choice, choose

ROOT = Path(__file__).parents[1]


def dataset(written: object) -> Choice:
    return choose(FACTORS["dataset"], written)


@pytest.mark.parametrize(
    ("name", "rows", "shape", "classes"),
    [
        ("digits", (1437, 360), (8, 8, 1), 10),
        ("mnist1d", (4000, 1000), (40, 1), 10),
        ("breast_cancer", (455, 114), (30,), 2),
        ("wine", (142, 36), (13,), 3),
    ],
)
def test_offline_datasets_are_standardized_on_their_training_rows(
    name: str, rows: tuple[int, int], shape: tuple[int, ...], classes: int
) -> None:
    data = load(dataset(name), "standardize")
    assert (len(data.y_train), len(data.y_validation)) == rows
    assert (data.shape, data.classes) == (shape, classes)
    assert set(data.y_train) == set(range(classes))
    std = data.x_train.std(axis=0)
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(std[std > 0.5], 1.0, rtol=1e-4)
    assert abs(data.x_validation.mean()) > 1e-6  # scaled by the training rows, not by its own


def test_unit_mean_square_scales_each_sample() -> None:
    data = load(dataset("wine"), "unit_mean_square")
    np.testing.assert_allclose((data.x_train**2).mean(axis=1), 1.0, rtol=1e-5)


def test_the_split_is_fixed_and_loses_no_row() -> None:
    one, other = load_raw(dataset("wine")), load_raw(dataset("wine"))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
    both = np.concatenate([one[0], one[2]])
    assert len(np.unique(both, axis=0)) == 178


def small_images(channels: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (20, 28, 28, *channels), dtype=np.uint8), (np.arange(20) % 10).astype(np.uint8)


def serve_from(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Let Keras find its file at `path`: a small one cannot have the hash that Keras asks of the real one."""
    module: ModuleType = __import__(f"keras.src.datasets.{name}", fromlist=["get_file"])
    monkeypatch.setattr(module, "get_file", lambda *_, **__: str(path))


def test_mnist_is_read_from_a_file_in_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = small_images()
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    serve_from(monkeypatch, "mnist", tmp_path / "mnist.npz")
    x_train, y_train, x_validation, y_validation = load_raw(dataset("mnist"))
    np.testing.assert_array_equal(x_train[..., 0], x)
    assert (x_validation.shape, y_train.tolist(), len(y_validation)) == ((5, 28, 28, 1), y.tolist(), 5)


def write_fashion(folder: Path) -> None:
    x, y = small_images()
    folder.mkdir(parents=True)
    for name, values, header in (("images-idx3", x, 16), ("labels-idx1", y, 8)):
        for split, rows in (("train", values), ("t10k", values[:5])):
            with gzip.open(folder / f"{split}-{name}-ubyte.gz", "wb") as handle:
                handle.write(bytes(header) + rows.tobytes())


def bench(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    closed = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "KERAS_HOME": str(home)}
    environment = os.environ | closed | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


def test_fashion_mnist_is_found_where_keras_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    write_fashion(keras_path("fashion_mnist"))
    done = bench(tmp_path, "data", "fashion_mnist")
    assert done.returncode == 0, done.stderr
    assert "20 training and 5 validation rows of (28, 28, 1), 10 classes" in done.stdout
    assert str(keras_path("fashion_mnist")) in done.stdout


def test_without_a_network_the_place_is_told_and_nothing_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    done = bench(tmp_path / "keras", "run", "mnist", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert str(keras_path("mnist")) in done.stderr
    assert "bench data mnist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


BATCHES = ["test_batch", *(f"data_batch_{k}" for k in range(1, 6))]
CIFAR = [
    ("cifar10", b"labels", [f"cifar-10-batches-py/{batch}" for batch in BATCHES]),
    ("cifar100", b"fine_labels", ["cifar-100-python/train", "cifar-100-python/test"]),
]


@pytest.mark.parametrize(("name", "label", "files"), CIFAR)
def test_cifar_is_read_from_batches_in_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, label: bytes, files: list[str]
) -> None:
    rows = 10_000 if name == "cifar10" else 4  # Keras has room for 10,000 rows a batch of cifar10
    x = np.random.default_rng(0).integers(0, 256, (rows, 3072), dtype=np.uint8)
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(pickle.dumps({b"data": x, label: [k % 10 for k in range(rows)]}))
    serve_from(monkeypatch, name, tmp_path)
    x_train, y_train, x_validation, _ = load_raw(dataset(name))
    assert x_train.shape[1:] == (32, 32, 3)
    assert y_train.ndim == 1
    np.testing.assert_array_equal(x_validation[0], x[0].reshape(3, 32, 32).transpose(1, 2, 0))


GOOD = {
    "x_train": np.arange(24.0).reshape(8, 3),
    "y_train": np.arange(8) % 2,
    "x_test": np.ones((2, 3)),
    "y_test": np.array([0, 1]),
}


def npz(folder: Path, **changed: object) -> Choice:
    arrays = {name: array for name, array in (GOOD | changed).items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)  # type: ignore[arg-type]
    return dataset(str(folder / "mine.npz"))


def test_a_local_file_is_a_dataset(tmp_path: Path) -> None:
    data = load(npz(tmp_path), "standardize")
    assert (data.shape, data.classes, len(data.y_train)) == ((3,), 2, 8)


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.path, "sprung"))


def test_objects_in_a_file_are_never_unpickled(tmp_path: Path) -> None:
    choice = npz(tmp_path, x_train=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(DataError, match="not a readable"):
        load(choice, "standardize")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y_test": None}, "lacks y_test; it holds x_train, y_train, x_test"),
        ({"x_train": np.full((8, 3), np.nan)}, "train rows: x holds 24 NaN"),
        ({"x_test": np.full((2, 3), np.inf)}, "validation rows: x holds 6 NaN or infinite"),
        ({"y_train": np.zeros(7, int)}, r"x has shape \(8, 3\) and y \(7,\)"),
        ({"y_train": np.zeros(8)}, "y is float64; allowed are"),
        ({"y_train": np.full(8, -1)}, "holds the class -1"),
        ({"x_train": np.array(["a"] * 8)}, "x is <U1"),
        ({"x_train": np.zeros(8)}, r"shape \(8,\)"),
        ({"x_test": np.ones((2, 4))}, r"samples of \(4,\); the training rows' are \(3,\)"),
        ({"x_train": np.zeros((0, 3)), "y_train": np.zeros(0, int)}, r"shape \(0, 3\)"),
    ],
)
def test_unusable_arrays_are_named(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(npz(tmp_path, **changed), "standardize")


def test_a_missing_and_a_broken_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_npz(tmp_path / "nowhere.npz")
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable"):
        read_npz(tmp_path / "broken.npz")
