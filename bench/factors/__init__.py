"""What a suite may vary: every factor with its levels, as data that nothing here trains."""

from __future__ import annotations

from bench.factors.activations import ACTIVATION, ActivationLevel
from bench.factors.architectures import (
    ARCHITECTURE,
    AT_ONCE,
    DEPTH,
    FEWEST,
    LOOKED_POSITIONS,
    WIDTH,
    ArchitectureLevel,
    costs_of,
    default_level,
    has_time,
    without_use,
)
from bench.factors.attention import (
    ATTENTION,
    FEED_FORWARD_LAYER,
    IDLE,
    OF_TRANSFORMERS,
    held_of_token,
    is_causal,
    misfit_of_heads,
    misfit_of_tied,
    misfit_of_z_loss,
    sublayer_kinds,
)
from bench.factors.base import ABSENT, MIXED, OWN, Choice, Factor, Level, Number, Place, Scalar, Setting, absent_of
from bench.factors.blocks import NORMALIZATION, SKIP
from bench.factors.choosing import PLUGIN, choose, level_name, read_label, show
from bench.factors.combinations import RULES
from bench.factors.convolution import (
    DOWNSAMPLE,
    HEAD_POOL,
    IN_SPACE,
    KERNEL_SIZE,
    PADDING,
    halves_before,
    layers_of_blocks,
    misfit_in_space,
    misfit_of_channels,
    misfit_of_pool,
    sizes_of_layers,
)
from bench.factors.costs import LOOKED_STEPS, Costs
from bench.factors.datasets import (
    DATASET,
    LOCAL,
    TABLES,
    TOKENS,
    DataKind,
    DatasetLevel,
    TaskLevel,
    a_kind,
    content_digest,
    content_of,
    dataset_level,
    sample_kind,
)
from bench.factors.groups import (
    BIAS,
    EMBEDDING,
    GAIN,
    GATE_GROUPS,
    GROUPS,
    KERNEL,
    PROJECTIONS,
    RECURRENT_KERNEL,
    planned_groups,
)
from bench.factors.initializers import BIAS_INITIALIZER, INITIALIZER
from bench.factors.inside import (
    inner_tables,
    kept_heads,
    kept_layers,
    kept_positions,
    layer_names,
    planned_heads,
    planned_positions,
)
from bench.factors.losses import BINARY, CLASS_WEIGHT, LABEL_SMOOTHING, LOSS, OF_TARGETS, misfit_of_targets
from bench.factors.moments import Moment, kept_distances, moments, planned_moments
from bench.factors.optimizers import BATCH_SIZE, CLIPPING, DROPOUT, LEARNING_RATE, OPTIMIZER, REGULARIZATION, STEPS
from bench.factors.precision import (
    BFLOAT16,
    DYNAMIC,
    FIXED,
    FLOAT16,
    PRECISION,
    first_scale,
    number_bytes,
)
from bench.factors.preprocessing import PREPROCESSING, TARGET_PREPROCESSING
from bench.factors.recurrence import (
    BACKWARD,
    CELL,
    DIRECTION,
    FORWARD,
    GATE_BIAS,
    IN_TIME,
    RECURRENT_INITIALIZER,
    TRUNCATE,
    directions_of,
    misfit_in_time,
)
from bench.factors.schedules import SCHEDULE, WARMUP

__all__ = [
    "ABSENT", "ATTENTION", "AT_ONCE", "BACKWARD", "BFLOAT16", "BIAS", "BINARY", "DYNAMIC", "EMBEDDING", "FACTORS",
    "FEED_FORWARD_LAYER", "FEWEST", "FIXED", "FLOAT16", "FORWARD", "GAIN", "GATE_GROUPS", "GROUPS", "IDLE", "IN_SPACE",
    "IN_TIME", "KERNEL", "LOCAL", "LOOKED_POSITIONS", "LOOKED_STEPS", "MIXED", "OF_TARGETS", "OF_TRANSFORMERS", "OWN",
    "PLUGIN", "PROJECTIONS", "RECURRENT_KERNEL", "RULES", "TABLES", "TOKENS", "ActivationLevel", "ArchitectureLevel",
    "Choice", "Costs", "DataKind", "DatasetLevel", "Factor", "Level", "Moment", "Number", "Place", "Scalar", "Setting",
    "TaskLevel", "a_kind", "absent_of", "choose", "content_digest", "content_of", "costs_of", "dataset_level",
    "default_level", "directions_of", "first_scale", "halves_before", "has_time", "held_of_token", "inner_tables",
    "is_causal", "kept_distances", "kept_heads", "kept_layers", "kept_positions", "layer_names", "layers_of_blocks",
    "level_name", "misfit_in_space", "misfit_in_time", "misfit_of_channels", "misfit_of_heads", "misfit_of_pool",
    "misfit_of_targets", "misfit_of_tied", "misfit_of_z_loss", "moments", "number_bytes", "planned_groups",
    "planned_heads", "planned_moments", "planned_positions", "read_label", "sample_kind", "show", "sizes_of_layers",
    "sublayer_kinds", "without_use",
]  # fmt: skip

FACTORS: dict[str, Factor] = {
    factor.name: factor
    for factor in (
        DATASET, PREPROCESSING, TARGET_PREPROCESSING, ARCHITECTURE, DEPTH, WIDTH, ACTIVATION, INITIALIZER,
        BIAS_INITIALIZER, NORMALIZATION, SKIP, CELL, RECURRENT_INITIALIZER, GATE_BIAS, DIRECTION, TRUNCATE,
        KERNEL_SIZE, PADDING, DOWNSAMPLE, HEAD_POOL, *OF_TRANSFORMERS, LOSS, LABEL_SMOOTHING, CLASS_WEIGHT, CLIPPING,
        REGULARIZATION, DROPOUT, PRECISION, OPTIMIZER, LEARNING_RATE, WARMUP, SCHEDULE, BATCH_SIZE, STEPS,
    )
}  # fmt: skip
