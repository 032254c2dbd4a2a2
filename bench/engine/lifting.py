"""What one run does, lifted to all runs of a cohort at once, each function traced once however often it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def vectorize(function: Callable[..., Any], *args: Any) -> Any:
    """Apply a function of one run along the leading axis of every tensor in `args`."""
    return tf.vectorized_map(lambda packed: function(*packed), args)


def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one run for all runs at once, see `traced_once`."""
    return traced_once(lambda *args: vectorize(function, *args))


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors in any structure, None among them, as a graph of its own that others call.

    It is traced for the shapes of its first arguments, which every later call with the same ones absent has.
    """
    known: dict[tuple[bool, ...], tuple[Any, Any]] = {}

    def call(*args: Any) -> Any:
        flat = tf.nest.flatten(args)
        tensors = [each for each in flat if each is not None]
        given = tuple(each is not None for each in flat)
        if given not in known:
            known[given] = _traced(function, args, [tf.TensorSpec.from_tensor(each) for each in tensors])
        graph, structure = known[given]
        return tf.nest.pack_sequence_as(structure, graph(*tensors))

    return call


def _traced(function: Callable[..., Any], like: Any, specs: list[tf.TensorSpec]) -> tuple[Any, Any]:
    """The function's graph for arguments of the structure `like`, from tensors to a list of tensors; its structure."""
    structures = []

    def flat_function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        left = iter(tensors)
        flat = [None if each is None else next(left) for each in tf.nest.flatten(like)]
        found = function(*tf.nest.pack_sequence_as(like, flat))
        structures.append(tf.nest.map_structure(lambda _: 0, found))
        return [tf.identity(each) for each in tf.nest.flatten(found)]

    whole = tf.function(flat_function, autograph=False).get_concrete_function(*specs)
    return _pruned(whole), structures[0]


def _pruned(whole: Any) -> Any:
    """A graph without the operations that its outputs do not need: what `tf.vectorized_map` leaves behind.

    Half of them and more are that. A graph that calls this one pays for each, in each of its calls.
    """
    definition = whole.graph.as_graph_def()
    copy = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    inputs, outputs = ([copy.graph.as_graph_element(t.name) for t in each] for each in (whole.inputs, whole.outputs))
    return whole if whole.captured_inputs else copy.prune(inputs, outputs)
