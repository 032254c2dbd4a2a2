"""What the machine can do: float32 operations a second in a large matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from benchmarks.process import Case, Findings, serve


def prepare(case: Case) -> Callable[[], Findings]:
    """Two square matrices of the case's size, multiplied once."""
    size = case["size"]
    left, right = tf.random.normal([size, size]), tf.random.normal([size, size])
    multiply = tf.function(tf.matmul)
    multiply(left, right).numpy()

    def timed() -> Findings:
        rounds = []
        for _ in range(case["rounds"]):
            started = time.perf_counter()
            multiply(left, right).numpy()
            rounds.append(2 * size**3 / (time.perf_counter() - started))
        return {"flops": rounds}

    return timed


if __name__ == "__main__":
    serve(prepare)
