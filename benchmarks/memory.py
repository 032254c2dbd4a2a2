"""How the memory of a worker grows from structure to structure, and how near the plan's estimate is to its peak.

Run as `python -m benchmarks.memory`: 120 tiny structures in one worker that is never recycled. Prints a row for each
tenth structure. `python -m benchmarks.memory recurrent`: a worker for each of 36 recurrent cohorts, its peak beside the
plan's estimate; more words, such as `lstm 1000`, choose the rows that hold them. `transformer` does it of 8 cohorts of
transformers, `conv` of convolutions and `half` of cohorts in half precision. Needs /proc.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

from bench.executors import child
from bench.executors.child import Status
from bench.executors.local import TENSORFLOW_ENVIRONMENT
from bench.plan import Cohort, estimate_memory, make_plan
from bench.plan.costs import ARRAYS_FACTOR, run_bytes
from bench.suite import load_suite

TRAIN = "bench.engine.train:train_cohort"
EVERY = 10  # structures
SUITE = """
[suite]
name = "memory"
question = "How does a worker's memory grow?"
replicates = 2

[factors]
depth = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
activation = ["relu", "tanh", "sigmoid"]
normalization = ["none", "batch_normalization"]

[fixed]
width = 8
steps = 3
"""


RECURRENT = """
[suite]
name = "memory"
question = "How much does a worker hold at most?"
replicates = {runs}

[factors]
cell = ["{cell}"]

[fixed]
architecture = "recurrent"
dataset = {{ level = {data}, rows = 1000 }}
depth = 1
width = {width}
batch_size = 16
steps = 3
optimizer = "adam"
"""
TRANSFORMER = """
[suite]
name = "memory"
question = "How much does a worker hold at most?"
replicates = {runs}

[factors]
block = ["{block}"]

[fixed]
architecture = "transformer"
dataset = {{ level = "{data}", length = {length}, rows = 1000 }}
depth = {blocks}
width = {width}
heads = {heads}
batch_size = 16
steps = 3
optimizer = "adam"
"""
# Blocks, their kind, tokens, width, heads, runs and data.
TRANSFORMERS = (
    (4, "pre_norm", 16, 32, 4, 24, "reverse"), (12, "post_norm", 16, 32, 4, 24, "reverse"),
    (2, "pre_norm", 64, 64, 8, 16, "reverse"), (4, "sandwich", 128, 32, 4, 8, "reverse"),
    (25, "pre_norm", 16, 32, 4, 48, "reverse"), (4, "pre_norm", 32, 32, 4, 64, "text"),
    (8, "deepnorm", 64, 128, 4, 4, "text"), (1, "no_norm", 16, 16, 2, 128, "sort"),
)  # fmt: skip
# What `conv` and `half` measure: a name, and what a cohort's suite fixes, records and repeats.
PLAIN = """
[suite]
name = "memory"
question = "How much does a worker hold at most?"
replicates = {runs}

[factors]
learning_rate = [0.001]

[fixed]
{fixed}
steps = 3
optimizer = "adam"

[record]
{record}
"""
POSITIONS, HEADS = "positions = { log_spaced = 2 }", "attention = { log_spaced = 2 }"
RESIDUAL = 'skip = "residual"\nnormalization = "batch_normalization"'
MNIST_1D, FLOAT16, BFLOAT16 = 'dataset = "mnist1d"', 'precision = "mixed_float16"', 'precision = "mixed_bfloat16"'
TOKENS = 'dataset = { level = "reverse", length = 32, rows = 1000 }'
# The architecture, depth, width, batch and runs, what else is fixed, and what is recorded beside the defaults.
OTHERS = {
    "conv": (
        ("conv", 17, 8, 64, 48, "", ""), ("conv", 9, 16, 128, 24, RESIDUAL, ""),
        ("conv", 33, 16, 64, 16, RESIDUAL, POSITIONS), ("conv", 9, 16, 64, 48, MNIST_1D, ""),
        ("conv", 33, 8, 128, 24, MNIST_1D, ""),
        ("conv", 9, 32, 32, 32, f"{MNIST_1D}\n{RESIDUAL}", POSITIONS), ("conv", 5, 64, 32, 16, "", ""),
    ),
    "half": (
        ("mlp", 32, 128, 256, 40, FLOAT16, ""), ("mlp", 32, 128, 256, 40, BFLOAT16, ""),
        ("mlp", 16, 512, 16, 10, FLOAT16, ""), ("mlp", 24, 64, 512, 40, f"{FLOAT16}\n{RESIDUAL}", ""),
        ("conv", 9, 16, 128, 24, f"{FLOAT16}\n{RESIDUAL}", POSITIONS), ("conv", 5, 64, 32, 16, FLOAT16, ""),
        ("transformer", 4, 32, 16, 24, f"{FLOAT16}\n{TOKENS}", HEADS),
        ("transformer", 4, 128, 8, 8, f"{BFLOAT16}\n{TOKENS}", HEADS), ("transformer", 8, 64, 16, 16, TOKENS, HEADS),
    ),
}  # fmt: skip
DATA = {"last": '"recall", length = {length}', "each": '"copy_memory", items = 10, delay = {delay}'}
ARRAYS_MIB = 500  # that a cohort is estimated to take


def main(words: list[str]) -> None:
    """Print a table."""
    if words and words[0] == "recurrent":
        _estimates(words[1:])
    elif words and words[0] == "transformer":
        _of_transformers(words[1:])
    elif words and words[0] in OTHERS:
        _of_others(words[0], words[1:])
    else:
        _growth()


def _estimates(words: list[str]) -> None:
    """Print estimate and peak of recurrent cohorts."""
    print(
        "| cell | T | readout | width | runs | estimate, MiB | peak, MiB | ratio |\n|---|---|---|---|---|---|---|---|"
    )
    for cell, length, readout, width in product(("simple", "gru", "lstm"), (50, 200, 1000), DATA, (32, 128)):
        said = f"| {cell} | {length} | {readout} | {width} |"
        if not all(f" {word} " in said for word in words):
            continue
        data = DATA[readout].format(length=length, delay=length - 20)
        text, runs = partial(RECURRENT.format, cell=cell, data=data, width=width), 1
        for _ in range(2):  # the first says how many runs take ARRAYS_MIB
            (cohort, *_) = _cohorts(text(runs=runs))
            runs = max(1, min(64, round(ARRAYS_MIB * 2**20 / (ARRAYS_FACTOR * run_bytes(cohort.structure)))))
        estimate, peak = estimate_memory(cohort) / 2**20, _peak(cohort) / 2**20
        print(f"{said} {len(cohort.runs)} | {estimate:.0f} | {peak:.0f} | {estimate / peak:.2f} |", flush=True)


def _of_transformers(words: list[str]) -> None:
    """Print estimate and peak of cohorts of transformers."""
    print("| blocks | block | T | width | heads | runs | data | estimate, MiB | peak, MiB | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for blocks, block, length, width, heads, runs, data in TRANSFORMERS:
        said = f"| {blocks} | {block} | {length} | {width} | {heads} | {runs} | {data} |"
        if not all(f" {word} " in said for word in words):
            continue
        sizes = {"blocks": blocks, "length": length, "width": width, "heads": heads, "runs": runs}
        (cohort, *_) = _cohorts(TRANSFORMER.format(block=block, data=data, **sizes))
        estimate, peak = estimate_memory(cohort) / 2**20, _peak(cohort) / 2**20
        print(f"{said} {estimate:.0f} | {peak:.0f} | {estimate / peak:.2f} |", flush=True)


def _of_others(name: str, words: list[str]) -> None:
    """Print estimate and peak of cohorts of `OTHERS`."""
    print("| network | depth | width | batch | runs | more | estimate, MiB | peak, MiB | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for network, depth, width, batch, runs, more, record in OTHERS[name]:
        levels = " ".join([*re.findall(r'"(\w+)"', more), *record.split()[:1]]) or "–"
        sizes = {"architecture": f'"{network}"', "depth": depth, "width": width, "batch_size": batch}
        fixed = "\n".join([*(f"{key} = {value}" for key, value in sizes.items()), more])
        (cohort, *_) = _cohorts(PLAIN.format(runs=runs, fixed=fixed, record=record))
        said = f"| {network} | {depth} | {width} | {batch} | {len(cohort.runs)} | {levels} |"
        if not all(f" {word} " in said for word in words):
            continue
        estimate, peak = estimate_memory(cohort) / 2**20, _peak(cohort) / 2**20
        print(f"{said} {estimate:.0f} | {peak:.0f} | {estimate / peak:.2f} |", flush=True)


def _peak(cohort: Cohort) -> int:
    """Bytes that a new worker holds at most while it trains a cohort."""
    worker = child.Child(TENSORFLOW_ENVIRONMENT)
    answer = worker.call(TRAIN, cohort)
    if answer.status is not Status.OK or worker.process is None:
        raise RuntimeError(str(answer.value))
    said = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    worker.close()
    return int(said.partition("VmHWM:")[2].split()[0]) * 1024


def _growth() -> None:
    """Print the worker's resident memory as it grows."""
    child.RECYCLE_AFTER, child.RECYCLE_GROWTH = 10**6, 2**60
    worker, began = child.Child(TENSORFLOW_ENVIRONMENT), time.perf_counter()
    print("| structures | MiB | seconds |\n|---|---|---|")
    for count, cohort in enumerate(_cohorts(SUITE), 1):
        answer = worker.call(TRAIN, cohort)
        if answer.status is not Status.OK or worker.process is None:
            raise RuntimeError(str(answer.value))
        if count == 1 or count % EVERY == 0:
            resident = _resident(worker.process.pid) / 2**20
            print(f"| {count} | {resident:.0f} | {time.perf_counter() - began:.0f} |", flush=True)
    worker.close()


def _cohorts(suite: str) -> tuple[Cohort, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.toml"
        path.write_text(suite, encoding="utf-8")
        return make_plan(load_suite(path)).cohorts


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(sys.argv[1:])
