"""Transformers: blocks of attention and feed-forward sub-layers over a sequence of tokens, and a dense head.

The head reads the last token, or, where the data ask for a class at each step, every token by the same weights. Each
sub-layer is a layer of the tables. Its variables are those of Keras's `MultiHeadAttention`, heads side by side, of two
`Dense` layers and of `LayerNormalization`; `bench.engine.attention` takes all runs through them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import keras

from bench.engine.activations import make_activation
from bench.engine.attention import (
    Embedding,
    Heads,
    Kind,
    Sublayer,
    TransformerPass,
    causal,
    kind_of,
    query_key_of,
)
from bench.engine.blocks import Block, Layer, Network, Stage
from bench.engine.datasets import vocabulary_of
from bench.engine.fitting import answers_each, check_sample
from bench.engine.layers import TiedDense
from bench.engine.precision import model_input
from bench.errors import DataError
from bench.factors import ATTENTION, FACTORS, Choice, held_of_token, is_causal, misfit_of_tied, sublayer_kinds

OF_BLOCK = ("activation", "width", "heads", "feed_forward", "sublayers", "query_key", "logit_scale", "precision")


class Variables(keras.layers.Layer):
    """The variables of a sub-layer, by name, those of an embedding first."""

    def __init__(self, sublayer: Sublayer, embedding: Embedding | None) -> None:
        super().__init__()
        starts = sublayer.starts()
        for name, shape in ((embedding.shapes() if embedding else {}) | sublayer.shapes()).items():
            self.add_weight(name=name, shape=shape, initializer=keras.initializers.Constant(starts.get(name, 0.0)))


class States(keras.layers.Layer):
    """What a sub-layer follows beside its variables, by name; it is set once those are drawn."""

    def __init__(self, sublayer: Sublayer) -> None:
        super().__init__()
        for name, shape in sublayer.states().items():
            self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)


def build(structure: Mapping[str, Choice], input_shape: tuple[int, ...], outputs: int) -> Network:
    """As many blocks as the depth says, of the width.

    Raises:
        DataError: samples that are no sequences, or answers at each step that are not one a step.
    """
    check_sample(structure["dataset"], input_shape, "transformer")
    depth, width = (int(structure[name].value or 0) for name in ("depth", "width"))
    length = input_shape[0]
    each, units = answers_each(structure["dataset"], length, outputs, "transformers")
    tokens = vocabulary_of(structure["dataset"])
    names = sublayer_kinds(structure["sublayers"].name)
    kind = kind_of(structure["block"], depth, depth * len(names))
    known = FACTORS["activation"].level(structure["activation"].name) is not None
    told = tuple((name, structure[name]) for name in OF_BLOCK), kind, length, is_causal(structure)
    sublayers = _shared_sublayers(*told) if known else _shared_sublayers.__wrapped__(*told)
    embedding = Embedding(tokens, 0 if tokens else input_shape[1], length, width, structure["position"].name)
    stages = [_stage(sublayers, 1, depth, embedding)]
    if depth > 1:
        stages.append(_stage(sublayers, depth - 1, depth))
    tied = structure["tied"].name == "yes"
    if tied and units != tokens:
        raise DataError(f'dataset "{structure["dataset"].label}": {misfit_of_tied(tokens, units)}')
    return Network(
        tuple(stages), _head(kind, (length, width), units, each=each, tied=tied), flattens=False, length=length,
        tells_z=True,
        embeds=bool(tokens), names=tuple(f"block_{block}_{name}" for block in range(depth) for name in names),
        widest=held_of_token(structure, length),
    )  # fmt: skip


@lru_cache(maxsize=64)
def _shared_sublayers(
    of_block: tuple[tuple[str, Choice], ...], kind: Kind, length: int, sees_past: bool
) -> tuple[Sublayer, ...]:
    """A block's sub-layers; cohorts that differ in nothing that these know share what was traced for them."""
    structure = dict(of_block)
    names = sublayer_kinds(structure["sublayers"].name)
    width, count, multiple = (int(structure[name].value or 0) for name in ("width", "heads", "feed_forward"))
    made = []
    for name in names:
        settings: dict[str, Any] = {"adds_entered": kind.from_below and name == names[-1]}
        if name == ATTENTION:
            visible, inverse = causal(length) if sees_past else (), structure["logit_scale"].name == "inverse"
            query_key = query_key_of(structure["query_key"], width // max(count, 1), length)
            settings["heads"] = Heads(count, length, visible, inverse, query_key)
        else:
            settings |= {"hidden": multiple * width, "activation": make_activation(structure["activation"])}
        made.append(Sublayer(name, kind, width, **settings))
    return tuple(made)


def _stage(sublayers: tuple[Sublayer, ...], count: int, depth: int, embedding: Embedding | None = None) -> Stage:
    """So many blocks of a network that has `depth` of them; samples are embedded before the first."""
    layers = [
        Layer(Variables(each, None if index else embedding), States(each), each.activation)
        for index, each in enumerate(sublayers)
    ]
    own_pass: Any = partial(
        TransformerPass, sublayers=sublayers, embedding=embedding, depth=depth * len(sublayers)
    )  # fmt: skip
    return Stage(Block(tuple(layers)), count, own_pass)


def _head(kind: Kind, shape: tuple[int, int], units: int, *, each: bool, tied: bool) -> keras.Model:
    x = model_input(shape)
    h = x if each else x[:, -1]
    h = keras.layers.LayerNormalization()(h) if kind.final else h
    answers = (TiedDense if tied else keras.layers.Dense)(units)(h)
    return keras.Model(x, keras.layers.Reshape((units * shape[0],))(answers) if each else answers)
