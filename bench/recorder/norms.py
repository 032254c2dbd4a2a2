"""Sums of squares that are right whatever the magnitudes: one quick pass of float32, and another where that lost any.

`tf.nn.l2_loss` squares and sums without a temporary. Squares of float32 vanish below 1e-19 and overflow above 1e19;
where a sum says that this may have happened, the same numbers are summed again as float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

SURE = (1e-24, 1e30)  # sums of squares within which no square that counts has left float32
MOST_FACTORS = 16  # of a product that is computed beside
SMALL = 1024  # numbers of a tensor that is summed as float64 at once
AT_ONCE = 2**16  # numbers a sample: of so many tensors are kept to the step's end, so that one look serves them all


def widened(tensor: tf.Tensor) -> tf.Tensor:
    """Half precision as float32, other floats as they are."""
    return tf.cast(tensor, tf.float32) if tensor.dtype.size < 4 else tensor


def merged(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """The rows of a gradient, those of one index summed: of an embedding a symbol that occurs twice has one gradient.

    Rows that are left over are 0. Without `tf.unique`, which XLA has not.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    order = tf.argsort(gradient.indices)
    indices = tf.gather(gradient.indices, order)
    new = tf.concat([[0], tf.cast(indices[1:] != indices[:-1], tf.int32)], axis=0)
    values = tf.gather(widened(gradient.values), order)
    return tf.math.unsorted_segment_sum(values, tf.cumsum(new), tf.shape(indices)[0])


def beside(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """The same numbers, by its factors where a gradient is a product.

    TensorFlow multiplies a learning rate into one of the factors where nobody else wants the product, as of the gain of
    a batch normalization; a reader of it would change the last bit.
    """
    if isinstance(gradient, tf.IndexedSlices) or tf.executing_eagerly():
        return gradient
    factors: list[tf.Tensor] = []
    left = [gradient]
    while left and len(factors) <= MOST_FACTORS:
        tensor = left.pop()
        if tensor.op.type == "Mul":
            left += tensor.op.inputs
        else:
            factors.append(tensor)
    if left or len(factors) < 2:
        return gradient
    product = tf.cast(factors[0], tf.float64)
    for each in factors[1:]:
        product = product * tf.cast(each, tf.float64)
    return tf.ensure_shape(product, gradient.shape)


def square_sums(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Each tensor's sum of squares, [tensors] in float64: infinity where it holds one, else NaN where it holds NaN."""
    tensors = [widened(each) for each in tensors]
    quick = 2.0 * tf.cast(tf.stack([tf.cast(tf.nn.l2_loss(each), tf.float32) for each in tensors]), tf.float64)
    sure = tf.reduce_all((quick > SURE[0]) & (quick < SURE[1]))
    return tf.cond(sure, lambda: quick, lambda: tf.stack([_exact(each) for each in tensors]))


def _exact(tensor: tf.Tensor) -> tf.Tensor:
    found = tf.reduce_sum(tf.square(tf.cast(tensor, tf.float64)))
    return tf.where(tf.reduce_any(tf.math.is_inf(tensor)), tf.constant(float("inf"), tf.float64), found)


def alike(tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Tensors of one type as they are, so that they are cast together; those of several as float64."""
    if len({each.dtype for each in tensors}) == 1:
        return tensors
    return [tf.cast(each, tf.float64) for each in tensors]


def small_sums(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The same of tensors with few numbers, biases that are all 0 among them: side by side, in float64."""
    flat = tf.cast(tf.concat([tf.reshape(each, [-1]) for each in alike(tensors)], axis=0), tf.float64)
    owner = np.repeat(np.arange(len(tensors)), [math.prod(each.shape) for each in tensors])
    return tf.math.unsorted_segment_sum(tf.square(flat), tf.constant(owner, tf.int32), len(tensors))


class Squares:
    """Sums of squares that are asked for one by one and known at the step's end.

    What is small waits until then, and one condition decides for all; what is large is summed where it is, so that no
    gradient lives longer than without a look at it.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[int, tf.Tensor]] = []
        self.small: list[tuple[int, tf.Tensor]] = []
        self.found: list[tuple[int, tf.Tensor]] = []
        self.held = 0
        self.count = 0

    def ask(self, tensor: tf.Tensor, *, stays: bool = False) -> int:
        """A number for the sum in `settled`; `stays` where the tensor lives to the step's end in any case."""
        number, self.count = self.count, self.count + 1
        size = math.prod(length or 1 for length in tensor.shape[1:])
        if tensor.shape.is_fully_defined() and math.prod(tensor.shape) <= SMALL:
            self.small.append((number, tensor))
        elif stays or self.held + size <= AT_ONCE:
            self.held += 0 if stays else size
            self.waiting.append((number, tensor))
        else:
            self.found.append((number, square_sums([tensor])))
        return number

    def settled(self) -> tuple[list[int], tf.Tensor]:
        """All sums as one vector, float64, and the number of each."""
        parts = [each for _, each in self.found]
        order = [number for number, _ in self.found]
        for kept, sums in ((self.waiting, square_sums), (self.small, small_sums)):
            if kept:
                parts.append(sums([tensor for _, tensor in kept]))
                order += [number for number, _ in kept]
        return order, tf.concat(parts, axis=0)
