"""The reference: one network as a plain Keras model, trained by a plain loop with Keras's own machinery.

It shares no code with the engine but the dataset and the batches.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.plan import Run
from tests.engine.lone_update import clipped_by_unit, optimizer_of, penalty_of

NORMALIZATIONS = {  # by name: not every version of Keras has each
    "batch_normalization": "BatchNormalization",
    "layer_normalization": "LayerNormalization",
    "rms_normalization": "RMSNormalization",
    "group_normalization": "GroupNormalization",
    "unit_normalization": "UnitNormalization",
    "layer_spatial_normalization": "LayerNormalization",
    "instance_normalization": "GroupNormalization",
}
BEHIND = ("residual_v1", "fixup")  # skip connections whose stream is what stands behind the activation


def pair_correlation(g: np.ndarray, y: np.ndarray) -> float:
    """Mean cosine over the pairs of one class, each pair by itself; samples without a gradient are in none."""
    g = g.reshape(len(g), -1)
    alive = (g != 0).any(axis=1)
    g, y = g[alive].astype(np.float64), y[alive]
    unit = g / np.linalg.norm(g, axis=1, keepdims=True)
    pairs = (y[:, None] == y[None]) & ~np.eye(len(y), dtype=bool)
    return (unit @ unit.T)[pairs].mean() if pairs.any() else np.nan


class Number(keras.layers.Layer):
    """A learned number, added or multiplied."""

    def __init__(self, start: float, rule: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.start, self.rule = start, rule

    def build(self, _: Any) -> None:
        self.number = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.start))

    def call(self, x: Any) -> Any:
        return self.rule(x, self.number)


class WeightNormalized(keras.layers.Layer):
    """z_j = g_j (v_j / |v_j|) h + b_j."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units, self.use_bias = units, True

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units))
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros")
        self.length = self.add_weight(shape=(self.units,), initializer="ones")

    def call(self, h: Any) -> Any:
        direction = self.kernel / tf.sqrt(tf.reduce_sum(self.kernel**2, axis=0) + 1e-7)
        return h @ (direction * self.length) + self.bias


class Lone:
    """One run's network and optimizer; `model` gives the logits, every layer's pre-activation and every activation's
    output, `inner` the input of every activation, then the output of each.
    """

    def __init__(self, run: Run, shape: tuple[int, ...], classes: int) -> None:
        self.choices = run.choices
        self.denses: list[Any] = []
        self.responses: list[Any] = []
        inputs = keras.Input(shape)
        taps, h, stream = [], inputs, None
        skip = self._settings("skip").get("layers", 0)
        blocks = -(-(int(self._number("depth")) - 1) // skip) if skip else 0
        for index in range(int(self._number("depth"))):
            h, stream = self._before(index, h, stream)
            if self.choices["skip"].name == "fixup" and index > 0:
                h = Number(0.0, operator.add)(h)
            z = self._affine(int(self._number("width")))(h)
            ends = bool(skip) and index > 0 and (index % skip == 0 or index == self._number("depth") - 1)
            inside = ends and self.choices["skip"].name in BEHIND and self._position() == "before"
            if ends:
                z = stream + self._branch(self._normalized(z) if inside else z, blocks)
            elif self.choices["skip"].name == "fixup":
                z = Number(0.0, operator.add)(z)
            taps.append(z)
            h = self._respond(z, normalized=inside)
            if skip and index % skip == 0:
                leaving = {"residual_post_norm": self.responses[-1][0]} | dict.fromkeys(BEHIND, h)
                stream = leaving.get(self.choices["skip"].name, z)
        h = self._pooled(h)
        h = Number(0.0, operator.add)(h) if self.choices["skip"].name == "fixup" else h
        logits = self._dense(classes, head=True)(h)
        self.model = keras.Model(inputs, [logits, *taps, *(h for _, h in self.responses)])
        self.inner = keras.Model(inputs, [end for ends in zip(*self.responses, strict=True) for end in ends])
        self.optimizer = optimizer_of(self.choices)

    def _before(self, index: int, h: Any, stream: Any) -> tuple[Any, Any]:
        """What a layer reads, and the stream around its block, before anything is computed of them."""
        return h, stream

    def _affine(self, units: int) -> Any:
        return self._dense(units)

    def _pooled(self, h: Any) -> Any:
        """What the head reads."""
        return h

    def _number(self, factor: str) -> float:
        return float(self.choices[factor].value or 0)

    def _settings(self, factor: str) -> dict[str, Any]:
        return dict(self.choices[factor].settings)

    def _rules(self, axes: int) -> dict[str, Any]:
        """What Keras is told to do with a kernel of so many axes."""
        rule, penalty = self.choices["regularization"], penalty_of(self.choices)
        extra: dict[str, Any] = {} if penalty is None else {"kernel_regularizer": penalty}
        if rule.name == "max_norm":
            extra["kernel_constraint"] = keras.constraints.MaxNorm(rule.setting("limit"), axis=list(range(axes - 1)))
        return extra

    def _bias(self) -> dict[str, bool]:
        return {"use_bias": self.choices["skip"].name != "fixup"}

    def _dense(self, units: int, *, head: bool = False) -> Any:
        extra = self._rules(2) | ({} if head else self._bias())
        weight_normalized = self.choices["normalization"].name == "weight_normalization" and not head
        self.denses.append(WeightNormalized(units) if weight_normalized else keras.layers.Dense(units, **extra))
        return self.denses[-1]

    def _branch(self, z: Any, blocks: int) -> Any:
        settings = self._settings("skip")
        if "exponent" in settings:
            return z * (settings["scale"] * blocks ** -settings["exponent"])
        if self.choices["skip"].name == "fixup":
            return Number(0.0, operator.add)(Number(1.0, operator.mul)(z))
        return Number(0.0, operator.mul)(z) if self.choices["skip"].name == "residual_scaled" else z

    def _position(self) -> str:
        return self._settings("normalization").get("position", "")

    def _normalized(self, z: Any) -> Any:
        settings = self._settings("normalization")
        settings.pop("position", None)
        if self.choices["normalization"].name == "layer_spatial_normalization":
            settings["axis"] = list(range(1, len(z.shape)))
        if self.choices["normalization"].name == "instance_normalization":
            settings["groups"] = z.shape[-1]
        return getattr(keras.layers, NORMALIZATIONS[self.choices["normalization"].name])(**settings)(z)

    def _respond(self, z: Any, *, normalized: bool) -> Any:
        activation = keras.layers.Activation(getattr(keras.activations, self.choices["activation"].name))
        if self._position() == "before" and not normalized:
            z = self._normalized(z)
        h = activation(z)
        self.responses.append((z, h))
        return self._normalized(h) if self._position() == "after" else h

    def train(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
        """The recorded columns, each [steps] or [steps, layers] with the head last."""
        found = [self._step(x, y) for x, y in batches]  # to trace it takes longer than to run
        return {name: np.stack([each[name] for each in found]) for name in found[0]}

    def judge(self, x: np.ndarray, y: np.ndarray, train_samples: int) -> dict[str, dict[str, float]]:
        """The evaluation of each split in inference mode; the training samples stand first."""
        logits = self.model(x, training=False)[0].numpy().astype(np.float64)
        peak = logits.max(axis=1)
        loss = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1)) - logits[np.arange(len(y)), y]
        answers, classes = logits.argmax(axis=1), range(logits.shape[1])
        hits = answers == y
        return {
            split: {
                "loss": loss[part].mean(),
                "accuracy": hits[part].mean(),
                "balanced_accuracy": np.mean([hits[part][y[part] == label].mean() for label in classes]),
                "largest_answer_share": np.bincount(answers[part]).max() / len(y[part]),
            }
            for split, part in (("train", slice(0, train_samples)), ("validation", slice(train_samples, None)))
        }

    def shares(self, x: np.ndarray, large: float) -> dict[str, np.ndarray]:
        """Shares of h <= 0 and of |u| >= large over samples x and units in training mode, each [layers]."""
        averages = [(variable, variable.numpy()) for variable in self.inner.non_trainable_variables]
        found = [tensor.numpy() for tensor in self.inner(x, training=True)]
        for variable, before in averages:  # looking is no step
            variable.assign(before)
        inputs, outputs = found[: len(found) // 2], found[len(found) // 2 :]
        return {
            "nonpositive_fraction": np.array([(h <= 0).mean() for h in outputs]),
            "large_fraction": np.array([(np.abs(u) >= large).mean() for u in inputs]),
        }

    def _step(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        variables = self.model.trainable_variables
        kernels = [dense.kernel for dense in self.denses]
        with tf.GradientTape(persistent=True) as tape:
            logits, *ends = self.model(x, training=True)
            data = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            penalties = self.model.losses
        values = [v.value for v in variables]
        depth = len(ends) // 2
        of_ends, of_logits, of_data = tape.gradient(data, [ends, logits, values])
        signals = [g.numpy() for g in (*of_ends[:depth], of_logits)]
        own = dict(zip(map(id, variables), of_data, strict=True))
        weights = [own[id(kernel)].numpy() for kernel in kernels]
        raw = [g if p is None else g + p for g, p in zip(of_data, tape.gradient(penalties, values), strict=True)]
        before = [kernel.numpy() for kernel in kernels]
        gradients = self._adaptive(raw, variables) if self.choices["clipping"].name == "adaptive" else raw
        clipped = self.optimizer._clip_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {
            "loss": data.numpy(),
            "global_grad_norm": tf.linalg.global_norm(raw).numpy(),
            "clipped_grad_norm": tf.linalg.global_norm(clipped).numpy(),
            "weight_norm": np.array([np.linalg.norm(b) for b in before]),
            "weight_count": np.array([b.size for b in before]),
            "weight_grad_norm": np.array([np.linalg.norm(g) for g in weights]),
            "weight_grad_mean_abs": np.array([np.abs(g).mean() for g in weights]),
            "weight_grad_zero_fraction": np.array([(g == 0).mean() for g in weights]),
            "preactivation_grad_norm": np.array([len(y) ** 0.5 * np.linalg.norm(g) for g in signals]),
            "activation_grad_norm": np.array(
                [*(len(y) ** 0.5 * np.linalg.norm(g.numpy()) for g in of_ends[depth:]), np.nan]
            ),
            "preactivation_grad_pair_correlation": np.array([pair_correlation(g, y) for g in signals]),
            "update_norm": np.array([np.linalg.norm(k.numpy() - b) for k, b in zip(kernels, before, strict=True)]),
        }

    def _adaptive(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        limit = self._settings("clipping")["threshold"]
        head = {id(v) for v in self.denses[-1].trainable_variables}
        return [
            g if id(v) in head else tf.constant(clipped_by_unit(g.numpy(), v.numpy(), limit))
            for g, v in zip(gradients, variables, strict=True)
        ]
