"""One training step of Keras's JAX backend with a look at everything, whose numbers leave it as two more results.

A step in JAX is a function of a state and a batch, and no tensor of the part that is differentiated may be kept. So
`jax.value_and_grad` is another while a step is traced: what it differentiates has one more argument, a few zeros for
each place that is looked at, and gives back what is looked at beside its own. A tap is the identity; the gradient of
its zeros is by definition the sums of squares of the gradient that passes. Nothing is called back to Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras

from bench.errors import BenchError
from bench.recorder.jax_activations import statistics_of
from bench.recorder.jax_norms import SUMS, square_sums
from bench.recorder.jax_optimizers import Applied
from bench.recorder.layers import path_of
from bench.recorder.layout import STATISTICS, Layout
from bench.recorder.looking import Looking
from bench.recorder.patches import Patches, patched
from bench.recorder.settings import loss_name
from bench.recorder.targets import TargetSums, asked_for

Call = Callable[..., Any]
Key = tuple[str, int, str]
DIFFERENTIATING = ("value_and_grad", "grad")


class TooFewZeros(Exception):  # noqa: N818 (the step is traced again with more)
    """A step looks at more places than there are zeros for."""


@jax.custom_vjp
def tap(tensor: jax.Array, zeros: jax.Array) -> jax.Array:
    """The same tensor; the gradient of `zeros` [SUMS] is what `square_sums` says of the tensor's."""
    return tensor


def _forward(tensor: jax.Array, zeros: jax.Array) -> tuple[jax.Array, None]:
    return tensor, None


def _backward(kept: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gradient, square_sums([gradient])[1][0]


tap.defvjp(_forward, _backward)


class JaxStepTrace(Looking):
    """What one trace of a step looks at; `layout` says what each number of `direct` and of `sums` is, in this order.

    Attributes:
        direct: numbers as they are, float32.
        sums: of sums of squares what `jax_norms.settled` makes them of, [tensors, SUMS].
    """

    def __init__(self, model: keras.Model, optimizers: Sequence[Any], zeros: int) -> None:
        super().__init__(model)
        self.optimizers = optimizers
        self.count = zeros
        self.zeros: list[jax.Array] = []  # of the function that is differentiated now
        self.taken: list[tuple[int, str]] = []  # whose gradient each of them is of
        self.inside: list[tuple[Key, jax.Array]] = []  # what leaves that function
        self.asked: dict[Key, jax.Array] = {}
        self.found: dict[Key, jax.Array] = {}
        self.numbers: dict[Key, Any] = {}
        self.differentiate = jax.value_and_grad  # before it is another
        self.of_state: object = None  # what the step's own arguments are traced for
        self.batch = 0
        self.applied = Applied(self._is_outermost)
        self.asked_for: TargetSums | None = None
        self.layout = Layout()
        self.direct = jnp.zeros(0)
        self.sums = jnp.zeros((0, SUMS))

    def take(self, state: Any, data: Any) -> Any:
        """The model's own `train_step` on a state and a batch; afterwards there are `layout`, `direct` and `sums`."""
        self.of_state = _trace_of(next(iter(jax.tree.leaves(state)), None))
        with patched(self._put_on):
            self._look_at_data(data)
            outputs = self.model.train_step(state, data)
        self._finish()
        return outputs

    # What is put on.

    def _put_on(self, patches: Patches) -> None:
        self._put_on_layers(patches)
        patches.around(self.model, "compute_loss", self._around_loss)
        patches.around(self.model, "call", self._around_model)
        for each in self.optimizers:
            self.applied.put_on(patches, each)
        for name in DIFFERENTIATING:
            patches.around(jax, name, partial(self._around_grad, with_value=name == "value_and_grad"))

    def _around_grad(self, make: Call, *, with_value: bool) -> Call:
        def looked(fun: Call, argnums: int | Sequence[int] = 0, has_aux: bool = False, **options: Any) -> Call:
            plain = make(fun, argnums, has_aux, **options)
            if options.get("holomorphic"):
                return plain

            def with_a_look(*args: Any, **more: Any) -> Any:
                if self.zeros or not self._is_outermost((args, more)):
                    return plain(*args, **more)
                which = [argnums] if isinstance(argnums, int) else list(argnums)
                moved = (0, *(each % len(args) + 1 for each in which))

                def whole(zeros: list[jax.Array], *args: Any, **more: Any) -> Any:
                    self.zeros, self.taken, self.inside = zeros, [], []
                    outputs = fun(*args, **more)
                    value, aux = outputs if has_aux else (outputs, None)
                    return value, (aux, [tensor for _, tensor in self.inside])

                zeros = [jnp.zeros(SUMS) for _ in range(self.count)]
                try:
                    found = self.differentiate(whole, moved, True, **options)(zeros, *args, **more)
                finally:
                    keys, taken = [key for key, _ in self.inside], self.taken
                    self.zeros, self.inside = [], []
                (value, (aux, tensors)), (of_zeros, *gradients) = found
                self._left(dict(zip(keys, tensors, strict=True)), dict(zip(taken, of_zeros, strict=False)))
                gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
                if with_value:
                    return ((value, aux) if has_aux else value), gradient
                return (gradient, aux) if has_aux else gradient

            return with_a_look

        return looked

    def _left(self, tensors: dict[Key, jax.Array], gradients: dict[tuple[int, str], jax.Array]) -> None:
        """What was looked at, outside what was differentiated."""
        for (kind, row, what), tensor in tensors.items():
            if kind == "row":
                self.places[row][what] = tensor
            if kind == "step":
                self.numbers[kind, row, what] = tensor
            else:
                self.asked[kind, row, what] = tensor
        for (row, what), sums in gradients.items():
            self.found["row", row, what] = sums

    def _around_preactivation(self, layer: Any, activation: Any, call: Call) -> Call:
        linear = activation is keras.activations.linear

        def looked(z: Any, *args: Any, **more: Any) -> Any:
            if not self._can_see(layer, z):
                return call(z, *args, **more)
            row = self._row(layer, "preactivation", z)
            self._ask(row, "z", z)
            h = call(self._tapped(row, "z_gradient", z), *args, **more)
            self._makes(row, h)
            if not linear:
                self._activated(row, h, activation)
            return h

        return looked

    def _around_call(self, layer: Any, call: Call) -> Call:
        return call

    def _around_loss(self, compute: Call) -> Call:
        def looked(*args: Any, **more: Any) -> Any:
            loss = compute(*args, **more)
            if self._sees(loss) and not any(key[0] == "step" for key, _ in self.inside):
                self.inside.append((("step", 0, "loss"), jnp.mean(loss)))
                self.applied.penalized = True
            y, answers = (more.get(name, args[k] if len(args) > k else None) for name, k in (("y", 1), ("y_pred", 2)))
            if self.asked_for is None and self._sees(loss):
                self.asked_for = asked_for(y, answers, loss_name(self.model.loss))
                self.targets = None if self.asked_for is None else (self.asked_for.kind, None)
            self.heads |= {self.makers[id(each)] for each in keras.tree.flatten(answers) if id(each) in self.makers}
            return loss

        return looked

    # What is seen.

    def _is_outermost(self, arguments: Any) -> bool:
        """Whether something is differentiated by itself, and not within what is mapped or differentiated."""
        return all(_trace_of(each) in (None, self.of_state) for each in jax.tree.leaves(arguments))

    def _is_here(self, made: Any) -> bool:
        known = (None, self.of_state, _trace_of(self.zeros[0])) if self.zeros else ()
        return all(_trace_of(each) in known for each in keras.tree.flatten(made))

    def _sees(self, tensor: Any) -> bool:
        return isinstance(tensor, jax.Array) and self._is_here(tensor)

    def _is_floating(self, tensor: Any) -> bool:
        return bool(jnp.issubdtype(tensor.dtype, jnp.floating))

    def _ask(self, row: int, what: str, tensor: Any) -> None:
        self.inside.append((("row", row, what), tensor))

    def _tapped(self, row: int, what: str, tensor: jax.Array) -> jax.Array:
        # There is a gradient only if something below it trains.
        if _trace_of(tensor) is not _trace_of(self.zeros[0]):
            return tensor
        if len(self.taken) == len(self.zeros):
            raise TooFewZeros
        self.taken.append((row, what))
        return tap(tensor, self.zeros[len(self.taken) - 1])

    def _updated(self) -> Sequence[Any]:
        return self.applied.variables

    def _key(self, variable: Any) -> int:
        return id(variable)

    def _look_at_data(self, data: Any) -> None:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        for what, part in (("input", x), ("target", y)):
            leaves = [] if part is None else keras.tree.flatten(part)
            tensors = [jnp.asarray(each) for each in leaves if each is not None]
            self.batch = self.batch or next((each.shape[0] for each in tensors if each.ndim), 0)
            for k, each in enumerate(tensors):
                if self._is_floating(each):
                    self.asked[what, k, "square"] = each

    # What becomes of it.

    def _finish(self) -> None:
        if not self.places:
            raise BenchError("no layer with weights was seen in what the step gives to `jax.value_and_grad`")
        seen = {path_of(place["layer"]) for place in self.places}
        self.unseen = {path: why for path, why in self.unseen.items() if path not in seen}
        if not self.applied.variables:
            self.unseen["optimizer"] = "the step does not give its gradients to `stateless_apply`"
        if not self.heads:
            self.heads = self.ends or {len(self.places) - 1}
        direct, sums = [*self._numbers()], [*self._sums()]
        keys = [key for keys, _ in (*direct, *sums) for key in keys]
        targets = [] if self.asked_for is None else self.asked_for.keys
        self.layout = self._layout((*keys, *targets))
        self.direct = jnp.concatenate([vector for _, vector in direct])
        self.sums = jnp.concatenate([rows for _, rows in sums])

    def _numbers(self) -> Iterator[tuple[list[Key], jax.Array]]:
        """What is handed out as it is, and what each number of it is."""
        alone: dict[Key, Any] = dict(self.numbers)
        if self.applied.penalty is not None:
            alone["step", 0, "penalty"] = self.applied.penalty
        alone["step", 0, "batch"] = self.batch or self.places[0]["tensor"].shape[0]
        alone["step", 0, "scale"] = self.applied.scale
        for row, place in enumerate(self.places):
            if place.get("z") is not None:
                alone["row", row, "looked"] = math.prod(place["z"].shape)
        yield [*alone], jnp.stack([jnp.asarray(each, jnp.float32) for each in alone.values()])
        hidden = {row: place for row, place in enumerate(self.places) if row not in self.heads}
        for rows, found in statistics_of(hidden):
            yield [("row", row, name) for row in rows for name in STATISTICS], found.reshape(-1)
        yield from self.applied.counts()

    def _sums(self) -> Iterator[tuple[list[Key], jax.Array]]:
        """What `settled` makes sums of squares of, [tensors, SUMS], and of which tensors they are."""
        if self.found:
            yield [*self.found], jnp.stack([*self.found.values()])
        asked = self.asked | self.applied.asked
        if asked:
            order, sums = square_sums([*asked.values()])
            keys = [*asked]
            yield [keys[k] for k in order], sums
        yield from self.applied.sums


def _trace_of(tensor: Any) -> object:
    """What a tensor is traced for; None of what is an array already."""
    return getattr(tensor, "_trace", None) if isinstance(tensor, jax.core.Tracer) else None
