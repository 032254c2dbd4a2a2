"""What stands in and around hidden layers: a normalization, which keeps them to a fixed scale, and skip connections."""

from __future__ import annotations

from bench.factors.base import Choice, Factor, Level, Place, Rule, Setting, above_zero, nearest_divisors

_POSITION = {"position": Setting("before", "Before or after the activation.", allowed=("before", "after"))}
# Keras's 0.99 still holds 13 % of the start after 200 steps: short runs that are evaluated want less.
_MOMENTUM = Setting(0.99, "Share of the moving averages kept at a step; evaluations use them.", minimum=0, maximum=1)


def _keras(name: str, attribute: str, summary: str, source: str) -> Level:
    return Level(name, summary, source, target=f"keras.layers:{attribute}", settings=_POSITION)


NORMALIZATION = Factor(
    "normalization", "The normalization in each hidden layer.", Place.GRAPH, default="none", plugins=True,
    levels=(
        Level("none", "No normalization.", "Baseline"),
        Level(
            "batch_normalization", "Each unit to mean 0 and variance 1 over the batch, then a learned scale and shift.",
            "Ioffe & Szegedy 2015", target="keras.layers:BatchNormalization",
            settings={"momentum": _MOMENTUM} | _POSITION,
        ),
        _keras(
            "layer_normalization", "LayerNormalization",
            "Each sample to mean 0 and variance 1 over the units, then a learned scale and shift.",
            "Ba, Kiros & Hinton 2016",
        ),
        Level(
            "rms_normalization", "Each sample to mean square 1 over the units, then a learned scale.",
            "Zhang & Sennrich 2019", target="keras.layers:RMSNormalization", settings=_POSITION, since="3.9",
        ),
        Level(
            "group_normalization",
            "Each sample to mean 0 and variance 1 within groups of units, then a learned scale and shift.",
            "Wu & He 2018", target="keras.layers:GroupNormalization",
            settings={"groups": Setting(8, "Number of groups; must divide the width.", minimum=1)} | _POSITION,
        ),
        _keras(
            "layer_spatial_normalization", "LayerNormalization",
            "Each sample to mean 0 and variance 1 over positions and filters, then a learned scale and shift of each.",
            "Wu & He 2018, where layer normalization of images means this",
        ),
        _keras(
            "instance_normalization", "GroupNormalization",
            "Each filter of a sample to mean 0 and variance 1 over all positions, then a learned scale and shift.",
            "Ulyanov, Vedaldi & Lempitsky 2016",
        ),
        _keras(
            "unit_normalization", "UnitNormalization", "Each sample to L2 norm 1 over the units, with nothing learned.",
            "Keras",
        ),
        Level(
            "weight_normalization", "The weights of each unit written as a learned length times a direction.",
            "Salimans & Kingma 2016",
        ),
    ),
)  # fmt: skip

_LAYERS = {"layers": Setting(2, "Hidden layers in a block; the first hidden layer is in none.", minimum=1)}

SKIP = Factor(
    "skip", "The path around each block of hidden layers.", Place.GRAPH, default="none",
    levels=(
        Level("none", "A plain chain of layers.", "Baseline"),
        Level("residual", "A block's input is added to its output.", "He et al. 2016", settings=_LAYERS),
        Level(
            "residual_scaled", "A block's output times a learned number that starts at 0, added to its input.",
            "De & Smith 2020; Bachlechner et al. 2021", settings=_LAYERS,
        ),
        Level(
            "residual_damped",
            "A block's output times a fixed number, scale / (number of blocks) ** exponent, added to its input.",
            "De & Smith 2020; Hayou et al. 2021",
            settings=_LAYERS | {
                "scale": above_zero(1.0, "Factor on each block's output."),
                "exponent": Setting(0.5, "How the factor falls with the number of blocks; 0 is not at all."),
            },
        ),
        Level(
            "residual_post_norm",
            "As residual, but what the path carries on is the sum after its normalization; without one, residual.",
            "Vaswani et al. 2017; Xiong et al. 2020", settings=_LAYERS,
        ),
        Level(
            "residual_v1",
            "A block's output, normalized, is added to its input, and the path carries on that sum behind the "
            "activation: it is not clean.",
            "He et al. 2016a", settings=_LAYERS,
        ),
        Level(
            "fixup",
            "As residual_v1, to do without normalization: a block's kernels drawn smaller, its last and the head's 0; "
            "in place of biases a learned number before each layer and activation, and one that multiplies.",
            "Zhang, Dauphin & Ma 2019", settings=_LAYERS,
        ),
    ),
)  # fmt: skip


def _groups_divide_width(normalization: Choice, width: Choice) -> str:
    if normalization.name != "group_normalization":
        return ""
    groups = int(normalization.setting("groups"))
    units = int(width.value or 0)
    if units % groups == 0:
        return ""
    return f"groups = {groups} must divide the width; of {units} groups can be {nearest_divisors(groups, units)}."


def _skip_has_a_block(skip: Choice, depth: Choice) -> str:
    if skip.is_none or (depth.value or 0) > 1:
        return ""
    return "the first hidden layer is outside the blocks, so a skip needs depth 2 or more."


def _fixup_draws_kernels(skip: Choice, initializer: Choice) -> str:
    if skip.name != "fixup" or initializer.name not in ("lsuv", "critical"):
        return ""
    return f"fixup draws kernels smaller, and {initializer.name} wants them as it draws them. he_normal is fixup's own."


def _fixup_has_no_biases(skip: Choice, bias_initializer: Choice) -> str:
    if skip.name != "fixup" or bias_initializer.name == "zeros":
        return ""
    return "fixup has one number in the place of a layer's biases, which starts at 0. Leave bias_initializer at zeros."


def _fixup_normalizes_nothing(skip: Choice, normalization: Choice) -> str:
    if skip.name != "fixup" or normalization.is_none:
        return ""
    return "fixup is what trains without one. Leave normalization at none; residual_v1 is its network with one."


BLOCK_RULES: tuple[Rule, ...] = (
    (("normalization", "width"), _groups_divide_width),
    (("skip", "depth"), _skip_has_a_block),
    (("skip", "normalization"), _fixup_normalizes_nothing),
    (("skip", "initializer"), _fixup_draws_kernels),
    (("skip", "bias_initializer"), _fixup_has_no_biases),
)
