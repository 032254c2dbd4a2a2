"""What is looked at of a part of a tensor is right of that part, and near what all of it says."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.recorder.activations import _part, few, statistics
from bench.recorder.inner_optimizers import SAMPLED
from bench.recorder.layout import STATISTICS
from bench.recorder.norms import small_sums
from bench.recorder.optimizers import _some
from bench.recorder.slopes import LOOKED


def by_numpy(h: np.ndarray) -> dict[str, float]:
    """The statistics of a relu's outputs [B, ..., units], as docs/tables.md has them."""
    flat = h.reshape(len(h), -1).astype(np.float64)
    directions = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    pairs = ~np.eye(len(h), dtype=bool)
    return {
        "mean": flat.mean(),
        "std": flat.std(),
        "unit_std": np.sqrt(flat.var(axis=1).mean()),
        "saturated_fraction": (flat <= 0).mean(),
        "dead_fraction": (h.reshape(-1, h.shape[-1]).max(axis=0) <= 0).mean(),
        "nonpositive_fraction": (flat <= 0).mean(),
        "pair_correlation": (directions @ directions.T)[pairs].mean(),
    }


@pytest.mark.parametrize("shape", [(16, 12), (4, 6, 6, 8)])
def test_statistics_of_a_small_tensor_are_numpys_of_all_of_it(shape: tuple[int, ...]) -> None:
    h = np.maximum(np.random.default_rng(0).normal(0.3, 1.0, shape), 0.0).astype(np.float32)
    h[..., 3] = 0.0
    dead = np.zeros_like(h[:1])
    place = {"h": tf.constant(h), "maker": keras.activations.relu}
    found = np.reshape(statistics([place, place | {"h": tf.constant(np.concatenate([h, dead]))}]), [2, -1])
    expected = by_numpy(h)
    for name, value in expected.items():
        assert found[0, STATISTICS.index(name)] == pytest.approx(value, rel=1e-5), name
    assert np.isnan(found[0, STATISTICS.index("large_fraction")])
    # A sample that is 0 has no direction: it is in no pair.
    assert found[1, -1] == pytest.approx(expected["pair_correlation"], rel=1e-5)


def test_statistics_of_many_places_are_those_of_each_alone() -> None:
    draw = np.random.default_rng(1)
    tanh, relu, gelu = keras.activations.tanh, keras.activations.relu, keras.activations.gelu
    places = []
    for made, shape in [(tanh, (8, 6)), (relu, (8, 6)), (tanh, (8, 6)), (gelu, (8, 6)), (tanh, (8, 3)), (relu, (8, 6))]:
        z = tf.constant(4.0 * draw.normal(size=shape), tf.float32)
        places.append({"h": made(z), "z": z, "maker": made})
    found = tf.function(lambda: statistics(places))()
    alone = np.concatenate([statistics([place]) for place in places])
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)


def test_sums_of_small_tensors_keep_their_order() -> None:
    numbers = [np.full(size, 10.0**-k) for k, size in enumerate([3, 5, 3, 1, 5, 2])]
    found = small_sums([tf.constant(each) for each in numbers])
    np.testing.assert_allclose(found, [np.sum(each**2) for each in numbers], rtol=1e-12)


@pytest.mark.parametrize(("shape", "units", "samples"), [((256, 9), 16, 16), ((256, 9), 512, 4), ((3, 9), 16, 3)])
def test_fewer_samples_do_where_a_layer_has_many_units(shape: tuple[int, ...], units: int, samples: int) -> None:
    assert few(tf.zeros(shape), units).shape[0] == samples


def test_units_that_are_copies_of_each_other_have_no_spread() -> None:
    h = tf.repeat(tf.constant([[1.0], [100.0], [3.0]]), 7, axis=1)
    found = statistics([{"h": h, "maker": None}]).numpy()
    assert found[STATISTICS.index("unit_std")] == 0.0
    assert found[STATISTICS.index("pair_correlation")] == pytest.approx(1.0, abs=1e-6)


def test_a_part_of_an_image_meets_all_its_columns() -> None:
    columns = tf.broadcast_to(tf.range(16.0)[None, None, :, None], [8, 16, 16, 64])
    part = _part(columns).numpy()
    assert part.size <= LOOKED
    assert set(part.ravel()) == set(range(16))
    assert few(columns).shape[0] == 2


@pytest.mark.parametrize("shape", [(512, 512), (3, 3, 100, 70), (999, 333)])
def test_a_part_of_a_gradient_meets_all_rows_and_columns_alike(shape: tuple[int, ...]) -> None:
    rows = np.broadcast_to(np.arange(shape[-2], dtype=np.float32)[:, None], shape)
    columns = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape)
    for numbers, least in ((rows, 0.85), (columns, 1.0)):
        part, share = _some(tf.constant(numbers))
        assert SAMPLED / 2 <= part.shape.num_elements() <= 2 * SAMPLED
        assert share * part.shape.num_elements() == pytest.approx(numbers.size)
        assert len(np.unique(part)) >= least * len(np.unique(numbers))
        assert np.mean(part) == pytest.approx(numbers.mean(), rel=0.05)
