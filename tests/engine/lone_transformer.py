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
from tests.engine.lone_update import clipped_by_unit, optimizer_of, penalty_of


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
        self.block, self.penalty = choices["block"], penalty_of(choices)
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
        tied, below = choices["tied"].name == "yes", len(self.order)
        head.append(Tied(self.embedding) if tied else layers.Dense(data.classes, kernel_regularizer=self.penalty))
        for layer in head:
            x = layer(x)
            self.order += [layer.bias] if isinstance(layer, Tied) else layer.trainable_variables
        self.of_head = len(self.order) - below
        self.model = keras.Model(inputs, x)
        values = self.values(training, index)
        self.shapes = [value.shape for value in values]  # heads side by side
        for variable, value in zip(self.order, values, strict=True):
            variable.assign(value.reshape(variable.shape))
        for layer in self.attentions:
            if isinstance(layer, Compared):
                layer.start()
        self.optimizer = optimizer_of(choices)

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
        made = layers.Embedding(vocabulary, self.width) if vocabulary else layers.Dense(self.width, name="embedded")
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
        units, more = self.width // heads, {"kernel_regularizer": self.penalty}
        layer = layers.MultiHeadAttention(heads, units, **more) if plain else Compared(
            heads, units, self.choices["query_key"], inverse=self.choices["logit_scale"].name == "inverse", **more
        )  # fmt: skip
        self.attentions.append(layer)
        y = layer(x, x, use_causal_mask=self.causal)
        parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
        self.order += [variable for part in parts for variable in (part.kernel, part.bias)]
        self.order += getattr(layer, "learned", [])
        return y

    def _feed_forward(self, x: Any) -> Any:
        more, hidden = {"kernel_regularizer": self.penalty}, int(self.choices["feed_forward"].value or 0)
        first = layers.Dense(self.width * hidden, self.choices["activation"].name, **more)
        second = layers.Dense(self.width, **more)
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
        with tf.GradientTape(persistent=True) as tape:
            logits = self.model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            squares = tf.reduce_mean(tf.square(tf.reduce_logsumexp(logits, axis=-1)))
            minimized = loss + float(self.choices["z_loss"].value or 0) * squares
            whole = minimized + tf.add_n(self.model.losses or [0.0])
        values = [variable.value for variable in self.order]
        own = [tf.convert_to_tensor(each) for each in tape.gradient(minimized, values)]
        given = [tf.convert_to_tensor(each) for each in tape.gradient(whole, values)]
        norm = float(tf.linalg.global_norm(given))
        self.optimizer.apply_gradients(zip(self._clipped(given), self.order, strict=True))
        self._bound()
        found = {"loss": float(loss), "log_z_square": float(squares), "global_grad_norm": norm}
        return found | {"gradients": [each.numpy() for each in own]}

    def _clipped(self, gradients: list[Any]) -> list[Any]:
        """By units, of variables as they stand with heads side by side; the rest is Keras's."""
        clip = self.choices["clipping"]
        if clip.name != "adaptive":
            return gradients
        given = zip(gradients, self.order, self.shapes, strict=True)
        below = [
            tf.reshape(clipped_by_unit(np.reshape(g, shape), np.reshape(v, shape), clip.setting("threshold")), v.shape)
            for g, v, shape in list(given)[: -self.of_head]
        ]
        return below + gradients[-self.of_head :]

    def _bound(self) -> None:
        """Keras's constraint of each kernel [in, out], as a layer with heads side by side would have it."""
        rule = self.choices["regularization"]
        if rule.name == "max_norm":
            bound = keras.constraints.MaxNorm(rule.setting("limit"))
            for variable, shape in zip(self.order, self.shapes, strict=True):
                if variable.name == "kernel" and not variable.path.startswith("embedded"):
                    variable.assign(tf.reshape(bound(tf.reshape(variable.value, shape)), variable.shape))
