"""The same of convolutional networks, transformers and half precision; see `cases`."""

from __future__ import annotations

from itertools import cycle

from tests.script.cases import ACTIVATIONS, CASES, INITIALIZERS, RULES, SHIPPED, TASKS, TOKENS

BIAS = 'bias_initializer = [{ level = "normal", stddev = 0.1 }]'
CLIPPING, REGULARIZATION, *_ = RULES
SCHEDULE = (
    'schedule = [{ level = "cosine_decay", alpha = 0.1 }, { level = "exponential_decay", decay_steps = 2 },\n'
    '  { level = "cosine_decay_restarts", first_decay_steps = 3 }, "inverse_time_decay", "polynomial_decay"]'
)
OPTIMIZERS = (
    '"sgd"', '"momentum"', '"nesterov"', '{ level = "rmsprop", rho = 0.8 }', '{ level = "adam", epsilon = 1e-3 }',
    '{ level = "adamw", weight_decay = 0.1 }',
)  # fmt: skip
# What is of no family.
ANY = [
    f'label_smoothing = [0.1]\nclass_weight = ["balanced"]\n{BIAS}', 'warmup = [{ level = "linear", steps = 3 }]',
    'dropout = [0.2]\nclass_weight = ["none"]', 'loss = ["categorical_crossentropy"]',
    f'dataset = [{TASKS[4]}]\nloss = ["binary_crossentropy"]',
    *(f'dataset = [{TASKS[0]}]\nloss = [{loss}]\ntarget_preprocessing = ["{each}"]\npreprocessing = ["none"]'
      for loss, each in (('"mean_squared_error"', "none"), ('"mean_absolute_error"', "scale"),
                         ('{ level = "huber", delta = 0.5 }', "robust"), ('"auto"', "standardize"))),
    *(f'dataset = ["digits_rows"]\npreprocessing = ["{each}"]' for each in ("scale", "robust", "unit_mean_square")),
    *(f"dataset = [{each}]" for each in TASKS[1:4]), *(f"optimizer = [{each}]" for each in OPTIMIZERS),
]  # fmt: skip


def _of(architecture: str, case: str, **others: str) -> str:
    """A case of a network; where it names none, with momentum: Adam makes whole steps of gradients that rounding is."""
    given = {line.partition(" = ")[0] for line in case.splitlines()}
    levels = {"architecture": f'"{architecture}"', "optimizer": '"momentum"'} | others
    return "\n".join([*(f"{name} = [{level}]" for name, level in levels.items() if name not in given), case])


def _activated(first: str, cases: list[str]) -> list[str]:
    """Each case with one activation, all of them between them."""
    return [f'{first}\nactivation = ["{each}"]\n{case}' for each, case in zip(cycle(ACTIVATIONS), cases, strict=False)]


# Of each loss scale: one that overflows, is halved and doubles again; as it comes; one that stays; none.
_OVERFLOWS = '{ level = "mixed_float16", initial_scale = 16777216, growth_steps = 2 }'
_STAYS = '{ level = "mixed_float16", loss_scale = "fixed", initial_scale = 1024 }'
_UNSCALED = '{ level = "mixed_float16", loss_scale = "none" }'
HALF = [
    f"precision = [{_OVERFLOWS}]\ndropout = [0.2]\n"
    'clipping = ["none", { level = "adaptive", threshold = 0.02 }, { level = "global_norm", threshold = 0.2 }]',
    f'precision = [{_STAYS}, "mixed_bfloat16"]\nclipping = ["none", {{ level = "adaptive", threshold = 0.02 }}]\n'
    'regularization = [{ level = "l2", strength = 0.01 }]',
    f'precision = [{_UNSCALED}, "mixed_float16"]',
]  # fmt: skip

_CONV = [
    f'{INITIALIZERS}, "lsuv", "critical", {{ level = "critical", distribution = "orthogonal" }},\n'
    '  "delta_orthogonal", { level = "delta_orthogonal", gain = 1.5 }, "own_parts:Ring", "own_parts:half"]\n'
    'kernel_size = [2]\nactivation = ["tanh"]\ndataset = [{ level = "shapes", size = 11, rows = 200 }]',
    f'{REGULARIZATION}\npadding = ["circular"]', f'{SCHEDULE}\ndataset = ["mnist1d"]\nkernel_size = [5]',
    f'{CLIPPING}\nskip = ["residual_v1"]\ndepth = [5]\nnormalization = ["batch_normalization"]\n'
    'downsample = [{ level = "stride", every = 2 }]\ndropout = [0.2]',
    'skip = ["fixup"]\ndepth = [6]\npadding = ["circular"]\ndownsample = [{ level = "stride", every = 4 }]\n'
    'dropout = [0.2]\nclipping = ["none", { level = "adaptive", threshold = 0.02 }]\noptimizer = ["adam"]',
    'skip = [{ level = "fixup", layers = 3 }]\ndepth = [7]\ndownsample = [{ level = "max_pool", every = 3 }]\n'
    'dataset = ["digits_rows"]\nhead_pool = ["flatten"]\ninitializer = ["delta_orthogonal"]',
    'skip = ["residual_post_norm"]\ndepth = [5]\nnormalization = ["batch_normalization"]\n'
    'downsample = [{ level = "average_pool", every = 2 }]',
    'skip = ["residual_post_norm"]\nnormalization = [{ level = "layer_normalization", position = "after" }]',
    'skip = ["residual_scaled"]\ndepth = [4]\nnormalization = ["layer_spatial_normalization"]\ndropout = [0.2]',
    'skip = [{ level = "residual_damped", scale = 0.5 }]\nhead_pool = ["flatten"]\n'
    'normalization = [{ level = "instance_normalization", position = "after" }]',
    'skip = [{ level = "residual", layers = 1 }]\nnormalization = ["rms_normalization"]\n'
    'downsample = [{ level = "max_pool", every = 1 }]',
    'skip = ["residual"]\ndepth = [8]\nnormalization = ["own_parts:Centered"]',
    'skip = [{ level = "residual_v1", layers = 3 }]\ndepth = [6]\ndropout = [0.2]\n'
    'normalization = [{ level = "batch_normalization", position = "after" }]',
    'normalization = [{ level = "group_normalization", groups = 2 }]\ndownsample = [{ level = "stride", every = 1 }]',
    'normalization = [{ level = "layer_spatial_normalization", position = "after" }]\nkernel_size = [4]\n'
    'activation = ["tanh"]\ndownsample = [{ level = "average_pool", every = 1 }]\n'
    'padding = ["circular"]\ndropout = [0.2]',
    'normalization = ["unit_normalization"]\ndepth = [1]\ndataset = ["digits"]',
    'normalization = ["instance_normalization"]\ninitializer = ["lsuv"]\nskip = ["residual"]\ndepth = [4]',
    f'dataset = [{TASKS[2]}]\nhead_pool = ["flatten"]\nkernel_size = [1]',
    f'dataset = [{SHIPPED[0]}]\ndepth = [1]\nkernel_size = [3]', 'dataset = ["{sequences}"]',
    # copy_memory asks for a class at each step, which the mean over them does not have.
    *(f'normalization = ["batch_normalization"]\nskip = ["residual"]\n{each}' for each in HALF[:2]),
    *_activated("depth = [2]", [each for each in ANY if TASKS[2] not in each]),
]  # fmt: skip
CONV = [_of("conv", each) for each in _CONV]
_TRANSFORMER = [
    f'{INITIALIZERS}, "own_parts:Ring", "own_parts:half"]\nblock = ["pre_norm"]',
    f'{CLIPPING}\nblock = ["sandwich"]\nz_loss = [0.1]', f'{REGULARIZATION}\nblock = ["admin"]\ndepth = [1]',
    f'{SCHEDULE}\nblock = ["post_norm"]\ncausal = ["yes"]\ndataset = [{TASKS[3]}]',
    'block = ["b2t"]\nquery_key = ["sigma_reparam"]\ndropout = [0.2]\n'
    f'{BIAS}\nembedding_initializer = [{{ level = "normal", stddev = 0.5 }}]',
    'block = ["deepnorm"]\nquery_key = ["layer_normalized"]\nattention_gain = [2.0]',
    'block = ["sandwich"]\nquery_key = ["l2_normalized"]\nposition = ["sinusoidal"]\ntied = ["yes"]',
    'block = [{ level = "layer_scale", start = 0.5 }]\nquery_key = [{ level = "logit_cap", cap = 0.1 }]\n'
    'logit_scale = ["inverse"]\ndataset = ["digits_rows"]\nposition = ["none"]',
    'block = ["t_fixup"]\nattention_gain = [1.5]\nclipping = ["none", { level = "adaptive", threshold = 0.02 }]',
    f'block = ["t_fixup"]\nattention_gain = [1.5]\n{BIAS}\ndataset = ["digits_rows"]\ncausal = ["no"]',
    f'block = ["rezero"]\nsublayers = ["attention_only"]\ndataset = [{TOKENS[3]}]\nz_loss = [0.1]',
    'block = ["damped"]\nsublayers = ["feed_forward_only"]\ndropout = [0.2]',
    'block = ["no_skip"]\nlogit_scale = ["inverse"]', 'block = ["no_norm"]\ncausal = ["yes"]',
    f"dataset = [{TOKENS[1]}]", f'dataset = [{TOKENS[2]}]\ntied = ["yes"]', f"dataset = [{SHIPPED[2]}]\ndepth = [1]",
    f"dataset = [{SHIPPED[0]}]\ndepth = [1]",
    *(f'block = ["{block}"]\nquery_key = ["{query_key}"]\n{each}' for block, query_key, each in zip(
        ("pre_norm", "post_norm", "rezero"), ("plain", "sigma_reparam", "l2_normalized"), HALF, strict=True)),
    'dataset = ["{sequences}"]', *_activated("depth = [1]", ANY),
]  # fmt: skip
TRANSFORMER = [_of("transformer", each, dataset=TOKENS[0]) for each in _TRANSFORMER]
FAMILIES = {
    "mlp": [*CASES["mlp"], *HALF], "conv": CONV,
    "recurrent": [*CASES["recurrent"], *(f'cell = ["lstm"]\n{each}' for each in HALF[1:])], "transformer": TRANSFORMER,
}  # fmt: skip
