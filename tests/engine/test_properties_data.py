"""Local data altered in many ways: arrays that can be trained on, or one message; nothing is ever unpickled."""

from __future__ import annotations

import os
import pickle
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.engine.datasets import load
from bench.errors import DataError
from bench.factors import FACTORS, choose
from tests.suite.mutations import examples

NAMES = ("x_train", "y_train", "x_test", "y_test")
DTYPES = st.one_of(
    hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.boolean_dtypes(),
    hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(max_len=3), hnp.datetime64_dtypes(),
)  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.place,)


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    return draw(hnp.arrays(draw(DTYPES), draw(SHAPES)))


@st.composite
def files(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Samples and labels that match, but for one array at most, which is any other or missing."""
    shape = draw(st.sampled_from([(3,), (2, 2), (0,)]))
    numbers = draw(st.sampled_from([st.floats(-9, 9), st.floats(), st.sampled_from([1e308, -1e308, 0.0, 5e-324])]))
    classes = st.integers(0, 4) if draw(st.integers(0, 3)) else st.integers(-1, 4) | st.sampled_from([2**31, 2**62])
    made = {}
    for part, least in (("train", 2), ("test", 1)):
        rows = draw(st.integers(least, 6))
        made[f"x_{part}"] = draw(hnp.arrays(np.float64, (rows, *shape), elements=numbers))
        made[f"y_{part}"] = draw(hnp.arrays(np.int64, rows, elements=classes))
    changed = draw(st.sampled_from([None, None, *NAMES]))
    if changed:
        made |= {changed: draw(any_array())}
        if draw(st.integers(0, 5)) == 0:
            del made[changed]
    return made


@examples(400)
@given(files(), st.sampled_from(["standardize", "unit_mean_square"]))
def test_any_arrays_can_be_trained_on_or_are_refused(arrays: dict[str, np.ndarray], preprocessing: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.npz"
        np.savez(path, **arrays)
        try:
            data = load(choose(FACTORS["dataset"], str(path)), preprocessing)
        except DataError as error:
            assert str(path) in str(error)
            assert len(str(error).replace(folder, "")) < 600
            return
        for x, y in ((data.x_train, data.y_train), (data.x_validation, data.y_validation)):
            assert x.dtype == np.float32 and np.isfinite(x).all()
            assert x.shape == (len(y), *data.shape) and len(y) and x[0].size
            assert y.dtype == np.int32 and y.min() >= 0 and y.max() < data.classes
        assert data.classes >= 2


@examples(60)
@given(st.sets(st.sampled_from(NAMES), min_size=1), st.integers(0, 3))
def test_no_array_of_objects_is_unpickled_whatever_its_shape(names: set[str], sides: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trap, path = Path(folder) / "sprung", Path(folder) / "d.npz"
        objects = np.full((1,) * sides, None, dtype=object)
        objects[...] = Trap(str(trap))
        good = {"x_train": np.eye(2), "y_train": np.arange(2), "x_test": np.eye(2), "y_test": np.arange(2)}
        np.savez(path, **good | dict.fromkeys(names, objects))
        with pytest.raises(DataError, match=re.escape(str(path))):
            load(choose(FACTORS["dataset"], str(path)), "standardize")
        path.with_name("bare.npz").write_bytes(pickle.dumps(objects))
        with pytest.raises(DataError, match=r"bare\.npz"):
            load(choose(FACTORS["dataset"], str(path.with_name("bare.npz"))), "standardize")
        assert not trap.exists()
        with np.load(path, allow_pickle=True) as archive:
            assert archive[min(names)].shape == objects.shape  # reading it springs the trap: it was set
        assert trap.exists()
