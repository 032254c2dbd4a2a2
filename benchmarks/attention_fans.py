"""How much it matters with which fans attention's kernels are drawn: `python -m benchmarks.attention_fans`.

Keras before 3.15 took the fans of a kernel (width, heads, key_dim) as those of a convolution. The same cohort is
trained with its kernels as drawn, and multiplied by what brings them to the older variance, on the same batches.
"""

from __future__ import annotations

import tempfile
from math import sqrt
from pathlib import Path

import pandas as pd
import tensorflow as tf

from bench.engine.attention import TransformerPass
from bench.engine.train import Training
from bench.plan import make_plan
from bench.suite import load_suite

SUITE = """
[suite]
name = "fans"
question = "How much do the fans of attention matter?"
replicates = 3

[factors]
learning_rate = [0.001]

[fixed]
architecture = "transformer"
dataset = { level = "associative_recall", pairs = 4, symbols = 16 }
depth = 2
width = 64
heads = HEADS
optimizer = "adam"
batch_size = 32
steps = 150

[record]
attention = { at = [0] }
gradient_norms = "never"
activations = "never"
evaluations = "never"
loss_curves = "every_step"
"""
HEADS = (4, 1)


def older(width: int, heads: int) -> tuple[float, float]:
    """What multiplies kernels of queries, keys and values, and those of outputs, to have Keras's older variance.

    Glorot's variance is 2 / (fan_in + fan_out): of (width, heads, key_dim) these were heads and key_dim times the
    width, of (heads, key_dim, width) the width and heads times that; now both are the width.
    """
    key_dim, own = width // heads, 1.0 / width
    return sqrt(2.0 / (width * (heads + key_dim)) / own), sqrt(2.0 / (width * (1 + heads)) / own)


def trained(heads: int, *, old: bool) -> dict[str, float]:
    """Numbers of one cohort."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fans.toml"
        path.write_text(SUITE.replace("HEADS", str(heads)), encoding="utf-8")
        (cohort,) = make_plan(load_suite(path)).cohorts
    training = Training(cohort)
    width = int(cohort.structure["width"].value or 0)
    factors = older(width, heads) if old else (1.0, 1.0)
    for stack in training.ensemble.stacks:
        for role, variable in stack.weights.items():
            if role in ("query_kernel", "key_kernel", "value_kernel", "output_kernel"):
                variable.assign(variable.value * factors[role == "output_kernel"])
    first = training.ensemble.passes[0]
    assert isinstance(first, TransformerPass) and first.embedding is not None
    values = [variable.value[0] for variable in first.stacks[0].affine]
    names = list(first.embedding.shapes())
    samples = training.ensemble.repeated(training.data.probe_x)
    stream = first.embedding.forward(samples, dict(zip(names, values, strict=False)), tf.float32)
    branch = first.sublayers[0].told(stream, values[len(names) :], None, None).branch
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    start, losses = tables["attention"], tables["loss_curves"].groupby("step")["loss"].mean()
    return {
        "heads": heads,
        "variance of q, k, v": factors[0] ** 2 / width,
        "variance of output": factors[1] ** 2 / width,
        "logit std": start["logit_std"].mean(),
        "entropy share": start["entropy_share"].mean(),
        "branch variance": float(tf.math.reduce_variance(branch)),
        **{f"loss at {step}": losses[step : step + 10].mean() for step in (0, 40, 140)},
    }


def main() -> None:
    """Print a row for each."""
    for heads in HEADS:
        for old in (True, False):
            row = {"fans": "older" if old else "3.15"} | trained(heads, old=old)
            print(pd.DataFrame([row]).round(5).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
