"""What one run does, lifted to all runs of a cohort at once, each function traced once however often it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def vectorize(function: Callable[..., Any], *args: Any) -> Any:
    """Apply a function of one run along the leading axis of every tensor in `args`."""
    return tf.vectorized_map(lambda packed: function(*packed), args)


def one_by_one(function: Callable[..., Any], like: Any, *args: Any) -> Any:
    """What `vectorize` does, run after run: for what TensorFlow has no form for many runs at once of, or none as quick.

    Args:
        like: of each tensor that the function returns its `tf.TensorSpec`, without runs.
    """
    return tf.map_fn(lambda packed: function(*packed), args, parallel_iterations=1, fn_output_signature=like)


def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one run for all runs at once, see `traced_once`."""
    return traced_once(lambda *args: vectorize(function, *args))


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors in any structure, None among them, as a graph of its own that others call.

    It is traced once for arguments of the same shapes, the same ones absent.
    """
    known: dict[Any, Any] = {}

    def call(*args: Any) -> Any:
        flat = tf.nest.flatten(args)
        specs = [None if each is None else tf.TensorSpec(each.shape, each.dtype) for each in flat]
        if (given := tuple(specs)) not in known:
            known[given] = _traced(function, args, [spec for spec in specs if spec is not None])
        graph, structure, _ = known[given]
        return tf.nest.pack_sequence_as(structure, graph(*(each for each in flat if each is not None)))

    return call


def _traced(function: Callable[..., Any], like: Any, specs: list[tf.TensorSpec]) -> tuple[Any, Any, Any]:
    """The function's graph for arguments of the structure `like`, from tensors to a list of tensors; its structure.

    The third is the graph before it was pruned: TensorFlow forgets the branches of its conditions when it goes.
    """
    structures = []

    def flat_function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        left = iter(tensors)
        flat = [None if each is None else next(left) for each in tf.nest.flatten(like)]
        found = function(*tf.nest.pack_sequence_as(like, flat))
        structures.append(tf.nest.map_structure(lambda _: 0, found))
        return [tf.identity(each) for each in tf.nest.flatten(found)]

    whole = tf.function(flat_function, autograph=False).get_concrete_function(*specs)
    return _pruned(whole, specs), structures[0], whole


def _pruned(whole: Any, specs: list[tf.TensorSpec]) -> Any:
    """A graph without the operations that its outputs do not need: what `tf.vectorized_map` leaves behind.

    Half of them and more are that. A graph that calls this one pays for each, in each of its calls.
    """
    if whole.captured_inputs:
        return whole
    definition = whole.graph.as_graph_def()
    nodes = {node.name: node for node in definition.node}
    needed: set[str] = set()
    waiting = [tensor.op.name for tensor in whole.outputs]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source.lstrip("^").partition(":")[0] for source in nodes[name].input]
    kept = [node for node in definition.node if node.name in needed]
    waits = {f"^{tensor.op.name}" for tensor in whole.inputs}  # for placeholders that nobody feeds: silu has such
    for node in kept:
        node.input[:] = [source for source in node.input if source not in waits]
    del definition.node[:]
    definition.node.extend(kept)
    outputs = [tensor.name for tensor in whole.outputs]

    def run(*tensors: tf.Tensor) -> list[tf.Tensor]:
        given = {mine.name: each for mine, each in zip(whole.inputs, tensors, strict=True) if mine.op.name in needed}
        return tf.graph_util.import_graph_def(definition, input_map=given, return_elements=outputs, name="")

    return tf.function(run, autograph=False).get_concrete_function(*specs)
