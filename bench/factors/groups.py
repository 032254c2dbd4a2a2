"""Groups of a layer's parameters, as `parameter_groups` tells them apart: what a plan and a graph share."""

from __future__ import annotations

from collections.abc import Mapping

from bench.factors.architectures import ARCHITECTURE, ArchitectureLevel, has_time
from bench.factors.attention import ATTENTION, NORM_AT_THE_END, WITHOUT_NORM, sublayer_kinds
from bench.factors.base import Choice

KERNEL, RECURRENT_KERNEL, BIAS, GAIN = "kernel", "recurrent_kernel", "bias", "gain"
GATE_GROUPS = {  # in Keras's order
    "lstm": ("gate_i", "gate_f", "gate_c", "gate_o"),
    "gru": ("gate_z", "gate_r", "gate_h"),
}
SUBLAYER_GROUPS = {  # of a transformer's kinds of sub-layers: each kernel with its bias
    "attention": ("query", "key", "value", "output"),
    "feed_forward": ("ff_in", "ff_out"),
}
PROJECTIONS = tuple(name for names in SUBLAYER_GROUPS.values() for name in names)
EMBEDDING = "embedding"  # of tokens and positions, which ride in the first sub-layer
GROUPS = (
    KERNEL, RECURRENT_KERNEL, BIAS, GAIN, *(gate for gates in GATE_GROUPS.values() for gate in gates),
    *PROJECTIONS, EMBEDDING,
)  # fmt: skip
WITHOUT_GAIN = ("none", "unit_normalization")
WITH_GAINS = ("layer_normalized", "l2_normalized", "sigma_reparam")  # ways to compare queries and keys that learn some


def planned_groups(structure: Mapping[str, Choice]) -> list[tuple[int, str]]:
    """Layer and group of each row, the head's last; of an architecture from outside those of dense layers."""
    level = ARCHITECTURE.level(structure["architecture"].name)
    depth = int(structure["depth"].value or 0)
    if isinstance(level, ArchitectureLevel) and level.has_heads:
        return _of_blocks(structure, depth)
    own = [KERNEL] if structure["skip"].name == "fixup" else [KERNEL, BIAS]
    if structure["cell"].name != "none" and has_time(structure["architecture"]):
        own = [KERNEL, RECURRENT_KERNEL, BIAS]
    if structure["normalization"].name not in WITHOUT_GAIN:
        own.append(GAIN)
    own += GATE_GROUPS.get(structure["cell"].name, ())
    return [(layer, name) for layer in range(depth) for name in own] + [(depth, KERNEL), (depth, BIAS)]


def _of_blocks(structure: Mapping[str, Choice], blocks: int) -> list[tuple[int, str]]:
    """The same of a transformer."""
    kinds = sublayer_kinds(structure["sublayers"].name)
    block = structure["block"].name
    compares = structure["query_key"].name in WITH_GAINS
    found = [(0, EMBEDDING)]
    for layer in range(blocks * len(kinds)):
        kind = kinds[layer % len(kinds)]
        gain = [GAIN] if block not in WITHOUT_NORM or (compares and kind == ATTENTION) else []
        found += [(layer, name) for name in (*gain, *SUBLAYER_GROUPS[kind])]
    last = blocks * len(kinds)
    kernel = [] if structure["tied"].name == "yes" else [KERNEL]  # the embedding's
    head = [*kernel, BIAS, *([GAIN] if block in NORM_AT_THE_END else [])]
    return found + [(last, name) for name in head]
