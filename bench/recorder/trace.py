"""One traced training step with a look at everything: taps go on, Keras's own step is traced, taps come off.

Pre-activations are never read where they are: TensorFlow computes a product, its bias and its activation in one
kernel where nobody else wants what is between, and that kernel rounds otherwise. What is read is their gradient, the
outputs of activations, and the pre-activations of a few samples, computed once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.errors import BenchError
from bench.recorder.activations import few, statistics
from bench.recorder.broadcasting import broadcasts
from bench.recorder.layers import below
from bench.recorder.layout import STATISTICS
from bench.recorder.looking import Looking
from bench.recorder.norms import Squares
from bench.recorder.optimizers import Carry, UpdateTaps, scale_of
from bench.recorder.patches import Patches, patched
from bench.recorder.settings import loss_name
from bench.recorder.stepping import Stepping
from bench.recorder.taps import graph_now, tap
from bench.recorder.target_sums import target_sums

MADE_LOGITS = ("Softmax", "Sigmoid")  # operations behind which Keras's losses look for logits: nothing may follow them


class StepTrace(Looking):
    """What one trace of a model's training step looks at; `layout` says what each number of `vector` is."""

    def __init__(self, model: keras.Model, optimizers: Sequence[Any], carry: Carry, stepping: Stepping) -> None:
        super().__init__(model)
        self.stepping = stepping
        self.optimizers = optimizers
        self.squares = Squares()
        self.loss: tf.Tensor | None = None
        self.updates = UpdateTaps(carry, self.squares, penalized=lambda: self.loss is not None)
        self.graph: object = None
        self.batch: tf.Tensor | None = None
        self.again = False  # whether a layer is asked for pre-activations alone
        self.asked: dict[tuple[str, int, str], int] = {}
        self.direct: dict[tuple[str, int, str], tf.Tensor] = {}
        self.vector: tf.Tensor | None = None
        self.fault: BaseException | None = None  # of the recorder's own, where the step was made nevertheless

    def take(self, data: Any) -> Any:
        """Trace the step on one batch; afterwards there are `layout` and `vector`, or without a graph a `fault`."""
        self.graph = graph_now()
        shield = self._failed if self.graph is None else None
        with patched(self._put_on, shield):
            with self._own():
                self._look_at_data(data)
            outputs = self.stepping.take(data)
        with self._own():
            if self.fault is None and not (self.builds and self.missed):
                self._look_at_loss(self.stepping.loss(outputs))
                if self.targets is None and self.loss is not None:
                    y = _tensors(self.stepping.parts(data)[1])
                    self.targets = target_sums(y, self.answers, loss_name(self.stepping.compares))
                self._look_at_shapes(data)
                self._finish()
        return outputs

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Lines of the recorder's own: where numbers are computed at once, a fault of theirs must not stop the step."""
        try:
            yield
        except Exception as error:
            if self.graph is not None:
                raise
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.fault = self.fault or error

    # What is put on.

    def _put_on(self, patches: Patches) -> None:
        self.updates.put_on(patches, self.optimizers)
        patches.around(self.model, "compute_loss", self._around_loss)
        patches.around(self.model, "call", self._around_model)
        self._put_on_layers(patches)
        if self.builds:
            for model in (self.model, *getattr(self.model, "parts", ())):
                patches.around(model, "call", partial(self._around_first, patches))

    def _around_first(self, patches: Patches, call: Callable[..., Any]) -> Callable[..., Any]:
        """A model makes its variables on its way to its first call that computes: then its layers can be looked at."""

        def looked(*args: Any, **more: Any) -> Any:
            if graph_now() is self.graph:
                self._put_on_layers(patches)
            return call(*args, **more)

        return looked

    def _around_preactivation(self, layer: Any, activation: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        linear = activation is keras.activations.linear

        def looked(z: Any, *args: Any, **more: Any) -> Any:
            if self.again:  # only the pre-activation is asked for
                return z
            if not self._can_see(layer, z):
                return call(z, *args, **more)
            row = self._row(layer, "preactivation", z)
            h = call(tap(z, lambda gradient: self._gradient(row, "z_gradient", gradient)), *args, **more)
            self._makes(row, h)
            if not linear:
                self._activated(row, h, activation)
            return h

        return looked

    def _around_call(self, layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        """A layer of Keras's own is asked once more for the pre-activations of a few samples: see `few`.

        Not one that `TimeDistributed` calls at each time step: training would differ in its last bits.
        """
        wrappers = [each for each in self._layers() if isinstance(each, keras.layers.TimeDistributed)]
        if any(layer is each for wrapper in wrappers for each in below(wrapper)):
            return call

        def looked(*args: Any, **more: Any) -> Any:
            rows = len(self.places)
            outputs = call(*args, **more)
            if len(self.places) == rows + 1 and args and isinstance(args[0], tf.Tensor):
                self.again = True
                try:
                    z = self.places[rows]["z"] = call(few(args[0], self.places[rows]["features"]))
                finally:
                    self.again = False
                self.asked["row", rows, "z"] = self.squares.ask(z)
                self.direct["row", rows, "looked"] = tf.cast(tf.size(z), tf.float64)
            return outputs

        return looked

    def _around_loss(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            loss = compute(*args, **more)
            if self.loss is None and isinstance(loss, tf.Tensor) and graph_now() is self.graph:
                self._look_at_loss(loss)
                penalties = [v.regularizer(v) for v in self.model.trainable_variables if v.regularizer is not None]
                penalties += activity_penalties(self.model, len(penalties))
                if penalties:
                    self.direct["step", 0, "penalty"] = tf.add_n([tf.cast(each, tf.float64) for each in penalties])
            y, answers = (more.get(name, args[k] if len(args) > k else None) for name, k in (("y", 1), ("y_pred", 2)))
            if self.targets is None and graph_now() is self.graph:
                self.targets = target_sums(y, answers, loss_name(self.model.loss))
            self.heads |= {self.makers[id(each)] for each in keras.tree.flatten(answers) if id(each) in self.makers}
            return loss

        return looked

    # What is seen.

    def _is_here(self, made: Any) -> bool:
        return graph_now() is self.graph

    def _sees(self, tensor: Any) -> bool:
        return isinstance(tensor, tf.Tensor) and graph_now() is self.graph

    def _is_floating(self, tensor: Any) -> bool:
        return bool(tensor.dtype.is_floating)

    def _ask(self, row: int, what: str, tensor: Any) -> None:
        if ("row", row, what) not in self.asked:
            self.asked["row", row, what] = self.squares.ask(tensor)

    def _tapped(self, row: int, what: str, tensor: Any) -> Any:
        if _makes_logits(tensor):
            return tensor
        return tap(tensor, lambda gradient: self._gradient(row, what, gradient))

    def _updated(self) -> Sequence[Any]:
        return self.updates.variables

    def _key(self, variable: Any) -> int:
        return id(getattr(variable, "value", variable)) if isinstance(variable, keras.Variable) else id(variable)

    def _gradient(self, row: int, what: str, gradient: tf.Tensor) -> None:
        with self._own():
            if ("row", row, what) not in self.asked and graph_now() is self.graph:
                self.asked["row", row, what] = self.squares.ask(gradient)

    def _look_at_loss(self, loss: tf.Tensor | None) -> None:
        if self.loss is None and loss is not None:
            self.loss = tf.reduce_mean(tf.cast(loss, tf.float64))
            self.direct["step", 0, "loss"] = self.loss

    def _look_at_data(self, data: Any) -> None:
        x, y = self.stepping.parts(data)
        parts = {"input": _tensors(x), "target": _tensors(y)}
        self.batch = next((each for each in [*parts["input"], *parts["target"]] if each.shape.rank), None)
        for what, tensors in parts.items():
            for k, each in enumerate(tensors):
                if each.dtype.is_floating:
                    self.asked[what, k, "square"] = self.squares.ask(each)
        self.direct["step", 0, "scale"] = tf.cast(scale_of(self.optimizers[0]), tf.float64)

    # What becomes of it.

    def _look_at_shapes(self, data: Any) -> None:
        with suppress(AttributeError):  # where it cannot be seen nothing is said of it
            if broadcasts(_tensors(self.stepping.parts(data)[1]), self.answers):
                self.direct["step", 0, "broadcasts"] = tf.constant(1.0, tf.float64)

    def _finish(self) -> None:
        if not self.places:
            raise BenchError(
                "no layer with weights was seen in the step; one that a `tf.function` within it calls is not"
            )
        if self.updates.elsewhere:
            self.unseen["optimizer"] = "it is applied inside a function or branch of its own"
        if not self.heads:
            self.heads = self.ends or {len(self.places) - 1}
        batch = self.places[0]["tensor"] if self.batch is None else self.batch
        self.direct["step", 0, "batch"] = tf.cast(tf.shape(batch)[0], tf.float64)
        keys, vectors = [*self.direct], [tf.stack([tf.cast(each, tf.float64) for each in self.direct.values()])]
        hidden = {
            row: place for row, place in enumerate(self.places) if row not in self.heads and {*place} & {"h", "z"}
        }
        if hidden:
            keys += [("row", row, name) for row in hidden for name in STATISTICS]
            vectors.append(statistics([*hidden.values()]))
        if self.targets is not None:
            keys += [("target_sum", k, "sum") for k in range(self.targets[1].shape[0])]
            vectors.append(self.targets[1])
        for of_variables, vector in self.updates.vectors:
            keys += [("variable", *each) for each in of_variables]
            vectors.append(vector)
        order, sums = self.squares.settled()
        names = {number: key for key, number in self.asked.items()}
        names |= {number: ("variable", *each) for each, number in self.updates.asked.items()}
        self.layout = self._layout((*keys, *(names[number] for number in order)))
        self.vector = tf.concat([*vectors, sums], axis=0)


def _tensors(part: Any) -> list[tf.Tensor]:
    """The tensors of a nest, arrays of numpy's among them."""
    leaves = [] if part is None else keras.tree.flatten(part)
    found = [tf.convert_to_tensor(each) if isinstance(each, np.ndarray) else each for each in leaves]
    return [each for each in found if isinstance(each, tf.Tensor)]


def activity_penalties(model: keras.Model, of_weights: int) -> list[tf.Tensor]:
    """What activity regularizers add to the loss; nothing where layers add losses of their own, which look alike.

    Args:
        model: whose layers were called.
        of_weights: how many variables have a regularizer.
    """
    layers = list(model._flatten_layers(include_self=True))
    count = sum(getattr(each, "activity_regularizer", None) is not None for each in layers)
    losses = model.losses if count else []
    return list(losses[:count]) if len(losses) == count + of_weights else []


def _makes_logits(tensor: tf.Tensor) -> bool:
    """Whether a loss may look behind a tensor for the logits that it was made of."""
    if hasattr(tensor, "_keras_logits"):
        return True
    return not tf.executing_eagerly() and tensor.op.type in MADE_LOGITS
