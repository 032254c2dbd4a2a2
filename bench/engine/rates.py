"""How fast this machine is: what the estimate of a plan's time is made of. Asked of a fresh worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import tensorflow as tf

from bench.engine.train import train_cohort
from bench.plan import Cohort, Rates

SHAPE = (24, 64, 64)  # runs, batch, width: of the products and of a layer's numbers
CHAINED = 8  # operations in one call, so that the call itself hardly counts
TRIES = 30


def measure(probe: Cohort) -> Rates:
    """The machine's rates in seconds of the processor, so that other work beside it hardly counts.

    Args:
        probe: a small cohort that records nothing; it is trained.
    """
    train_cohort(probe)  # what the first cohort of a worker pays once, such as Keras's own imports
    imported, began = time.process_time(), time.perf_counter()
    (timings,) = train_cohort(probe)["timings"].to_pylist()
    share = min(1.0, (time.process_time() - imported) / (time.perf_counter() - began))
    numbers = SHAPE[0] * SHAPE[1] * SHAPE[2]
    return Rates(
        import_seconds=imported,
        trace_seconds=share * (timings["build_seconds"] + timings["trace_seconds"]),
        step_seconds=share * timings["train_seconds"] / (probe.steps - 1),
        flops_per_second=2 * SHAPE[2] * numbers / _seconds(lambda x: tf.matmul(x, x) * 0.01),
        numbers_per_second=numbers / _seconds(tf.tanh),
    )


def _seconds(operation: Callable[[tf.Tensor], tf.Tensor]) -> float:
    """Of one operation on numbers of that shape: the median of some tries."""

    def chain(x: tf.Tensor) -> tf.Tensor:
        for _ in range(CHAINED):
            x = operation(x)
        return x

    call, x = tf.function(chain, autograph=False), tf.random.stateless_normal(SHAPE, (0, 0))
    call(x).numpy()
    tries = []
    for _ in range(TRIES):
        began = time.process_time()
        call(x).numpy()
        tries.append(time.process_time() - began)
    return median(tries) / CHAINED
