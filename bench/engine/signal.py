"""What is measured of the back-propagated signal of a layer, for all runs at once."""

from __future__ import annotations

import math

import tensorflow as tf

from bench.engine.precision import widened

# Where squares of entries far below a norm leave float32, and what brings such a norm back: a power of two, exactly.
SMALLEST, LARGEST = 1e-12, 1e15
UP, DOWN = 2.0**96, 2.0**-80


def sample_norms(tensor: tf.Tensor, *, time_first: bool = False) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """L2 norms of each sample's entries, of tensors [R, B, ...], or [T, R, B, n] where `time_first`.

    In one pass of float32, of half precision too. A sample whose squares would leave float32 is multiplied by a power
    of two before, each by itself, so that no sample's norm depends on its neighbours: where none needs it, that pass is
    spared.

    Returns:
        The multiplied samples [R, B, entries] or [T, R, B, n], their norms, and the factors by which norms are too
        large, [R, B, 1].
    """
    tensor = widened(tensor)
    flat = tensor if time_first else tf.reshape(tensor, [*tensor.shape[:2], -1])

    def norms_of(samples: tf.Tensor) -> tf.Tensor:
        found = tf.math.reduce_euclidean_norm(samples, axis=-1, keepdims=True)
        return tf.math.reduce_euclidean_norm(found, axis=0) if time_first else found

    norms = norms_of(flat)
    factors = tf.where(norms < SMALLEST, UP, tf.where(norms > LARGEST, DOWN, 1.0))

    def again() -> tuple[tf.Tensor, tf.Tensor]:
        scaled = flat * factors
        return scaled, norms_of(scaled)

    scaled, norms = tf.cond(tf.reduce_all(tf.equal(factors, 1.0)), lambda: (flat, norms), again)
    return scaled, norms, factors


def look(
    signal: list[tf.Tensor], measure: tf.Tensor, member: tf.Tensor | None, *, time_first: bool = False
) -> list[tf.Tensor]:
    """Of one layer's gradients [R, B, ...], what `measure_signal` makes its numbers of.

    Args:
        signal: the gradients, the first of them for the pre-activation; [T, R, B, n] where `time_first`.
        measure: a scalar flag; where it is false nothing is computed, and what is returned are zeros.
        member: whether a sample is of a class, as 0 and 1, [R, B, K]; None where there are no classes.

    Returns:
        Norms and factors of `sample_norms` of each, [len, 2, R, B]; of the first, the sum over classes of
        |sum of its samples' directions|^2, [R] in float64.
    """
    runs, samples = signal[0].shape[1:3] if time_first else signal[0].shape[:2]

    def looked() -> list[tf.Tensor]:
        found = [sample_norms(gradients, time_first=time_first) for gradients in signal]
        norms = tf.stack([tf.stack([norm[..., 0], factor[..., 0]]) for _, norm, factor in found])
        if member is None:
            return [norms, tf.zeros([runs], tf.float64)]
        scaled, norm, _ = found[0]
        share = member * tf.math.divide_no_nan(1.0, norm)
        if time_first:
            return [norms, _directions_over_time(share, scaled)]
        sums = tf.matmul(share, scaled, transpose_a=True)  # [R, K, entries]
        return [norms, tf.reduce_sum(tf.square(tf.cast(sums, tf.float64)), axis=[1, 2])]

    return tf.cond(measure, looked, lambda: [tf.zeros([len(signal), 2, runs, samples]), tf.zeros([runs], tf.float64)])


def look_by_position(s: tf.Tensor, gradients: tf.Tensor, measure: tf.Tensor | None) -> tf.Tensor:
    """Of one layer's pre-activations and their gradients, both [R, B, positions..., C], the columns of `positions`.

    Returns:
        At each position the mean square of s over samples and channels, and the root mean square over samples of B
        times the gradient's norm over channels, [positions, 2, R] in float64; zeros where `measure` is false.
    """
    runs, samples, channels = s.shape[0], s.shape[1], s.shape[-1]
    places = math.prod(s.shape[2:-1])

    def looked() -> tf.Tensor:
        squares = []
        for tensor in (s, gradients):
            _, norms, factors = sample_norms(tf.reshape(tensor, [runs, samples * places, channels]))
            exact = tf.cast(norms, tf.float64) / tf.cast(factors, tf.float64)
            squares.append(tf.reduce_sum(tf.reshape(tf.square(exact), [runs, samples, places]), axis=1))
        columns = [squares[0] / (samples * channels), tf.sqrt(samples * squares[1])]
        return tf.transpose(tf.stack(columns), [2, 0, 1])

    return tf.cond(measure, looked, lambda: tf.zeros([places, 2, runs], tf.float64))


def _directions_over_time(share: tf.Tensor, scaled: tf.Tensor) -> tf.Tensor:
    """The same of samples [T, R, B, n], without an array in which a sample's time steps are side by side."""
    steps, runs, samples, entries = scaled.shape
    shares = tf.reshape(tf.tile(share[None], [steps, 1, 1, 1]), [steps * runs, samples, -1])
    sums = tf.matmul(shares, tf.reshape(scaled, [steps * runs, samples, entries]), transpose_a=True)
    norms = tf.cast(tf.math.reduce_euclidean_norm(sums, axis=-1), tf.float64)
    by_step = tf.reduce_sum(tf.square(norms), axis=-1)
    return tf.reduce_sum(tf.reshape(by_step, [steps, runs]), axis=0)


def measure_signal(norms: tf.Tensor, directions: tf.Tensor, member: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """From what `look` found at L layers to numbers.

    Args:
        norms: [L, len, 2, R, B].
        directions: [L, R].
        member: as `look` was given it.

    Returns:
        Of each layer's gradients the sums of squares over samples and entries, [L, len, R], and of the first the mean
        cosine between the gradients of two samples of one class, see `class_pair_correlation`, [L, R]; in float64.
    """
    wide = tf.cast(norms, tf.float64)
    exact = wide[:, :, 0] / wide[:, :, 1]
    return tf.reduce_sum(tf.square(exact), axis=-1), class_pair_correlation(directions, exact[:, 0], member)


def class_pair_correlation(directions: tf.Tensor, norms: tf.Tensor, member: tf.Tensor | None) -> tf.Tensor:
    """Mean cosine between the gradients of two samples of one class, over all such pairs of the batch, [L, R].

    With u_i the direction of sample i's gradient and n_k the samples of class k that have one, it is
    sum_k (|sum_{i in k} u_i|^2 - n_k) / sum_k n_k (n_k - 1). Pairs of different classes are left out, for there the
    gradients of softmax oppose each other by construction. A sample whose gradient is exactly 0 (it underflowed, or
    every unit is off) has no direction and is in no pair. NaN where no pair is left, a gradient is not finite, or there
    are no classes.
    Source: Balduzzi et al. 2017 (arXiv:1702.08591), who correlate the gradients at inputs along a line.

    Args:
        directions: the sum over classes of |sum_{i in k} u_i|^2, [L, R].
        norms: of the samples' gradients, [L, R, B].
        member: whether a sample is of a class, [R, B, K].
    """
    missing = tf.constant(float("nan"), tf.float64)
    if member is None:
        return tf.fill(directions.shape, missing)
    has_one = tf.cast(tf.not_equal(norms, 0.0), tf.float32)
    count = tf.cast(tf.einsum("lrb,rbk->lrk", has_one, member), tf.float64)
    total = directions - tf.reduce_sum(count, axis=-1)
    pairs = tf.reduce_sum(count * (count - 1.0), axis=-1)
    return tf.where(pairs > 0.0, total / pairs, missing)
