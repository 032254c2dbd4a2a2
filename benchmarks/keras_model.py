"""The plain Keras loop's network, optimizer, training step and evaluation: Keras's own parts, put together by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.engine.datasets import Dataset
from bench.engine.targets import target_of
from bench.factors import Choice
from bench.plan import Run

CLIPPING = {"none": None, "value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
RECURRENT = {"simple": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
SAMPLE = 512  # training rows that are evaluated
FEW = 2000  # validation rows that are evaluated, at most


def build_model(run: Run, data: Dataset) -> keras.Model:
    """The run's network: dense layers, normalization before the activation; or convolutions, or recurrent layers.

    Of transformers pre-norm and post-norm blocks over tokens, with an answer at each.
    """
    choices = run.choices
    rng = np.random.default_rng(run.seed)
    if choices["architecture"].name == "recurrent":
        return _recurrent_model(run, data, rng)
    if choices["architecture"].name == "transformer":
        return _transformer(run, data, rng)
    if choices["architecture"].name == "conv":
        return _convolutional_model(run, data, rng)
    layers: list[Any] = [keras.Input(data.shape), keras.layers.Flatten()]
    for _ in range(number(choices, "depth")):
        layers.append(keras.layers.Dense(number(choices, "width"), kernel_initializer=_initializer(choices, rng)))
        layers += _normalization(choices["normalization"])
        layers.append(keras.layers.Activation(target_of("activation", choices["activation"])))
    layers.append(keras.layers.Dense(data.classes, kernel_initializer=_initializer(choices, rng)))
    return keras.Sequential(layers)


def build_optimizer(choices: Mapping[str, Choice]) -> keras.optimizers.Optimizer:
    """Keras's optimizer with its own clipping."""
    clipping = choices["clipping"]
    name = CLIPPING[clipping.name]
    settings = dict(choices["optimizer"].settings) | ({name: float(clipping.setting("threshold"))} if name else {})
    return target_of("optimizer", choices["optimizer"])(float(choices["learning_rate"].value or 0), **settings)


def compile_step(model: keras.Model, *, measure: bool = True) -> Callable[..., tuple[tf.Tensor, ...]]:
    """One training step: from a batch to its loss, the gradient's global norm and, measured, each kernel's."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernels = [i for i, variable in enumerate(model.trainable_variables) if variable.name.endswith("kernel")]

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        # An embedding's come as rows, several of a token, of which a norm would not be the gradient's.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, model.trainable_variables)]
        model.optimizer.apply(gradients, model.trainable_variables)
        norms = [tf.stack([tf.norm(gradients[i]) for i in kernels])] if measure else []
        return loss, tf.linalg.global_norm(gradients), *norms

    return step


def judge_splits(model: keras.Model, data: Dataset, step: int) -> list[dict[str, Any]]:
    """Loss and accuracy on a sample of the training rows and on the validation rows, each in one call."""
    splits = {
        "train": (data.x_train[:SAMPLE], data.y_train[:SAMPLE]),
        "validation": (data.x_validation[:FEW], data.y_validation[:FEW]),
    }
    judged = []
    for split, (x, y) in splits.items():
        model.reset_metrics()
        judged.append({"step": step, "split": split} | model.test_on_batch(x, y, return_dict=True))
    return judged


def batches(run: Run, rows: int, steps: int) -> list[np.ndarray]:
    """The rows of each step: whole batches of freshly shuffled epochs."""
    rng, size = np.random.default_rng(run.seed), number(run.choices, "batch_size")
    whole = rows // size
    epochs = [rng.permutation(rows)[: whole * size].reshape(whole, size) for _ in range(-(-steps // whole))]
    return list(np.concatenate(epochs)[:steps])


def number(choices: Mapping[str, Choice], factor: str) -> int:
    """A whole number among the choices."""
    return int(choices[factor].value or 0)


def _recurrent_model(run: Run, data: Dataset, rng: np.random.Generator) -> keras.Sequential:
    choices, depth = run.choices, number(run.choices, "depth")
    layers = [
        RECURRENT[choices["cell"].name](
            number(choices, "width"),
            activation=target_of("activation", choices["activation"]),
            kernel_initializer=_initializer(choices, rng),
            recurrent_initializer=keras.initializers.Orthogonal(seed=int(rng.integers(2**31))),
            return_sequences=index < depth - 1,
        )
        for index in range(depth)
    ]
    head = keras.layers.Dense(data.classes, kernel_initializer=_initializer(choices, rng))
    return keras.Sequential([keras.Input(data.shape), *layers, head])


class Places(keras.layers.Layer):
    """Adds to each token what an embedding has for its place."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length, self.places = length, keras.layers.Embedding(length, width)

    def call(self, x: Any) -> Any:
        """The same shape, [batch, tokens, width]."""
        return x + self.places(keras.ops.arange(self.length))


def _transformer(run: Run, data: Dataset, rng: np.random.Generator) -> keras.Model:
    choices, (length, *_) = run.choices, data.shape
    width, heads, multiple = (number(choices, name) for name in ("width", "heads", "feed_forward"))
    before = choices["block"].name == "pre_norm"

    def joined(x: Any, branch: Any) -> Any:
        norm = keras.layers.LayerNormalization()
        return x + branch(norm(x)) if before else norm(x + branch(x))

    def attention(x: Any) -> Any:
        return keras.layers.MultiHeadAttention(heads, width // heads, kernel_initializer=_initializer(choices, rng))(
            x, x
        )

    def feed_forward(x: Any) -> Any:
        wide = keras.layers.Dense(
            multiple * width,
            target_of("activation", choices["activation"]),
            kernel_initializer=_initializer(choices, rng),
        )
        return keras.layers.Dense(width, kernel_initializer=_initializer(choices, rng))(wide(x))

    tokens = keras.Input((length,), dtype="int32")
    x = Places(length, width)(keras.layers.Embedding(data.vocabulary, width)(tokens))
    for _ in range(number(choices, "depth")):
        x = joined(joined(x, attention), feed_forward)
    x = keras.layers.LayerNormalization()(x) if before else x
    return keras.Model(tokens, keras.layers.Dense(data.classes, kernel_initializer=_initializer(choices, rng))(x))


def _convolutional_model(run: Run, data: Dataset, rng: np.random.Generator) -> keras.Sequential:
    choices = run.choices
    layers: list[Any] = [keras.Input(data.shape)]
    for _ in range(number(choices, "depth")):
        width, kernel, drawn = number(choices, "width"), number(choices, "kernel_size"), _initializer(choices, rng)
        layers.append(keras.layers.Conv2D(width, kernel, padding="same", kernel_initializer=drawn))
        layers += _normalization(choices["normalization"])
        layers.append(keras.layers.Activation(target_of("activation", choices["activation"])))
    layers.append(keras.layers.GlobalAveragePooling2D())
    layers.append(keras.layers.Dense(data.classes, kernel_initializer=_initializer(choices, rng)))
    return keras.Sequential(layers)


def _initializer(choices: Mapping[str, Choice], rng: np.random.Generator) -> keras.initializers.Initializer:
    choice = choices["initializer"]
    return target_of("initializer", choice)(**dict(choice.settings), seed=int(rng.integers(2**31)))


def _normalization(choice: Choice) -> list[keras.layers.Layer]:
    settings = {name: value for name, value in choice.settings if name != "position"}
    return [] if choice.is_none else [target_of("normalization", choice)(**settings)]
