"""How a transformer's variables start, where that is not as any layer's do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.engine.attention.kinds import kind_of
from bench.engine.attention.spectral import first_directions
from bench.engine.stacks import LayerStack
from bench.factors import FACTORS, Choice, choose, sublayer_kinds

KERAS_LIMIT = 0.05  # of Keras's Embedding: embeddings_initializer="uniform"
SCALED = ("value_kernel", "output_kernel", "ff_in_kernel", "ff_out_kernel")


def start_factor(role: str, choices: Mapping[str, Choice]) -> float:
    """What multiplies the draw of a kernel: `attention_gain`, or what its kind of block says."""
    if choices["block"].is_none:
        return 1.0
    if role in ("query_kernel", "key_kernel"):
        return float(choices["attention_gain"].value or 0.0)
    blocks = int(choices["depth"].value or 0)
    kind = kind_of(choices["block"], blocks, blocks * len(sublayer_kinds(choices["sublayers"].name)))
    return kind.weights if role in SCALED else 1.0


def embedding_choice(role: str, choices: Mapping[str, Choice]) -> Choice | None:
    """The initializer that draws an embedding; None of any other variable."""
    if role not in ("token_embedding", "position_embedding"):
        return None
    if choices["block"].name == "t_fixup":
        written: object = {"level": "random_normal", "stddev": int(choices["width"].value or 1) ** -0.5}
    elif choices["embedding_initializer"].name == "normal":
        written = {"level": "random_normal", "stddev": choices["embedding_initializer"].setting("stddev")}
    else:
        written = {"level": "random_uniform", "limit": KERAS_LIMIT}
    return choose(FACTORS["initializer"], written)


def start_directions(stacks: Iterable[LayerStack]) -> None:
    """Bring the directions that sub-layers follow to where their kernels' spectral norms are right."""
    for stack in stacks:
        for state in stack.state:
            part, is_direction, _ = state.name.partition("_direction")
            if is_direction:
                state.assign(first_directions(stack.weights[f"{part}_kernel"].numpy()))
