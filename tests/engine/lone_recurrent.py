"""One recurrent network as anybody writes it in Keras, of Keras's own layers, and of layers around them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.engine.datasets import load
from bench.engine.train import Training
from bench.factors import DataKind
from tests.engine.lone_update import optimizer_of

UNITS = 6
LAYERS = {"simple": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


class InWindows(keras.layers.Layer):
    """A layer that is given its state anew, and no gradient for it, after so many time steps."""

    def __init__(self, layer: Any, steps: int) -> None:
        super().__init__()
        self.layer, self.steps, self.sequences = layer, steps, layer.return_sequences
        layer.return_sequences = layer.return_state = True

    def call(self, x: Any) -> Any:
        outs, state = [], None
        for start in range(0, x.shape[1], self.steps):
            out, *left = self.layer(x[:, start : start + self.steps], initial_state=state)
            state = [keras.ops.stop_gradient(each) for each in left]
            outs.append(out)
        return keras.ops.concatenate(outs, axis=1) if self.sequences else left[0]


class Normalized(keras.layers.Layer):
    """A cell of Keras's whose sums go through Keras's LayerNormalization, with its bias behind it."""

    def __init__(self, cell: str, units: int) -> None:
        super().__init__()
        self.cell, self.units, self.state_size = cell, units, [units] * (2 if cell == "lstm" else 1)
        self.blocks = {"simple": 1, "lstm": 4, "gru": 3}[cell]
        self.normalize = keras.layers.LayerNormalization(center=False, scale=False)

    def build(self, shape: Any) -> None:
        wide, gated = self.blocks * self.units, self.cell == "gru"
        self.gain = self.add_weight(name="gain", shape=(wide + gated * self.units,))
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], wide))
        self.recurrent_kernel = self.add_weight(name="recurrent_kernel", shape=(self.units, wide))
        self.bias = self.add_weight(name="bias", shape=(2, wide) if gated else (wide,))

    def call(self, x: Any, states: Any) -> Any:
        h, n = states[0], self.units
        outer = keras.ops.split(x @ self.kernel, self.blocks, axis=-1)
        inner = keras.ops.split(h @ self.recurrent_kernel, self.blocks, axis=-1)
        if self.cell == "gru":
            sums = [outer[0] + inner[0], outer[1] + inner[1], outer[2], inner[2]]
            rows = keras.ops.split(self.bias, 3, axis=-1)
            offsets = [rows[0][0] + rows[0][1], rows[1][0] + rows[1][1], rows[2][0], rows[2][1]]
        else:
            sums, offsets = [a + b for a, b in zip(outer, inner, strict=True)], [
                self.bias[k * n : (k + 1) * n] for k in range(self.blocks)
            ]  # fmt: skip
        z = [
            self.normalize(a) * self.gain[k * n : (k + 1) * n] + b
            for k, (a, b) in enumerate(zip(sums, offsets, strict=True))
        ]
        gates, tanh = [keras.ops.sigmoid(each) for each in z], keras.ops.tanh
        if self.cell == "simple":
            states = [tanh(z[0])]
        elif self.cell == "lstm":
            c = gates[1] * states[1] + gates[0] * tanh(z[2])
            states = [gates[3] * tanh(c), c]
        else:
            states = [gates[0] * h + (1.0 - gates[0]) * tanh(z[2] + gates[1] * z[3])]
        return states[0], states


class BothWays(keras.layers.Layer):
    """Keras's Bidirectional for layers that it cannot make a second one of."""

    def __init__(self, ahead: Any, back: Any) -> None:
        super().__init__()
        self.ahead, self.back = ahead, back
        self.sequences = ahead.sequences if isinstance(ahead, InWindows) else ahead.return_sequences

    def call(self, x: Any) -> Any:
        back = self.back(keras.ops.flip(x, axis=1))
        back = keras.ops.flip(back, axis=1) if self.sequences else back
        return keras.ops.concatenate([self.ahead(x), back], axis=-1)


class Lone:
    """One run's network, with its weights, as anybody writes it in Keras."""

    def __init__(self, training: Training, index: int) -> None:
        run = training.cohort.runs[index]
        kind, activation = LAYERS[run.choices["cell"].name], run.choices["activation"].name
        depth, rule = int(run.choices["depth"].value or 0), run.choices["regularization"]
        strength = float(rule.setting("strength")) if rule.name == "l2" else 0.0
        penalty = {f"{each}_regularizer": keras.regularizers.L2(strength) for each in ("kernel", "recurrent")}
        data = load(run.choices["dataset"], "standardize")
        (length, features), each = data.shape, data.kind is DataKind.CLASSES_EACH
        window, both = run.choices["truncate"], run.choices["direction"].name == "bidirectional"

        def layer(k: int) -> Any:
            if not run.choices["normalization"].is_none:
                cell = Normalized(run.choices["cell"].name, UNITS)
                return keras.layers.RNN(cell, return_sequences=each or k < depth - 1)
            made = kind(UNITS, activation=activation, return_sequences=each or k < depth - 1, **penalty)
            return made if window.is_none else InWindows(made, int(window.setting("steps")))

        self.layers = [layer(k) for k in range(depth)]
        if both and window.is_none and run.choices["normalization"].is_none:
            self.layers = [keras.layers.Bidirectional(one) for one in self.layers]
        elif both:
            self.layers = [BothWays(one, layer(k)) for k, one in enumerate(self.layers)]
        self.head = keras.layers.Dense(data.classes, kernel_regularizer=keras.regularizers.L2(strength))
        self.model = keras.Sequential([keras.Input((length, features)), *self.layers, self.head])
        values = [variable.numpy()[0, index] for stack in training.ensemble.stacks for variable in stack.trainable]
        self.model.set_weights(values)
        self.optimizer = optimizer_of(run.choices)

    def step(self, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        variables = self.model.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, self.model(x, training=True)))
            whole = loss + tf.add_n(self.model.losses)
        values = [variable.value for variable in variables]
        own, raw = tape.gradient(loss, values), tape.gradient(whole, values)
        self.optimizer.apply_gradients(zip(raw, variables, strict=True))
        left = iter(zip(variables, own, strict=True))
        pairs = [[next(left) for _ in layer.trainable_variables] for layer in (*self.layers, self.head)]
        kernels = [tf.linalg.global_norm([g for v, g in pair if v.name.endswith("kernel")]) for pair in pairs]
        return {
            "loss": float(loss),
            "global_grad_norm": float(tf.linalg.global_norm(raw)),
            "kernels": np.array(kernels),
        }
