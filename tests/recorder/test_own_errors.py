"""A mistake in what is trained is raised as without a recorder, once, and is no fault of the recorder's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bench import Recorder

layers = keras.layers
SPARSE = "sparse_categorical_crossentropy"


class Breaks(layers.Layer):
    """Raises when it is called with numbers to train on."""

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            raise RuntimeError("a mistake within this layer")
        return x


def model(*parts: Any, loss: Any = SPARSE) -> keras.Model:
    made = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, "relu"), *parts, layers.Dense(3, "softmax")], name="mine"
    )
    made.compile("sgd", loss)
    return made


def another_shape(y: Any, answers: Any) -> Any:
    return keras.ops.mean(keras.ops.matmul(y, answers))


X, Y = np.ones((8, 4), "float32"), np.arange(8) % 3
ONE_HOT = np.eye(3, dtype="float32")[Y]
MISTAKES: dict[str, Callable[[], tuple[keras.Model, np.ndarray]]] = {
    "one-hot rows for a sparse loss": lambda: (model(), ONE_HOT),
    "shapes that do not fit": lambda: (model(loss=another_shape), ONE_HOT),
    "a layer that raises": lambda: (model(Breaks()), Y),
}


def raised(make: Callable[[], tuple[keras.Model, np.ndarray]], *callbacks: keras.callbacks.Callback) -> BaseException:
    made, y = make()
    with pytest.raises(Exception) as caught:
        made.fit(X, y, verbose=0, callbacks=list(callbacks))
    return caught.value


def chain(error: BaseException | None) -> list[type]:
    return [] if error is None else [type(error), *chain(error.__context__)]


@pytest.mark.traced
@pytest.mark.parametrize("make", MISTAKES.values(), ids=MISTAKES)
def test_it_is_raised_as_without_a_recorder(
    make: Callable[[], tuple[keras.Model, np.ndarray]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, found = raised(make), raised(make, Recorder(tmp_path, every=1))
    assert type(found) is type(plain)
    assert str(found).splitlines()[:1] == str(plain).splitlines()[:1]
    assert chain(found) == chain(plain)  # no other error is shown before it
    said = capfd.readouterr().err
    assert said.count("gradtrial: recording ") == 1  # that it begins
    assert "fault" not in said
