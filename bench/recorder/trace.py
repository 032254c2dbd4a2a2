"""One traced training step with a look at everything: taps go on, Keras's own step is traced, taps come off.

Pre-activations are never read where they are: TensorFlow computes a product, its bias and its activation in one
kernel where nobody else wants what is between, and that kernel rounds otherwise. What is read is their gradient, the
outputs of activations, and the pre-activations of a few samples, computed once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.errors import BenchError
from bench.recorder.activations import few, statistics
from bench.recorder.layers import below, has_variables, own_kernels, own_variables, path_of
from bench.recorder.layout import STATISTICS, Layout, Place, Variable
from bench.recorder.norms import Squares
from bench.recorder.optimizers import Carry, UpdateTaps, scale_of
from bench.recorder.settings import NORMALIZATIONS, loss_name
from bench.recorder.stepping import Stepping
from bench.recorder.taps import Patches, graph_now, patched, tap
from bench.recorder.targets import target_sums
from bench.recorder.unseen import INSIDE, NO_TENSOR, left_out

RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
ACTIVATIONS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU)
BESIDE = (keras.layers.Embedding, keras.layers.PReLU, *NORMALIZATIONS)
MADE_LOGITS = ("Softmax", "Sigmoid")  # operations behind which Keras's losses look for logits: nothing may follow them
WORDS = {"gamma": "gain", "embeddings": "embedding"}


class StepTrace:
    """What one trace of a model's training step looks at; `layout` says what each number of `vector` is."""

    def __init__(self, model: keras.Model, optimizers: Sequence[Any], carry: Carry, stepping: Stepping) -> None:
        self.model = model
        self.builds = not has_variables(model)  # whether the step is one without a graph that makes them
        self.tapped: set[int] = set()
        self.stepping = stepping
        self.optimizers = optimizers
        self.squares = Squares()
        self.loss: tf.Tensor | None = None
        self.updates = UpdateTaps(carry, self.squares, penalized=lambda: self.loss is not None)
        self.graph: object = None
        self.places: list[dict[str, Any]] = []
        self.calls: dict[int, int] = {}
        self.near: dict[int, int] = {}  # the row that each layer without one goes with
        self.makers: dict[int, int] = {}  # which row a tensor is the output of
        self.held: list[Any] = []  # these tensors, so that no other takes their identity
        self.heads: set[int] = set()
        self.ends: set[int] = set()  # what a model gives back, where nobody says what is compared with targets
        self.batch: tf.Tensor | None = None
        self.targets: tuple[Any, tf.Tensor] | None = None
        self.answers: Any = None  # of the model's first call
        self.again = False  # whether a layer is asked for pre-activations alone
        self.unseen: dict[str, str] = {}
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

    def _put_on_layers(self, patches: Patches) -> None:
        """On each layer that has no tap; where the step makes variables, of those alone that have theirs."""
        inside = {id(each) for layer in self._layers() if isinstance(layer, RECURRENT) for each in below(layer)}
        for layer in self._layers():
            if id(layer) in inside or id(layer) in self.tapped or (self.builds and not layer.built):
                continue
            self.tapped.add(id(layer))
            if isinstance(layer, RECURRENT):
                patches.around(layer, "call", partial(self._around_output, layer))
            elif isinstance(layer, ACTIVATIONS):
                patches.around(layer, "call", partial(self._around_activation, layer))
            elif isinstance(layer, keras.layers.Activation):
                patches.around(layer, "activation", partial(self._around_activation, layer.activation))
            elif isinstance(layer, BESIDE):
                patches.around(layer, "call", partial(self._around_other, layer))
            elif callable(vars(layer).get("activation")) and own_kernels(layer):
                patches.around(layer, "activation", partial(self._around_preactivation, layer, layer.activation))
                if type(layer).__module__.startswith("keras."):
                    patches.around(layer, "call", partial(self._around_call, layer))
            elif own_kernels(layer):
                patches.around(layer, "call", partial(self._around_output, layer))

    def _around_first(self, patches: Patches, call: Callable[..., Any]) -> Callable[..., Any]:
        """A model makes its variables on its way to its first call that computes: then its layers can be looked at."""

        def looked(*args: Any, **more: Any) -> Any:
            if graph_now() is self.graph:
                self._put_on_layers(patches)
            return call(*args, **more)

        return looked

    @property
    def missed(self) -> bool:
        """Whether a layer made its variables only when it was called itself, unseen."""
        inside = {id(each) for layer in self._layers() if isinstance(layer, RECURRENT) for each in below(layer)}
        return any(id(each) not in self.tapped | inside and own_kernels(each) for each in self._layers())

    def _layers(self) -> list[Any]:
        return list(self.model._flatten_layers(include_self=False))

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
        """A layer of Keras's own is asked once more for the pre-activations of a few samples: see `few`."""

        def looked(*args: Any, **more: Any) -> Any:
            rows = len(self.places)
            outputs = call(*args, **more)
            if len(self.places) == rows + 1 and args and isinstance(args[0], tf.Tensor):
                self.again = True
                try:
                    z = self.places[rows]["z"] = call(few(args[0]))
                finally:
                    self.again = False
                self.asked["row", rows, "z"] = self.squares.ask(z)
                self.direct["row", rows, "looked"] = tf.cast(tf.size(z), tf.float64)
            return outputs

        return looked

    def _around_output(self, layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            outputs = call(*args, **more)
            whole = isinstance(outputs, list | tuple)
            first = outputs[0] if whole else outputs
            if not self._can_see(layer, first):
                return outputs
            row = self._row(layer, "output", first)
            self.asked["row", row, "h"] = self.squares.ask(first)
            if not _makes_logits(first):
                first = tap(first, lambda gradient: self._gradient(row, "h_gradient", gradient))
            self._makes(row, first)
            self.places[row]["h"] = first
            return type(outputs)([first, *outputs[1:]]) if whole else first

        return looked

    def _around_activation(self, activation: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        """What a layer makes that is an activation is the output of the latest row that has none of its own."""

        def looked(u: Any, *args: Any, **more: Any) -> Any:
            h = call(u, *args, **more)
            if self.places and isinstance(h, tf.Tensor) and graph_now() is self.graph:
                row = len(self.places) - 1
                self.near.setdefault(id(activation), row)
                if id(u) in self.makers:
                    self._makes(self.makers[id(u)], h)
                if self.places[row]["sees"] == "preactivation" and "h" not in self.places[row]:
                    self._activated(row, h, activation)
            return h

        return looked

    def _around_model(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            outputs = call(*args, **more)
            if self.answers is None and graph_now() is self.graph:
                self.answers = outputs
            self.ends |= {self.makers[id(each)] for each in keras.tree.flatten(outputs) if id(each) in self.makers}
            return outputs

        return looked

    def _around_other(self, layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            self.near.setdefault(id(layer), max(0, len(self.places) - 1))
            return call(*args, **more)

        return looked

    def _around_loss(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            loss = compute(*args, **more)
            if self.loss is None and isinstance(loss, tf.Tensor) and graph_now() is self.graph:
                self._look_at_loss(loss)
                penalties = [v.regularizer(v) for v in self.model.trainable_variables if v.regularizer is not None]
                if penalties:
                    self.direct["step", 0, "penalty"] = tf.add_n([tf.cast(each, tf.float64) for each in penalties])
            y, answers = (more.get(name, args[k] if len(args) > k else None) for name, k in (("y", 1), ("y_pred", 2)))
            if self.targets is None and graph_now() is self.graph:
                self.targets = target_sums(y, answers, loss_name(self.model.loss))
            self.heads |= {self.makers[id(each)] for each in keras.tree.flatten(answers) if id(each) in self.makers}
            return loss

        return looked

    # What is seen.

    def _can_see(self, layer: Any, tensor: Any) -> bool:
        if graph_now() is not self.graph:
            self.unseen.setdefault(path_of(layer), INSIDE)
            return False
        if not isinstance(tensor, tf.Tensor) or not tensor.dtype.is_floating:
            self.unseen.setdefault(path_of(layer), NO_TENSOR)
            return False
        return True

    def _row(self, layer: Any, sees: str, tensor: tf.Tensor) -> int:
        call = self.calls[id(layer)] = self.calls.get(id(layer), 0) + 1
        features = int(tensor.shape[-1] or 0)
        self.places.append({"layer": layer, "call": call, "sees": sees, "features": features, "tensor": tensor})
        return len(self.places) - 1

    def _makes(self, row: int, tensor: tf.Tensor) -> None:
        self.makers[id(tensor)] = row
        self.held.append(tensor)

    def _gradient(self, row: int, what: str, gradient: tf.Tensor) -> None:
        with self._own():
            if ("row", row, what) not in self.asked and graph_now() is self.graph:
                self.asked["row", row, what] = self.squares.ask(gradient)

    def _activated(self, row: int, h: tf.Tensor, activation: Any) -> None:
        place = self.places[row]
        if "h" in place:  # an activation that is a layer was seen from within
            return
        place["h"], place["maker"] = h, activation
        place["activation"] = getattr(activation, "name", None) or getattr(activation, "__name__", "")
        if isinstance(activation, ACTIVATIONS):
            place["activation"] = type(activation).__name__
        self.asked["row", row, "h"] = self.squares.ask(h)

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
        for row, place in enumerate(self.places):
            found = None if row in self.heads else statistics(place.get("h"), place.get("z"), place.get("maker"))
            if found is not None:
                keys += [("row", row, name) for name in STATISTICS]
                vectors.append(found)
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

    def _layout(self, keys: tuple[tuple[str, int, str], ...]) -> Layout:
        owners = self._owners()
        first_row = {id(place["layer"]): row for row, place in reversed(list(enumerate(self.places)))}
        variables, taken = [], set()
        kernels: dict[int, list[int]] = {}
        for number, variable in enumerate(self.updates.variables):
            owner = owners.get(_key(variable))
            row = first_row.get(id(owner), self.near.get(id(owner), 0))
            path = getattr(variable, "path", None) or variable.name
            word = path.rsplit("/", 1)[-1].partition(":")[0]
            group = WORDS.get(word, word)
            if (row, group) in taken or (id(owner) not in first_row and group == "kernel"):
                group = "/".join(path.split("/")[-2:])
            if (row, group) in taken:
                group = path
            taken.add((row, group))
            size = math.prod(variable.shape)
            variables.append(Variable(path, size, row, group))
            if id(owner) in first_row and len(variable.shape) > 1 and "recurrent" not in word:
                kernels.setdefault(row, []).append(number)
        rows = tuple(
            Place(
                path_of(place["layer"]) + (f"#{place['call']}" if place["call"] > 1 else ""),
                type(place["layer"]).__name__, place["sees"], tuple(kernels.get(row, ())),
                place.get("activation", ""), place["features"], row in self.heads,
            )
            for row, place in enumerate(self.places)
        )  # fmt: skip
        at = {key: k for k, key in enumerate(keys)}
        seen: dict[int, bool] = {}
        for row, place in enumerate(self.places):
            flows = any(("row", row, name) in at for name in ("z_gradient", "h_gradient")) or bool(kernels.get(row))
            seen[id(place["layer"])] = seen.get(id(place["layer"]), False) or flows
        given = {_key(variable) for variable in self.updates.variables}
        unseen = left_out(self.model, RECURRENT, BESIDE, seen, lambda each: _key(each) in given, self.unseen)
        kind = "" if self.targets is None else str(self.targets[0])
        return Layout(rows, tuple(variables), at, tuple(unseen.items()), kind)

    def _owners(self) -> dict[int, Any]:
        """The layer that each variable belongs to: of what is inside a recurrent layer that layer."""
        found: dict[int, Any] = {}
        for layer in self._layers():
            if isinstance(layer, RECURRENT):
                for variable in layer.trainable_variables:
                    found.setdefault(_key(variable), layer)
        for layer in self._layers():
            for variable in own_variables(layer):
                found.setdefault(_key(variable), layer)
        return found


def _tensors(part: Any) -> list[tf.Tensor]:
    """The tensors of a nest, arrays of numpy's among them."""
    leaves = [] if part is None else keras.tree.flatten(part)
    found = [tf.convert_to_tensor(each) if isinstance(each, np.ndarray) else each for each in leaves]
    return [each for each in found if isinstance(each, tf.Tensor)]


def _key(variable: Any) -> int:
    return id(getattr(variable, "value", variable)) if isinstance(variable, keras.Variable) else id(variable)


def _makes_logits(tensor: tf.Tensor) -> bool:
    """Whether a loss may look behind a tensor for the logits that it was made of."""
    if hasattr(tensor, "_keras_logits"):
        return True
    return not tf.executing_eagerly() and tensor.op.type in MADE_LOGITS
