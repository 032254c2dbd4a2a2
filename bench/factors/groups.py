"""Groups of a layer's parameters, as `parameter_groups` tells them apart: what a plan and a graph share."""

from __future__ import annotations

from collections.abc import Mapping

from bench.factors.architectures import has_time
from bench.factors.base import Choice

KERNEL, RECURRENT_KERNEL, BIAS, GAIN = "kernel", "recurrent_kernel", "bias", "gain"
GATE_GROUPS = {  # in Keras's order
    "lstm": ("gate_i", "gate_f", "gate_c", "gate_o"),
    "gru": ("gate_z", "gate_r", "gate_h"),
}
GROUPS = (KERNEL, RECURRENT_KERNEL, BIAS, GAIN, *(gate for gates in GATE_GROUPS.values() for gate in gates))
WITHOUT_GAIN = ("none", "unit_normalization")


def planned_groups(structure: Mapping[str, Choice]) -> list[tuple[int, str]]:
    """Layer and group of each row, the head's last; of an architecture from outside those of dense layers."""
    own = [KERNEL, BIAS]
    if structure["cell"].name != "none" and has_time(structure["architecture"]):
        own = [KERNEL, RECURRENT_KERNEL, BIAS]
    if structure["normalization"].name not in WITHOUT_GAIN:
        own.append(GAIN)
    own += GATE_GROUPS.get(structure["cell"].name, ())
    depth = int(structure["depth"].value or 0)
    return [(layer, name) for layer in range(depth) for name in own] + [(depth, KERNEL), (depth, BIAS)]
