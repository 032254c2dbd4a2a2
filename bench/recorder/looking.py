"""What is known of a traced step whatever computes it: which layers are looked at, their rows, their variables.

A backend's trace says how a tensor is looked at: `trace.py` for TensorFlow, `jax_trace.py` for JAX.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras

from bench.recorder.layers import below, has_variables, own_kernels, own_variables, path_of
from bench.recorder.layout import Layout, Place, Variable
from bench.recorder.patches import Patches
from bench.recorder.settings import NORMALIZATIONS
from bench.recorder.unseen import INSIDE, NO_TENSOR, left_out

Call = Callable[..., Any]
RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
ACTIVATIONS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU)
BESIDE = (keras.layers.Embedding, keras.layers.PReLU, *NORMALIZATIONS)
WORDS = {"gamma": "gain", "embeddings": "embedding"}
RECOMPUTING = "inner_recompute_grad"  # TensorFlow's name of it


class Looking:
    """Of one trace of a model's training step: the rows that it found, and what each number of it means."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.builds = not has_variables(model)  # whether the step is one without a graph that makes them
        self.tapped: set[int] = set()
        self.places: list[dict[str, Any]] = []
        self.calls: dict[int, int] = {}
        self.near: dict[int, int] = {}  # the row that each layer without one goes with
        self.makers: dict[int, int] = {}  # which row a tensor is the output of
        self.again_made: set[int] = set()  # rows that were computed anew on the way back
        self.held: list[Any] = []  # these tensors, so that no other takes their identity
        self.heads: set[int] = set()
        self.ends: set[int] = set()  # what a model gives back, where nobody says what is compared with targets
        self.unseen: dict[str, str] = {}
        self.targets: tuple[Any, Any] | None = None
        self.answers: Any = None  # of the model's first call

    # What a backend says.

    def _is_here(self, made: Any) -> bool:
        """Whether what was just made belongs to this very trace."""
        raise NotImplementedError

    def _sees(self, tensor: Any) -> bool:
        """Whether it is a tensor of this very trace."""
        raise NotImplementedError

    def _is_floating(self, tensor: Any) -> bool:
        raise NotImplementedError

    def _ask(self, row: int, what: str, tensor: Any) -> None:
        """Ask for the sum of squares of a tensor of a row."""
        raise NotImplementedError

    def _tapped(self, row: int, what: str, tensor: Any) -> Any:
        """The same tensor, of whose gradient the sum of squares is asked for, if it has one and may be followed."""
        raise NotImplementedError

    def _around_preactivation(self, layer: Any, activation: Any, call: Call) -> Call:
        raise NotImplementedError

    def _around_call(self, layer: Any, call: Call) -> Call:
        raise NotImplementedError

    def _updated(self) -> Sequence[Any]:
        """The variables that optimizers were seen to apply gradients to."""
        raise NotImplementedError

    def _key(self, variable: Any) -> int:
        """What a variable is known by, however it is named."""
        raise NotImplementedError

    # What is put on.

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

    @property
    def missed(self) -> bool:
        """Whether a layer made its variables only when it was called itself, unseen."""
        inside = {id(each) for layer in self._layers() if isinstance(layer, RECURRENT) for each in below(layer)}
        return any(id(each) not in self.tapped | inside and own_kernels(each) for each in self._layers())

    def _layers(self) -> list[Any]:
        return list(self.model._flatten_layers(include_self=False))

    def _around_activation(self, activation: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        """What a layer makes that is an activation is the output of the latest row that has none of its own."""

        def looked(u: Any, *args: Any, **more: Any) -> Any:
            h = call(u, *args, **more)
            if self.places and self._sees(h):
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
            if self.answers is None and self._is_here(outputs):
                self.answers = outputs
            self.ends |= {self.makers[id(each)] for each in keras.tree.flatten(outputs) if id(each) in self.makers}
            return outputs

        return looked

    def _around_output(self, layer: Any, call: Call) -> Call:
        """Of a layer that is looked at from outside, and of several outputs the first."""

        def looked(*args: Any, **more: Any) -> Any:
            outputs = call(*args, **more)
            whole = isinstance(outputs, list | tuple)
            first = outputs[0] if whole else outputs
            if not self._can_see(layer, first):
                return outputs
            row = self._row(layer, "output", first)
            self._ask(row, "h", first)
            first = self._tapped(row, "h_gradient", first)
            self._makes(row, first)
            self.places[row]["h"] = first
            return type(outputs)([first, *outputs[1:]]) if whole else first

        return looked

    def _around_other(self, layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*args: Any, **more: Any) -> Any:
            self.near.setdefault(id(layer), max(0, len(self.places) - 1))
            return call(*args, **more)

        return looked

    # What is seen.

    def _can_see(self, layer: Any, tensor: Any) -> bool:
        if not self._is_here(tensor):
            self.unseen.setdefault(path_of(layer), INSIDE)
            return False
        if not self._sees(tensor) or not self._is_floating(tensor):
            self.unseen.setdefault(path_of(layer), NO_TENSOR)
            return False
        return True

    def _row(self, layer: Any, sees: str, tensor: Any) -> int:
        if (again := self._made_again(layer)) is not None:
            return again
        call = self.calls[id(layer)] = self.calls.get(id(layer), 0) + 1
        features = int(tensor.shape[-1] or 0)
        self.places.append({"layer": layer, "call": call, "sees": sees, "features": features, "tensor": tensor})
        return len(self.places) - 1

    def _made_again(self, layer: Any) -> int | None:
        """The row whose tensors a call computes anew on the way back, as `keras.remat` has it; None of any other call.

        What is needed first is computed anew first: of several calls of a layer the last.
        """
        if not recomputes():
            return None
        rows = [row for row, place in enumerate(self.places) if place["layer"] is layer]
        left = [row for row in rows if row not in self.again_made] or rows
        if not left:
            return None
        self.again_made.add(left[-1])
        return left[-1]

    def _makes(self, row: int, tensor: Any) -> None:
        self.makers[id(tensor)] = row
        self.held.append(tensor)

    def _activated(self, row: int, h: Any, activation: Any) -> None:
        place = self.places[row]
        if "h" in place:  # an activation that is a layer was seen from within
            return
        place["h"], place["maker"] = h, activation
        place["activation"] = getattr(activation, "name", None) or getattr(activation, "__name__", "")
        if isinstance(activation, ACTIVATIONS):
            place["activation"] = type(activation).__name__
        self._ask(row, "h", h)

    # What each number means.

    def _layout(self, keys: tuple[tuple[str, int, str], ...]) -> Layout:
        owners = self._owners()
        first_row = {id(place["layer"]): row for row, place in reversed(list(enumerate(self.places)))}
        variables, taken = [], set()
        kernels: dict[int, list[int]] = {}
        for number, variable in enumerate(self._updated()):
            owner = owners.get(self._key(variable))
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
        given = {self._key(variable) for variable in self._updated()}
        unseen = left_out(self.model, RECURRENT, BESIDE, seen, lambda each: self._key(each) in given, self.unseen)
        kind = "" if self.targets is None else str(self.targets[0])
        return Layout(rows, tuple(variables), at, tuple(unseen.items()), kind)

    def _owners(self) -> dict[int, Any]:
        """The layer that each variable belongs to: of what is inside a recurrent layer that layer."""
        found: dict[int, Any] = {}
        for layer in self._layers():
            if isinstance(layer, RECURRENT):
                for variable in layer.trainable_variables:
                    found.setdefault(self._key(variable), layer)
        for layer in self._layers():
            for variable in own_variables(layer):
                found.setdefault(self._key(variable), layer)
        return found


def recomputes() -> bool:
    """Whether this is within a `tf.recompute_grad`, on the way back, which is what `keras.remat` makes."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == RECOMPUTING and frame.f_code.co_filename.endswith("custom_gradient.py"):
            return True
        frame = frame.f_back
    return False
