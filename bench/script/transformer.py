"""Transformers in a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engine.attention import kind_of
from bench.engine.attention.query_key import first_gain
from bench.engine.attention.start import embedding_choice, start_factor
from bench.engine.initial import HEAD
from bench.factors import ATTENTION, is_causal, sublayer_kinds
from bench.script.layout import call, literal
from bench.script.model import Model, Parts, named
from bench.script.starts import Draw, rounded
from bench.script.training import clips_by_unit, dropout_of, penalized

PARTS = {ATTENTION: ("query", "key", "value", "output"), "feed_forward": ("ff_in", "ff_out")}  # of a sub-layer


def transformer(parts: Parts) -> Model:
    """The lines of blocks of attention and feed-forward sub-layers over a sequence, and a head."""
    recorded, data = parts.recorded, parts.data
    depth, width, heads = (recorded.number(name) for name in ("depth", "width", "heads"))
    kinds, length, rate = sublayer_kinds(recorded["sublayers"].name), data.shape[0], dropout_of(recorded)
    block, query_key = recorded["block"].name, recorded["query_key"].name
    kind = kind_of(recorded["block"], depth, depth * len(kinds))
    kernel = parts.starts.kernel(0, (width, width), f"{PARTS[kinds[0]][0]}_kernel")
    attends = ATTENTION in kinds
    own = attends and _own_attention(parts, kernel)
    values: dict[str, Any] = {
        "kinds": kinds, "depth": depth, "width": width, "heads": heads, "units": width // max(heads, 1),
        "length": length, "block": block, "kind": kind, "final": kind.final, "own": own,
        "embeds": bool(data.tokens), "shape": (length,) if data.tokens else data.shape,
        "position": recorded["position"].name, **_embedding(parts), "causal": is_causal(recorded.run.choices),
        "more": "".join(f", {name}={value}" for name, value in penalized(recorded).items()),
        "activation": parts.activation(), "hidden": recorded.number("feed_forward") * width, "query_key": query_key,
        "function": kernel.function, **_starts(parts, kernel, kinds),
        "scale": None if query_key == "l2_normalized" else
        literal(rounded((width // max(heads, 1)) ** (-1.0 if recorded["logit_scale"].name == "inverse" else -0.5))),
        "cap": literal(recorded["query_key"].setting("cap")) if query_key == "logit_cap" else None,
        "first_gain": literal(rounded(first_gain(length))), "why": _why(parts) if own else "",
        "rate": None if rate is None else literal(rate[0]), "each": data.each,
        "tied": recorded["tied"].name == "yes", "head": _head(parts, width),
    }  # fmt: skip
    pieces = [
        *(["position_embedding"] if values["position"] == "learned" else []),
        *(["dropout"] if rate is not None else []),
    ]
    pieces += {"rezero": ["branch_scale"], "layer_scale": ["unit_scale"]}.get(block, [])
    pieces += ["tied_head"] if values["tied"] else []
    pieces += ["spectral_dense"] if query_key == "sigma_reparam" and attends else []
    pieces += ["attention"] if own else []
    of_head = (1 if values["tied"] else 2) + (2 if kind.final else 0)
    return Model("transformer", values, _words(parts, kinds), pieces, head=of_head)


def _own_attention(parts: Parts, kernel: Draw) -> bool:
    """Whether the run's attention is not what Keras's layer computes, or draws, bounds and clips by other shapes."""
    recorded = parts.recorded
    plain = recorded["query_key"].name == "plain" and recorded["logit_scale"].name == "inverse_root"
    by_units = recorded["regularization"].name == "max_norm" or clips_by_unit(recorded) is not None
    return not plain or by_units or kernel.function or bool(parts.starts.bias(0))


def _why(parts: Parts) -> str:
    """What the attention of a script does that Keras's layer does not."""
    recorded = parts.recorded
    said = {
        "layer_normalized": "of normalized queries and keys (Dehghani et al. 2023)",
        "l2_normalized": "by cosines of queries and keys times a learned number (Henry et al. 2020)",
        "logit_cap": "with bounded logits (Gemma Team 2024)",
        "sigma_reparam": "whose queries and keys have kernels of learned norms (Zhai et al. 2023)",
    }.get(recorded["query_key"].name, "")
    if not said and recorded["logit_scale"].name == "inverse":
        said = "with logits over the units of a head (Yang et al. 2022)"
    return f"Attention {said or 'of kernels that are matrices, heads side by side'}."


def _embedding(parts: Parts) -> dict[str, Any]:
    """The layers in which samples enter, as written."""
    recorded, starts = parts.recorded, parts.starts
    width, tokens, choices = recorded.number("width"), parts.data.tokens, recorded.run.choices
    vectors = {
        role: starts.draw(choice, role, 0).source()
        for role in ("token_embedding", "position_embedding")
        if (choice := embedding_choice(role, choices)) is not None
    }
    if tokens:
        made = call("layers.Embedding", tokens, width, vectors["token_embedding"])
    else:
        draws = {"kernel_initializer": starts.kernel(0, (parts.data.shape[1], width), "feature_embedding")}
        draws |= starts.bias(0, "feature_embedding_bias")
        made = call("layers.Dense", width, **{name: draw.source() for name, draw in draws.items()})
    return {"embedding": made, "positions": vectors["position_embedding"]}


def _starts(parts: Parts, kernel: Draw, kinds: tuple[str, ...]) -> dict[str, Any]:
    """How each part of a block is drawn: all kernels alike, with seeds of their own and perhaps a factor."""
    recorded, starts = parts.recorded, parts.starts
    seeded, bias = "seed" in kernel.arguments, starts.bias(0).get("bias_initializer")
    draw = kernel.source({"seed": "seed"})
    draw = f"({draw})" if kernel.function and kernel.arguments else draw
    names = [part for each in kinds for part in PARTS[each]]
    factors = {part: rounded(start_factor(f"{part}_kernel", recorded.run.choices)) for part in names}
    scales = any(factor != 1.0 for factor in factors.values()) and (
        bool(bias)
        or _own_attention(parts, kernel)
        or any(factors[part] != 1.0 for part in names if part.startswith("ff"))
    )
    start = {}
    for part in names:
        seed = {"ff_in": "first", "ff_out": "second"}.get(part, part)
        given = [*([seed] if seeded or bias else []), *([literal(factors[part])] if factors[part] != 1.0 else [])]
        if bias:
            start[part] = call("**starts", *given)
        elif factors[part] != 1.0:
            start[part] = f"kernel_initializer={call('scaled', *given)}"
        else:
            start[part] = f"kernel_initializer={kernel.source({'seed': seed})}"
    roles = [*(["kernel"] if seeded else []), *(["bias"] if bias else [])]
    seeds = [
        [[starts.seed(f"{part}_{role}", block * len(kinds) + place) for role in roles]
         for place, each in enumerate(kinds) for part in PARTS[each]]
        for block in range(recorded.number("depth"))
    ]  # fmt: skip
    listed = [tuple(each[0] if len(each) == 1 else tuple(each) for each in block) for block in seeds]
    of_attention = tuple(factors[part] for part in PARTS[ATTENTION]) if ATTENTION in kinds else ()
    words = {ATTENTION: "query, key, value and output", "feed_forward": "first and second feed-forward layer"}
    return {
        "draw": draw, "seeded": seeded, "scales": scales, "start": start, "listed": bool(roles),
        "bias": bias.source({"seed": "bias_seed"}) if bias else None,
        "seeds": literal(listed), "seeds_of": " and ".join(words[each] for each in kinds),
        "attention_factors": of_attention if any(factor != 1.0 for factor in of_attention) else (),
    }  # fmt: skip


def _head(parts: Parts, width: int) -> str:
    """What gives the outputs."""
    if parts.recorded["tied"].name != "yes":
        return parts.head(width, parts.data.outputs)
    return call("TiedHead", "embedding", **{name: draw.source() for name, draw in parts.starts.bias(HEAD).items()})


def _words(parts: Parts, kinds: tuple[str, ...]) -> str:
    """`A transformer of 2 blocks, 8 wide, attention of 2 heads and feed-forward of 16 gelu, pre norm`."""
    recorded = parts.recorded
    width, depth, multiple = (recorded.number(name) for name in ("width", "depth", "feed_forward"))
    of: Mapping[str, str] = {
        ATTENTION: f"attention of {recorded.number('heads')} heads",
        "feed_forward": f"feed-forward of {multiple * width} units, {named(recorded['activation'])}",
    }
    said = " and ".join(of[each] for each in kinds)
    more = [f"position {named(recorded['position'])}", *(["causal"] if is_causal(recorded.run.choices) else [])]
    if ATTENTION in kinds and recorded["query_key"].name != "plain":
        more.append(f"queries and keys {named(recorded['query_key'])}")
    plural = "" if depth == 1 else "s"
    return ", ".join(
        [f"A transformer of {depth} block{plural} of width {width} ({named(recorded['block'])}): {said}", *more]
    )
