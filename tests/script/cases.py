"""Suites whose runs have, between them, each level of each factor of a family: what scripts are written and run of.

A case is a suite's [factors]; what it does not name is `DENSE` or `RECURRENT`. Names in braces are files of the test's.
"""

from __future__ import annotations

DENSE = {"width": "8", "depth": "3", "batch_size": "32", "learning_rate": "0.02", "steps": "20"}
RECURRENT = DENSE | {"architecture": '"recurrent"', "width": "5", "depth": "2", "dataset": '"digits_rows"'}

INITIALIZERS = """initializer = ["random_normal", { level = "random_uniform", limit = 0.2 }, "truncated_normal",
  "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal",
  { level = "variance_scaling", scale = 1.5, mode = "fan_avg", distribution = "uniform" }, "zeros" """
RULES = [
    """clipping = ["none", { level = "value", threshold = 0.01 }, { level = "norm", threshold = 0.1 },
  { level = "global_norm", threshold = 0.2 }, { level = "adaptive", threshold = 0.02 }]""",
    """regularization = ["none", { level = "l1", strength = 1e-3 }, { level = "l2", strength = 1e-2 },
  { level = "weight_decay", strength = 0.5 }, { level = "max_norm", limit = 0.9 }]""",
    """schedule = ["none", { level = "cosine_decay", alpha = 0.1 }, { level = "exponential_decay", decay_steps = 2 },
  { level = "cosine_decay_restarts", first_decay_steps = 3 }, "inverse_time_decay", "polynomial_decay"]
warmup = ["none", { level = "linear", steps = 3 }]""",
    'dropout = [0.2]\nlabel_smoothing = [0, 0.1]\nclass_weight = ["none", "balanced"]',
    'bias_initializer = ["zeros", { level = "normal", stddev = 0.1 }]\nskip = ["none"]',
    *(
        f'optimizer = [{each}]\nlearning_rate = [0.005]'
        for each in (
            '"sgd"', '"momentum"', '"nesterov"', '{ level = "rmsprop", rho = 0.8 }',
            '{ level = "adam", epsilon = 1e-3 }', '{ level = "adamw", weight_decay = 0.1 }',
        )
    ),
]  # fmt: skip
ACTIVATIONS = (
    "linear", "sigmoid", "hard_sigmoid", "tanh", "softsign", "softplus", "relu", "leaky_relu", "elu", "selu", "celu",
    "gelu", "silu", "mish", "hard_silu", "relu6",
)  # fmt: skip
TASKS = [
    '{ level = "adding", length = 6, rows = 200 }', '{ level = "recall", length = 5, rows = 200 }',
    '{ level = "copy_memory", delay = 2, items = 2, symbols = 3, rows = 200 }',
    '{ level = "temporal_order", length = 10, rows = 200 }', '{ level = "parity", length = 4, rows = 200 }',
]  # fmt: skip
TOKENS = [
    '{ level = "text", length = 4, rows = 200 }',
    '{ level = "associative_recall", pairs = 3, symbols = 4, rows = 200 }',
    '{ level = "reverse", length = 4, symbols = 3, rows = 200 }',
    '{ level = "sort", length = 4, symbols = 3, rows = 200 }',
]  # fmt: skip
SHIPPED = ['"digits_pixels"', '{ level = "digits_pixels", permuted = true }', '"mnist1d"']
FILES = [
    '"{npz}"', '{ level = "csv", path = "{csv}", target = "y" }',
    '{ level = "parquet", path = "{parquet}", target = "y" }', '"own_parts:rows"',
]  # fmt: skip
NORMALIZATIONS = [
    '"batch_normalization"', '{ level = "batch_normalization", momentum = 0.5, position = "after" }',
    '"layer_normalization"', '{ level = "layer_normalization", position = "after" }', '"rms_normalization"',
    '{ level = "group_normalization", groups = 2 }', '{ level = "unit_normalization", position = "after" }',
    '"weight_normalization"', '"own_parts:Centered"',
]  # fmt: skip
SKIPS = [
    'skip = ["residual"]\ndepth = [6]', 'skip = [{ level = "residual", layers = 1 }]\ndropout = [0.2]',
    'skip = ["residual_scaled"]\nnormalization = ["weight_normalization"]\ninitializer = ["lsuv"]',
    'skip = [{ level = "residual_damped", scale = 0.5, exponent = 1.0 }]\ndepth = [5]\ninitializer = ["critical"]',
    'skip = ["residual_post_norm"]\ndepth = [5]\nnormalization = ["layer_normalization"]',
    'skip = [{ level = "residual_post_norm", layers = 1 }]\nnormalization = ["rms_normalization"]\n'
    'bias_initializer = [{ level = "normal", stddev = 0.1 }]\ndropout = [0.2]',
    'skip = ["residual_post_norm"]\nnormalization = [{ level = "layer_normalization", position = "after" }]',
    'skip = ["residual_v1"]\ndepth = [6]\nnormalization = ["batch_normalization"]\ndropout = [0.2]',
    'skip = [{ level = "residual_v1", layers = 1 }]\n'
    'normalization = [{ level = "rms_normalization", position = "after" }]',
    'skip = ["fixup"]\ndepth = [6]\ninitializer = ["he_normal", "zeros"]\noptimizer = ["adam"]\n'
    'clipping = ["none", { level = "adaptive", threshold = 0.02 }]\ndropout = [0.2]',
    'skip = [{ level = "fixup", layers = 3 }]\ndepth = [6]\nregularization = [{ level = "l2", strength = 0.01 }]',
]  # fmt: skip

MLP = [
    INITIALIZERS + ', "lsuv", "critical", { level = "critical", distribution = "orthogonal" }, "own_parts:Ring",\n'
    '  "own_parts:half", "keras.initializers:Ones"]\nactivation = ["tanh"]',
    *RULES, *(f'activation = ["{each}"]\ndepth = [2]' for each in ACTIVATIONS),
    *(f"normalization = [{each}]\ndepth = [2]" for each in NORMALIZATIONS), *SKIPS,
    *(f"dataset = [{each}]\ndepth = [1]" for each in (*TASKS, *SHIPPED, '"wine"', '"digits_rows"', '"digits"', *FILES)),
    'dataset = [{ level = "shapes", size = 11, rows = 200 }]',
    *(f'dataset = ["breast_cancer"]\npreprocessing = ["{each}"]\nlearning_rate = [1e-4]'
      for each in ("none", "scale", "standardize", "robust", "unit_mean_square")),
    'dataset = ["breast_cancer"]\nloss = ["binary_crossentropy"]\nlabel_smoothing = [0.1]\nclass_weight = ["balanced"]',
    'loss = ["categorical_crossentropy"]',
    *(f'dataset = ["diabetes"]\nloss = [{loss}]\ntarget_preprocessing = ["{each}"]\nlearning_rate = [{rate}]'
      for loss, each, rate in (
          ('"auto"', "standardize", 0.02), ('"mean_squared_error"', "none", 1e-6),
          ('"mean_absolute_error"', "scale", 0.02), ('{ level = "huber", delta = 0.5 }', "robust", 0.02))),
    'activation = ["own_parts:bent", { level = "own_parts:bent", slope = 0.3 }]\n'
    'optimizer = ["keras.optimizers:Lion"]\nlearning_rate = [1e-3]',
    'activation = ["keras.layers:LeakyReLU"]\noptimizer = [{ level = "own_parts:Slower", factor = 0.5 }]',
]  # fmt: skip

CELLS = ("simple", "lstm", "gru")
RECURRENT_CASES = [
    'cell = ["simple"]\n' + INITIALIZERS + "]",
    'cell = ["lstm"]\nrecurrent_initializer = [{ level = "identity", gain = 0.9 }, '
    + INITIALIZERS.partition("[")[2].replace('"orthogonal"', '{ level = "orthogonal", gain = 1.2 }') + "]",
    *(f'cell = ["simple"]\n{each}' for each in RULES),
    *(f'cell = ["gru"]\ndepth = [1]\nactivation = ["{each}"]\ndataset = [{TASKS[0]}]' for each in ACTIVATIONS),
    *(f'cell = ["simple"]\ndepth = [1]\ndataset = [{each}]' for each in (*TASKS, *TOKENS, *SHIPPED)),
    'cell = ["simple"]\ndataset = ["{sequences}"]', 'cell = ["simple"]\ndataset = ["own_parts:sequences"]',
    'cell = ["gru"]\ndataset = [{ level = "reverse", length = 4, symbols = 3, rows = 200 }]\n'
    'label_smoothing = [0.1]\nclass_weight = ["balanced"]',
    'cell = ["lstm"]\ngate_bias = ["unit_forget", "zeros", "chrono", { level = "remember", value = 2.0 }]\n'
    'bias_initializer = ["zeros", { level = "normal", stddev = 0.1 }]',
    'cell = ["gru"]\ngate_bias = [{ level = "chrono", t_max = 6 }, { level = "remember", value = 2.0 }]\n'
    'recurrent_initializer = ["identity", "orthogonal"]',
    *(f'cell = ["{cell}"]\ndirection = ["bidirectional"]\nclipping = [{{ level = "adaptive", threshold = 0.02 }}]'
      for cell in CELLS),
    *(f'cell = ["{cell}"]\nnormalization = ["layer_normalization"]\ndirection = ["{way}"]\n'
      'regularization = [{ level = "l2", strength = 0.01 }, { level = "max_norm", limit = 0.9 }]'
      for cell, way in zip(CELLS, ("forward", "bidirectional", "forward"), strict=True)),
    *(f'cell = ["{cell}"]\ntruncate = [{{ level = "bptt", steps = 3 }}]\ndropout = [0.2]' for cell in CELLS),
    'cell = ["gru"]\ndirection = ["bidirectional"]\nnormalization = ["layer_normalization"]\n'
    'truncate = [{ level = "bptt", steps = 3 }]\ngate_bias = ["chrono"]\ndropout = [0.2]',
    'cell = ["lstm"]\ndepth = [1]\ndirection = ["bidirectional"]\ngate_bias = ["chrono"]\n'
    f"dataset = [{TOKENS[2]}]",
    'cell = ["gru"]\nnormalization = ["layer_normalization"]\nrecurrent_initializer = ["identity"]\n'
    'bias_initializer = [{ level = "normal", stddev = 0.1 }]\ngate_bias = [{ level = "remember", value = 2.0 }]',
    'cell = ["simple"]\ninitializer = ["own_parts:Ring"]\nactivation = ["own_parts:bent"]',
    *(f'cell = ["simple"]\npreprocessing = ["{each}"]' for each in ("none", "scale", "robust", "unit_mean_square")),
    'cell = ["gru"]\ndataset = [' + TASKS[4] + ']\nloss = ["binary_crossentropy"]', *(
        f'cell = ["gru"]\ndataset = [{TASKS[0]}]\nloss = [{loss}]\ntarget_preprocessing = ["{each}"]'
        for loss, each in (('"mean_squared_error"', "none"), ('"mean_absolute_error"', "scale"),
                           ('{ level = "huber", delta = 0.5 }', "robust"), ('"auto"', "standardize"))
    ),
    'cell = ["simple"]\nloss = ["categorical_crossentropy"]',
]  # fmt: skip
CASES = {"mlp": MLP, "recurrent": RECURRENT_CASES}

# A module of a user's own.
OWN_PARTS = """
import keras
import numpy as np


def bent(x, slope=0.1):
    return keras.ops.where(x > 0.0, x, slope * x)


class Ring(keras.initializers.Initializer):
    def __init__(self, radius=0.3, seed=None):
        self.radius, self.seed = radius, seed

    def __call__(self, shape, dtype=None):
        return self.radius * keras.ops.sign(keras.random.normal(shape, seed=self.seed))


def half(shape, dtype=None):
    return keras.ops.full(shape, 0.05) * keras.ops.sign(keras.random.normal(shape, seed=1))


@keras.saving.register_keras_serializable()
class Centered(keras.layers.Layer):
    def call(self, z):
        return z - keras.ops.mean(z, axis=-1, keepdims=True)


class Slower(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.01, factor=0.5, **settings):
        super().__init__(learning_rate=learning_rate, **settings)
        self.factor = factor

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, self.factor * learning_rate)


def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 6)), rng.integers(0, 3, 200)


def sequences():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 4, 3)), rng.integers(0, 3, (200, 4))


sequences.kind = "classes_each"
"""
