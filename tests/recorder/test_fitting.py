"""What does not fit is said before the first step, with what mends it; and nothing is said of what fits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from bench.data_quality import Data
from bench.recorder.building import fallen, risky_before
from bench.recorder.fitting import Answer, answer_of, asked_of, kept_of_start, misfits, outweighed

layers = keras.layers
SPARSE, BINARY, CATEGORICAL = "sparse_categorical_crossentropy", "binary_crossentropy", "categorical_crossentropy"
LABELS = np.arange(60) % 3
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
VALUES = np.linspace(-2.0, 2.0, 60, dtype="float32")[:, None]
HALF = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)


def made(*parts: Any, loss: Any = SPARSE, optimizer: Any = "sgd", shape: tuple[int, ...] = (4,)) -> keras.Model:
    keras.utils.clear_session(free_memory=False)
    model = keras.Sequential([keras.Input(shape), *parts], name="model")
    model.compile(optimizer, loss)
    return model


def hidden(activation: str | None = "relu") -> Any:
    return layers.Dense(5, activation)


def inputs(y: Any, x: Any = None) -> Data:
    return Data(np.random.default_rng(0).normal(size=(len(y), 4)) if x is None else x, y)


def tokens(most: int, least: int = 0) -> Data:
    return Data(np.random.default_rng(0).integers(least, most + 1, size=(60, 4)), LABELS)


def reading(rows: int) -> keras.Model:
    return made(layers.Embedding(rows, 3), layers.Flatten(), layers.Dense(3, "softmax"))


def two_outputs() -> keras.Model:
    given = keras.Input((4,))
    model = keras.Model(given, [layers.Dense(3)(given), layers.Dense(1, "softmax")(given)])
    model.compile("sgd", [SPARSE, BINARY])
    return model


def own_step() -> keras.Model:
    class Own(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            return {}

    given = keras.Input((4,))
    model = Own(given, layers.Dense(1)(given))
    model.compile("sgd", "mse")
    return model


def frozen(number: int) -> keras.Model:
    model = made(hidden(), hidden(), hidden(), layers.Dense(3, "softmax"))
    for layer in model.layers[:number]:
        layer.trainable = False
    return model


def of_class(name: str, **more: Any) -> Any:
    return getattr(keras.losses, name)(**more)


def half(epsilon: float, policy: str = "mixed_float16") -> keras.Model:
    keras.utils.clear_session(free_memory=False)
    given = keras.Input((4,), dtype="float16")
    h = layers.Dense(5, "relu", dtype=policy)(given)
    h = h / (keras.ops.sum(h, -1, keepdims=True) + epsilon)
    model = keras.Model(given, layers.Dense(3, "softmax", dtype=policy)(h))
    model.compile("sgd", SPARSE)
    return model


def blocks(number: int, optimizer: Any, *, before: bool = False) -> keras.Model:
    """A stack of transformer blocks that are normalized behind each sum, or before each sub-layer."""
    keras.utils.clear_session(free_memory=False)
    given = keras.Input((6, 8))
    h = given
    for _ in range(number):
        for part in (lambda h: layers.MultiHeadAttention(2, 4)(h, h), layers.Dense(8, "relu")):
            h = h + part(layers.LayerNormalization()(h)) if before else layers.LayerNormalization()(h + part(h))
    model = keras.Model(given, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(h)))
    model.compile(optimizer, SPARSE)
    return model


WARMED = keras.optimizers.schedules.CosineDecay(1e-4, 100, warmup_target=0.01, warmup_steps=10)
UNFIT: list[tuple[str, Any, Data | None, str]] = [
    ("constant_answer", lambda: made(hidden(), layers.Dense(1, "softmax"), loss=BINARY), None, "sigmoid"),
    ("constant_answer", lambda: made(hidden(), layers.Dense(1), layers.Softmax(), loss="mse"), None, "sigmoid"),
    ("logits", lambda: made(hidden(), layers.Dense(3)), None, 'from_logits=True, or end with "softmax"'),
    ("logits", lambda: made(hidden(), layers.Dense(1), loss="bce"), None, 'end with "sigmoid"'),
    ("logits", lambda: made(hidden(), layers.Dense(3, "relu"), loss=keras.losses.sparse_categorical_crossentropy),
     None, "from_logits=True and no activation"),
    ("logits", lambda: made(hidden(), layers.Dense(3), loss=of_class("CategoricalCrossentropy")), None, "from_logits"),
    ("labels_beyond", lambda: made(layers.Dense(3, "softmax")), inputs(LABELS + 1), "Subtract 1 from the labels"),
    ("labels_beyond", lambda: made(layers.Dense(3, "softmax")), inputs(LABELS * 9), "19 units"),
    ("labels_beyond", lambda: made(layers.Dense(3, "softmax")), inputs(LABELS - 1.0), "Subtract -1"),
    ("target_form", lambda: made(layers.Dense(3, "softmax")), inputs(ONE_HOT), "y.argmax(axis=1)"),
    ("target_form", lambda: made(layers.Dense(3, "softmax"), loss=CATEGORICAL), inputs(LABELS), "to_categorical"),
    ("not_probabilities", lambda: made(layers.Dense(1, "sigmoid"), loss=BINARY), inputs(VALUES), "from -2 to 2"),
    ("not_probabilities", lambda: made(layers.Dense(1, "sigmoid"), loss=BINARY), inputs(100 * LABELS), "to 200"),
    ("tokens_beyond", lambda: reading(20), tokens(20), "input_dim=21"),
    ("tokens_beyond", lambda: reading(20), tokens(19, -1), "from 0"),
    ("out_of_reach", lambda: made(layers.Dense(1, "relu"), loss="mse"), inputs(VALUES), "50 % of the targets"),
    ("out_of_reach", lambda: made(layers.Dense(1, "sigmoid"), loss="mae"), inputs(VALUES), "0 to 1"),
    ("batch_of_one", lambda: made(hidden(), layers.BatchNormalization(), layers.Dense(3, "softmax")), inputs(LABELS),
     "one row"),
    ("shapes", own_step, inputs(VALUES[:, 0]), "y[:, None]"),
    ("constant_start", lambda: made(layers.Dense(5, "relu", kernel_initializer="zeros"), layers.Dense(3, "softmax")),
     None, "1 of 1 kernels"),
    ("constant_start", lambda: made(layers.Dense(5, "tanh", kernel_initializer="ones"), hidden(),
                                    layers.Dense(3, "softmax")), None, "1 of 2 kernels"),
    ("linear", lambda: made(hidden(None), layers.Dropout(0.1), layers.Dense(3, "softmax")), None, "2 layers"),
    ("schedule", lambda: made(layers.Dense(3, "softmax"), optimizer=keras.optimizers.Adam(HALF)), None, "of 100"),
    ("unbounded_cell", lambda: made(layers.LSTM(3, activation="relu"), layers.Dense(3, "softmax"), shape=(5, 2)),
     None, "at tanh"),
    ("long_sequence", lambda: made(layers.LSTM(3), layers.Dense(3, "softmax"), shape=(80, 2)), None, "80 steps"),
    ("dropped", lambda: made(hidden(), layers.Dropout(0.95), layers.Dense(3, "softmax")), None, "95 %"),
    ("frozen", lambda: frozen(2), None, "2 of 4 layers"),
    ("constant_loss", lambda: made(layers.Dense(1, "sigmoid"), loss=CATEGORICAL), inputs(ONE_HOT[:, :1]),
     "Take binary"),
    ("labels_beyond", lambda: made(layers.Dense(1, "sigmoid")), inputs(LABELS % 2),
     "one unit, for 0 alone. Take binary"),
    ("twice", lambda: made(layers.Dense(3, "softmax"), layers.Softmax()), inputs(LABELS),
     "a softmax of what is a softmax"),
    ("twice", lambda: made(layers.Dense(1, "sigmoid"), layers.Reshape((1,)), loss=of_class(
        "BinaryCrossentropy", from_logits=True)), inputs(LABELS % 2), "before reshape"),
    ("softmax_axis", lambda: made(layers.Dense(3), layers.Softmax(axis=1), layers.GlobalAveragePooling1D(),
                                  shape=(5, 4)), inputs(LABELS), "over axis 1"),
    ("softmax_axis", lambda: made(layers.Dense(3), layers.Softmax(axis=0)), inputs(LABELS), "the rows of a batch"),
    ("answer_dropped", lambda: made(layers.Dense(3, "softmax"), layers.Dropout(0.5)), inputs(LABELS), "50 %"),
    ("norm_of_one", lambda: made(layers.Dense(1), layers.LayerNormalization(), hidden(), layers.Dense(3, "softmax")),
     None, "a single number"),
    ("norm_of_one", lambda: made(layers.Reshape((1, 1, 4)), layers.GroupNormalization(-1), layers.Flatten(), hidden(),
                                 layers.Dense(3, "softmax")), None, "fewer groups"),
    ("decay", lambda: made(layers.Dense(3, "softmax"), optimizer=keras.optimizers.AdamW(0.01, weight_decay=5.0)),
     None, "5 % of each weight"),
    ("constraint", lambda: made(layers.Dense(3, "softmax", kernel_constraint=keras.constraints.MaxNorm(1e-3))),
     None, "of its norm"),
    ("negative", lambda: made(hidden(), layers.Dense(1), loss="poisson"), None, "softplus"),
    ("negative", lambda: made(hidden(), layers.Dense(1), loss="mean_squared_logarithmic_error"), None, "softplus"),
    ("logits", lambda: made(hidden(), layers.Dense(3), loss="kl_divergence"), None, 'End with "softmax".'),
    ("label_length", lambda: made(layers.Dense(4), loss=of_class("CTC"), shape=(2, 4)),
     Data(np.ones((30, 2, 4)), np.ones((30, 3), int)), "3 of one row, and the answer has 2 steps"),
    ("epsilon", lambda: half(1e-8), None, "given 1e-08"),
    ("half_weights", lambda: half(1e-4, "float16"), None, "mixed_float16"),
    ("post_norm", lambda: blocks(3, keras.optimizers.Adam(0.01)), None, "6 sub-layers"),
]  # fmt: skip
FIT: list[tuple[str, Any, Data | None]] = [
    ("softmax", lambda: made(hidden(), layers.Dense(3, "softmax")), inputs(LABELS)),
    ("softmax as a layer", lambda: made(hidden(), layers.Dense(3), layers.Activation("softmax")), inputs(LABELS)),
    ("logits", lambda: made(hidden(), layers.Dense(3), loss=of_class("SparseCategoricalCrossentropy",
                                                                     from_logits=True)), inputs(LABELS)),
    ("a mended softmax", lambda: made(hidden(), layers.Dense(3, "softmax"), loss=of_class(
        "SparseCategoricalCrossentropy", from_logits=True)), inputs(LABELS)),
    ("one-hot", lambda: made(layers.Dense(3, "softmax"), loss=CATEGORICAL), inputs(ONE_HOT)),
    ("more units than classes", lambda: made(layers.Dense(9, "softmax")), inputs(LABELS + 1)),
    ("an ignored label", lambda: made(layers.Dense(3, "softmax"), loss=of_class(
        "SparseCategoricalCrossentropy", ignore_class=-1)), inputs(np.where(LABELS == 1, -1, LABELS))),
    ("a positive answer", lambda: made(layers.Dense(3, "softplus"), loss=CATEGORICAL), inputs(ONE_HOT)),
    ("soft targets", lambda: made(layers.Dense(1, "sigmoid"), loss=BINARY), inputs(np.abs(VALUES) / 2)),
    ("values", lambda: made(hidden(), layers.Dense(1), loss="mse"), inputs(VALUES)),
    ("values within reach", lambda: made(layers.Dense(1, "tanh"), loss="mse"), inputs(VALUES / 2)),
    ("tokens", lambda: reading(20), tokens(19)),
    ("embedded later", lambda: made(layers.Lambda(abs), layers.Embedding(20, 3), layers.Flatten(),
                                    layers.Dense(3, "softmax")), tokens(19, -19)),
    ("a linear regression", lambda: made(layers.Dense(1), loss="mse"), inputs(VALUES)),
    ("bent by a layer", lambda: made(hidden(None), layers.ReLU(), layers.Dense(3, "softmax")), inputs(LABELS)),
    ("bent by images", lambda: made(layers.Reshape((2, 2, 1)), layers.Conv2D(2, 2, activation="relu"),
                                    layers.Flatten(), hidden(None), layers.Dense(3, "softmax")), inputs(LABELS)),
    ("a step of one's own", own_step, inputs(VALUES)),
    ("an answer that starts at 0", lambda: made(hidden(), hidden(), layers.Dense(
        3, "softmax", kernel_initializer="zeros")), inputs(LABELS)),
    ("one unit", lambda: made(layers.Dense(1, "relu"), layers.Dense(3, "softmax")), inputs(LABELS)),
    ("a long sequence with an answer a step", lambda: made(layers.GRU(3, return_sequences=True), layers.Dense(
        3, "softmax"), shape=(80, 2)), None),
    ("a cell with bounds", lambda: made(layers.GRU(3), layers.Dense(3, "softmax"), shape=(5, 2)), None),
    ("one frozen of four", lambda: frozen(1), inputs(LABELS)),
    ("two outputs", two_outputs, None),
    ("a loss of one's own", lambda: made(layers.Dense(3), loss=lambda y, answer: keras.ops.mean(answer)), None),
    ("a steady schedule", lambda: made(layers.Dense(3, "softmax"), optimizer=keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.1, 100))), None),
    ("pooled shares", lambda: made(layers.Dense(3, "softmax"), layers.GlobalAveragePooling1D(), shape=(5, 4)),
     inputs(LABELS)),
    ("dropout before the last", lambda: made(hidden(), layers.Dropout(0.5), layers.Dense(3, "softmax")),
     inputs(LABELS)),
    ("an attention's softmax", lambda: made(layers.Dense(1), layers.Softmax(axis=1), layers.Flatten(), hidden(),
                                            layers.Dense(3, "softmax"), shape=(5, 4)), inputs(LABELS)),
    ("normalized features", lambda: made(hidden(), layers.LayerNormalization(), layers.Dense(3, "softmax")), None),
    ("groups of more", lambda: made(layers.Reshape((1, 2, 2)), layers.GroupNormalization(-1), layers.Flatten(),
                                    hidden(), layers.Dense(3, "softmax")), None),
    ("a usual weight decay", lambda: made(layers.Dense(3, "softmax"), optimizer=keras.optimizers.AdamW(
        0.001, weight_decay=0.1)), None),
    ("positive rates", lambda: made(hidden(), layers.Dense(1, "softplus"), loss="poisson"), None),
    ("short labels", lambda: made(layers.Dense(4), loss=of_class("CTC"), shape=(2, 4)),
     Data(np.ones((30, 2, 4)), np.eye(3, dtype=int)[LABELS[:30]])),
    ("a usual constraint", lambda: made(layers.Dense(3, "softmax", kernel_constraint=keras.constraints.MaxNorm(3))),
     None),
    ("an epsilon that float16 has", lambda: half(1e-4), None),
    ("pre-norm blocks", lambda: blocks(3, keras.optimizers.Adam(0.01), before=True), None),
    ("a warmup", lambda: blocks(3, keras.optimizers.Adam(WARMED)), None),
    ("two blocks", lambda: blocks(2, keras.optimizers.Adam(0.01)), None),
    ("a low rate", lambda: blocks(3, keras.optimizers.Adam(1e-4)), None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "model", "data", "said"), UNFIT, ids=[f"{k}-{n}" for n, (k, *_) in enumerate(UNFIT)])
def test_what_does_not_fit_is_named_alone_with_its_cure(kind: str, model: Any, data: Data | None, said: str) -> None:
    found = misfits(model(), data, 1 if kind == "batch_of_one" else 32, 100)
    assert [str(each.kind) for each in found] == [kind]
    assert said in str(found[0])


@pytest.mark.parametrize(("model", "data"), [each[1:] for each in FIT], ids=[each[0] for each in FIT])
def test_what_fits_is_passed_over(model: Any, data: Data | None) -> None:
    assert misfits(model(), data, 32, 100) == []


def test_a_model_that_is_made_by_code_alone_is_passed_over() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1, "softmax")

        def call(self, given: Any) -> Any:
            return self.dense(given)

    model = Own()
    model.compile("sgd", SPARSE)
    assert answer_of(model) is None
    assert misfits(model, inputs(LABELS), 32, None) == []
    model(np.zeros((2, 4)))
    assert misfits(model, inputs(LABELS), 32, None) == []


def test_what_needs_no_shapes_is_said_of_a_model_that_is_made_by_code_alone_too() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [layers.LSTM(3), layers.BatchNormalization(), layers.Dropout(0.95), layers.Dense(3, "softmax")]

        def call(self, given: Any) -> Any:
            for part in self.parts:
                given = part(given)
            return given

    model = Own()
    model.compile("sgd", SPARSE)
    model(np.zeros((2, 80, 4), "float32"))
    assert [str(each.kind) for each in misfits(model, None, 1, None)] == ["dropped"]


def test_answer_and_loss_are_read_through_what_is_around_them() -> None:
    inner = made(hidden(), layers.Dense(3, "softmax"))
    outer = keras.Sequential([keras.Input((4,)), inner])
    outer.compile("sgd", [of_class("BinaryCrossentropy", from_logits=True)])
    assert answer_of(outer) == Answer("softmax", 3)
    asked = asked_of(outer)
    assert asked is not None
    assert (asked.loss, asked.logits) == (BINARY, True)


def test_a_rate_that_fell_to_a_hundredth_before_half_of_training_is_told() -> None:
    (found,) = fallen(0.01, 1e-4, 50, 100)
    assert "from 0.01 to 0.0001 by step 50 of 100" in found.found
    assert fallen(0.01, 1e-4, 51, 100) == fallen(0.01, 2e-4, 50, 100) == fallen(None, 1e-4, 50, 100) == []
    assert fallen(0.01, 1e-4, 50, None) == []


def test_what_can_leave_the_finite_numbers_is_known_by_the_layer_behind_it() -> None:
    given = keras.Input((4,))
    first = layers.Dense(4, name="first")(given)
    made_anew = layers.Flatten()(keras.ops.log(layers.ReLU()(first)))
    model = keras.Model(given, layers.Dense(1, name="last")(layers.Lambda(abs, name="mine")(made_anew)))
    (name,) = [each.name for each in model.operations if type(each).__name__ == "Log"]
    assert risky_before(model) == {"last": f"mine, {name}"}


def test_averages_forget_where_they_started_by_their_momentum() -> None:
    model = made(layers.BatchNormalization(momentum=0.5), hidden(), layers.BatchNormalization(momentum=0.9))
    assert kept_of_start(model, 10) == pytest.approx(0.9**10)
    assert kept_of_start(made(hidden()), 10) == 0.0


def test_penalties_outweigh_a_loss_that_they_are_ten_times_as_large_as() -> None:
    (found,) = outweighed(23.0, 2.3)
    assert "23 at the first step, 10 times the loss" in found.found
    assert outweighed(22.0, 2.3) == outweighed(None, 2.3) == outweighed(1.0, None) == outweighed(0.0, 0.0) == []
