"""Which optimizers a model trains with, and what is known of them before they are traced."""

from __future__ import annotations

import keras
import numpy as np

SAMPLED = 2**14  # numbers of a kernel's gradient whose magnitudes and zeros are counted, about
PIECE = 16  # numbers that lie together, a line of the processor's cache


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The optimizers that a model trains with: the one it was compiled with, and those that it holds by name."""
    held = [model.optimizer, *(value for name, value in vars(model).items() if name != "_optimizer")]
    found: dict[int, keras.optimizers.Optimizer] = {}
    for each in held:
        for one in each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple) else (each,):
            if isinstance(one, keras.optimizers.Optimizer):
                found[id(one)] = one
    return list(found.values())


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that updates: what a loss scale is wrapped around."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an update is made of other numbers than a step's gradient."""
    inner = innermost(optimizer)
    return any((inner.clipnorm, inner.clipvalue, inner.global_clipnorm, inner.gradient_accumulation_steps))


def pieces(size: int) -> tuple[np.ndarray | None, float]:
    """Which pieces of a gradient of so many numbers are counted, None for all, and by what to multiply their sums.

    Pieces that lie together, for memory is read by such; one drawn from each of as many equal parts, so that all rows
    are met and no column more than others. The draw is always the same.
    """
    apart = size // SAMPLED
    if apart < 2:
        return None, 1.0
    parts = size // (PIECE * apart)
    return apart * np.arange(parts) + np.random.default_rng(0).integers(0, apart, parts), size / (PIECE * parts)
