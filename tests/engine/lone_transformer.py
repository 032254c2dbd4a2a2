"""One transformer as anybody writes it in Keras, of Keras's own layers, for every kind of block."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from bench.engine.attention.embedding import waves
from bench.engine.datasets import load
from bench.engine.layers import BranchScale
from bench.engine.train import Training
from bench.factors import DataKind
from tests.engine.lone_attention import Compared

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}


class UnitScale(layers.Layer):
    """A learned number for each unit, as CaiT's LayerScale."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(name="scale", shape=(shape[-1],))

    def call(self, x: Any) -> Any:
        return x * self.scale


class Placed(layers.Layer):
    """Adds to each token what Keras's Embedding has for its place."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length, self.places = length, layers.Embedding(length, width)

    def call(self, x: Any) -> Any:
        return x + self.places(keras.ops.arange(self.length))


class Tied(layers.Layer):
    """Logits by the embedding of tokens itself, and a bias, as Keras's ReversibleEmbedding without one."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.embedding = embedding

    def build(self, _: Any) -> None:
        self.bias = self.add_weight(name="bias", shape=(self.embedding.input_dim,))

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, keras.ops.transpose(self.embedding.embeddings)) + self.bias


class Lone:
    """One run's network, with its weights.

    Attributes:
        model: the network.
        order: Keras's variables in the order of the engine's.
        attentions: the layers of attention, from the input on.
        sums: what each sub-layer leaves as the stream, before its normalization.
        causal: whether tokens see themselves and those before alone.
    """

    def __init__(self, training: Training, index: int) -> None:
        choices = training.cohort.runs[index].choices
        self.choices = choices
        data = load(choices["dataset"], "standardize")
        self.length, self.each = data.shape[0], data.kind is DataKind.CLASSES_EACH
        self.width, self.blocks = (int(choices[name].value or 0) for name in ("width", "depth"))
        self.both = choices["sublayers"].name == "both"
        self.block = choices["block"]
        self.order: list[Any] = []  # keras variables, in the engine's order
        self.attentions: list[Any] = []
        self.sums: list[Any] = []
        causal = choices["causal"].name
        self.causal = causal == "yes" or (causal == "by_task" and choices["dataset"].name == "text")
        inputs = keras.Input(
            (self.length,) if data.vocabulary else data.shape, dtype="int32" if data.vocabulary else None
        )
        x = self._embedded(inputs, data.vocabulary)
        for _ in range(self.blocks):
            x = self._block(x)
        x = x if self.each else x[:, -1]
        head = []
        if self.block.name in ("pre_norm", "sandwich", "layer_scale", "damped"):
            head.append(layers.LayerNormalization())
        tied = choices["tied"].name == "yes"
        head.append(Tied(self.embedding) if tied else layers.Dense(data.classes))
        for layer in head:
            x = layer(x)
            self.order += [layer.bias] if isinstance(layer, Tied) else layer.trainable_variables
        self.model = keras.Model(inputs, x)
        for variable, value in zip(self.order, self.values(training, index), strict=True):
            variable.assign(value.reshape(variable.shape))
        for layer in self.attentions:
            if isinstance(layer, Compared):
                layer.start()
        optimizer = choices["optimizer"]
        rate = float(choices["learning_rate"].value or 0)
        self.optimizer = OPTIMIZERS[optimizer.name](rate, **dict(optimizer.settings))

    def streams(self, x: Any) -> list[Any]:
        """Of samples the sum behind each sub-layer."""
        return [each.numpy() for each in keras.Model(self.model.input, self.sums)(x)]

    def read_by(self, layer: Any, x: Any) -> Any:
        """What an attention layer reads of samples."""
        return keras.Model(self.model.input, layer.input[0])(x)

    @staticmethod
    def values(training: Training, index: int) -> list[np.ndarray]:
        """The engine's variables of a run, block by block."""
        found = []
        for stage, stacks in zip(training.ensemble.network.stages, training.ensemble.stages, strict=True):
            for block in range(stage.count):
                found += [v.numpy()[block, index] for stack in stacks for v in stack.trainable]
        return found + [v.numpy()[0, index] for v in training.ensemble.head.trainable]

    def _embedded(self, inputs: Any, vocabulary: int) -> Any:
        made = layers.Embedding(vocabulary, self.width) if vocabulary else layers.Dense(self.width)
        self.embedding = made
        x = made(inputs)
        self.order += made.trainable_variables
        if self.choices["position"].name == "learned":
            places = Placed(self.length, self.width)
            x = places(x)
            self.order += places.trainable_variables
        elif self.choices["position"].name == "sinusoidal":
            x = x + waves(self.length, self.width)[None]
        return x

    def _block(self, x: Any) -> Any:
        entered, kinds = x, self.choices["sublayers"].name
        if kinds != "feed_forward_only":
            x = self._joined(x, self._attention, [])
        if kinds != "attention_only":
            x = self._joined(x, self._feed_forward, [entered] if self.block.name == "b2t" else [])
        return x

    def _attention(self, x: Any) -> Any:
        heads = int(self.choices["heads"].value or 0)
        plain = self.choices["query_key"].name == "plain" and self.choices["logit_scale"].name == "inverse_root"
        layer = layers.MultiHeadAttention(heads, self.width // heads) if plain else Compared(
            heads, self.width // heads, self.choices["query_key"], inverse=self.choices["logit_scale"].name == "inverse"
        )  # fmt: skip
        self.attentions.append(layer)
        y = layer(x, x, use_causal_mask=self.causal)
        parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
        self.order += [variable for part in parts for variable in (part.kernel, part.bias)]
        self.order += getattr(layer, "learned", [])
        return y

    def _feed_forward(self, x: Any) -> Any:
        first = layers.Dense(self.width * int(self.choices["feed_forward"].value or 0), self.choices["activation"].name)
        second = layers.Dense(self.width)
        y = second(first(x))
        self.order += [*first.trainable_variables, *second.trainable_variables]
        return y

    def _joined(self, x: Any, branch: Any, more: list[Any]) -> Any:
        name, sublayers = self.block.name, self.blocks * (2 if self.both else 1)
        place = len(self.order)
        norm = layers.LayerNormalization()
        if name in ("pre_norm", "sandwich", "layer_scale", "damped"):
            y = branch(norm(x))
            self.order[place:place] = norm.trainable_variables
        else:
            y = branch(x)
        if name == "sandwich":
            behind = layers.LayerNormalization()
            y = behind(y)
            self.order += behind.trainable_variables
        if name in ("layer_scale", "rezero"):
            scale = UnitScale() if name == "layer_scale" else BranchScale()
            y = scale(y)
            self.order += scale.trainable_variables
        if name == "damped":
            y = y * (float(self.block.setting("scale")) * sublayers ** -float(self.block.setting("exponent")))
        if name == "deepnorm":
            x = x * (2 * self.blocks) ** 0.25
        if name == "admin":
            x = x * math.sqrt((sublayers + 1) / math.log(sublayers + 1) - 1)
        s = y if name == "no_skip" else layers.Add()([x, y, *more])
        self.sums.append(s)
        if name in ("post_norm", "deepnorm", "admin", "b2t"):
            s = norm(s)
            self.order[place:place] = norm.trainable_variables
        return s

    def step(self, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """One step on a batch: the loss, the gradients in the engine's order, then an update."""
        with tf.GradientTape() as tape:
            logits = self.model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            squares = tf.reduce_mean(tf.square(tf.reduce_logsumexp(logits, axis=-1)))
            minimized = loss + float(self.choices["z_loss"].value or 0) * squares
        found = tape.gradient(minimized, [variable.value for variable in self.order])
        found = [tf.convert_to_tensor(each) for each in found]
        self.optimizer.apply_gradients(zip(found, self.order, strict=True))
        return {"loss": float(loss), "log_z_square": float(squares), "gradients": [each.numpy() for each in found]}
