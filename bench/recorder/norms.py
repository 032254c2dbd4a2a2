"""Sums of squares that are right whatever the magnitudes: one quick pass of float32, and another where that lost any.

`tf.nn.l2_loss` squares and sums without a temporary. Squares of float32 vanish below 1e-19 and overflow above 1e19;
where a sum says that this may have happened, the same numbers are summed again as float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bench.recorder.ranges import SMALL, SURE

MOST_FACTORS = 16  # of a product that is computed beside
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
    """The same numbers, by its factors where a gradient is a product or a quotient.

    TensorFlow multiplies a learning rate into one of the factors where nobody else wants the product, as of the gain of
    a batch normalization, of a global norm's clipping, of a mean over accumulated steps; a reader of it would change
    the last bit.
    """
    if isinstance(gradient, tf.IndexedSlices) or tf.executing_eagerly():
        return gradient
    factors: list[tuple[tf.Tensor, bool]] = []  # and whether it divides
    left = [(gradient, False)]
    while left and len(factors) <= MOST_FACTORS:
        tensor, divides = left.pop()
        if tensor.op.type in ("Mul", "RealDiv"):
            one, other = tensor.op.inputs
            left += [(one, divides), (other, divides != (tensor.op.type == "RealDiv"))]
        else:
            factors.append((tensor, divides))
    if left or len(factors) < 2:
        return gradient
    product = tf.constant(1.0, tf.float64)
    for each, divides in factors:
        number = tf.cast(each, tf.float64)
        product = product / number if divides else product * number
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


def side_by_side(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Tensors of one shape as one, [tensors, ...], so that one operation serves them all.

    Between a tensor and its copy stands an operation that TensorFlow's optimizer of graphs does not see through: what
    it else finds alike before a stack it computes behind it, and training would differ in its last bits.
    """
    if len(tensors) == 1:
        return tf.expand_dims(tensors[0], 0)
    if not tf.executing_eagerly():
        tensors = [tf.raw_ops.PlaceholderWithDefault(input=each, shape=each.shape) for each in tensors]
    return tf.stack(tensors)


def small_sums(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The same of tensors with few numbers, biases that are all 0 among them: in float64, those of one size at once."""
    sizes: dict[int, list[int]] = {}
    for k, each in enumerate(tensors):
        sizes.setdefault(math.prod(each.shape), []).append(k)
    parts = []
    for size, members in sizes.items():
        flat = alike([tf.reshape(tensors[k], [size]) for k in members])
        parts.append(tf.reduce_sum(tf.square(tf.cast(side_by_side(flat), tf.float64)), axis=1))
    order = np.argsort([k for members in sizes.values() for k in members])
    found = parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
    return found if np.array_equal(order, range(len(order))) else tf.gather(found, order)


class Squares:
    """Sums of squares that are asked for one by one and known at the step's end.

    What is small waits until then, as does what lives so long in any case, and one condition decides for all. Of what
    is large so many wait for each other as are `AT_ONCE` numbers a sample, so that few gradients live longer than
    without a look at them.
    """

    def __init__(self) -> None:
        self.staying: list[tuple[int, tf.Tensor]] = []
        self.waiting: list[tuple[int, tf.Tensor]] = []
        self.small: list[tuple[int, tf.Tensor]] = []
        self.found: list[tuple[list[int], tf.Tensor]] = []
        self.held = 0
        self.count = 0

    def ask(self, tensor: tf.Tensor, *, stays: bool = False) -> int:
        """A number for the sum in `settled`; `stays` where the tensor lives to the step's end in any case."""
        number, self.count = self.count, self.count + 1
        size = math.prod(length or 1 for length in tensor.shape[1:])
        if tensor.shape.is_fully_defined() and math.prod(tensor.shape) <= SMALL:
            self.small.append((number, tensor))
        elif stays:
            self.staying.append((number, tensor))
        else:
            self.waiting.append((number, tensor))
            self.held += size
            if self.held > AT_ONCE:
                self._settle(self.waiting)
                self.waiting, self.held = [], 0
        return number

    def settled(self) -> tuple[list[int], tf.Tensor]:
        """All sums as one vector, float64, and the number of each."""
        self._settle([*self.waiting, *self.staying])
        if self.small:
            self.found.append(([number for number, _ in self.small], small_sums([each for _, each in self.small])))
        order = [number for numbers, _ in self.found for number in numbers]
        return order, tf.concat([sums for _, sums in self.found], axis=0)

    def _settle(self, asked: Sequence[tuple[int, tf.Tensor]]) -> None:
        if asked:
            self.found.append(([number for number, _ in asked], square_sums([tensor for _, tensor in asked])))
