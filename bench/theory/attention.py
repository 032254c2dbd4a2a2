"""Attention at initialization: its logits, its entropy, and what its branch does to a stream of tokens.

Tokens of a sample have mean square q and mean product c of two of them, per dimension; rho = c / q is their cosine.
With W_Q, W_K, W_V, W_O [d, d] of fan_in Var = sigma^2 and logits q.k / sqrt(key_dim), tokens of mean square nu have
logits of standard deviation

    s = sigma_q sigma_k nu   (times gain^2, where both kernels are scaled by a gain),

any key_dim. Over the keys of one query only (1 - rho) of that variance differs. The branch's variance is then
nu sigma_v^2 sigma_o^2 (u + (1 - u) rho) with u = E sum_j w_j^2 over the weights of a query, and the mean product of
two tokens of it nu sigma_v^2 sigma_o^2 (1 / T + (1 - 1 / T) rho), as different queries weigh keys independently.
Derived for this project; rank collapse in this form: Noci et al. 2022 (arXiv:2206.03126), Dong et al. 2021
(arXiv:2103.03404).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.stats import chi

from bench.errors import BenchError
from bench.theory.activations import Array

DRAWS, FEWEST, MOST = 4000, 256, 2**19  # rows of logits behind an expectation, and numbers of all together
SEED = 0
CAUSAL_COUNTS = 24  # different numbers of seen keys that are drawn


def logit_deviation(
    query_variance: float, key_variance: float, mean_square: float = 1.0, gain: float = 1.0, key_dim: int | None = None
) -> float:
    """Standard deviation of a logit, over tokens, heads and networks.

    Args:
        query_variance, key_variance: d Var(W_Q) and d Var(W_K).
        mean_square: nu, of the tokens that attention reads: q / (q + epsilon) behind a normalization.
        gain: factor on both kernels.
        key_dim: of logits q.k / key_dim (Yang et al. 2022); None: q.k / sqrt(key_dim), as Keras has it.
    """
    scale = 1.0 if key_dim is None else key_dim**-0.5
    return float(np.sqrt(query_variance * key_variance) * mean_square * gain**2 * scale)


def entropy_closed(deviation: float, keys: int) -> float:
    """Ln T - s^2 / 2 in nat: the entropy of a softmax over T Gaussian logits of deviation s; for s < 1 and T >= 16.

    With E ln sum exp(s z) = ln T + s^2 / 2 and E sum w s z = s^2 where many keys share the weight (derived here).
    """
    return float(np.log(keys) - 0.5 * deviation**2)


def condensation(keys: int) -> float:
    """sqrt(2 ln T): the deviation of the logits from which one key takes a share of the weight that stays for any T.

    The transition of the random-energy model (Derrida 1981), to which Giorlandino & Goldt 2025 map random attention.
    """
    return float(np.sqrt(2.0 * np.log(keys)))


def entropy_bound(spread: float, keys: int) -> float:
    """The least entropy, in nat, of a softmax over T logits whose norm around their mean is at most `spread`.

    ln(1 + (T - 1) b) + spread sqrt(T (T - 1)) b / (1 + (T - 1) b) with b = exp(-spread sqrt(T / (T - 1))), attained by
    one large and T - 1 equal logits (Zhai et al. 2023, arXiv:2303.06296: there spread is a bound made of the spectral
    norms of W_K W_Q^T and X X^T; the scale of the logits belongs into it).

    Raises:
        BenchError: fewer than 2 keys, or a negative spread.
    """
    if keys < 2 or not spread >= 0.0:
        raise BenchError(f"The bound is of at least 2 keys and a spread from 0 on, not {keys} and {spread:g}.")
    others = keys - 1.0
    b = np.exp(-spread * np.sqrt(keys / others))
    return float(np.log1p(others * b) + spread * np.sqrt(keys * others) * b / (1.0 + others * b))


@dataclass(frozen=True)
class Softmax:
    """Means over the queries of a softmax over Gaussian logits.

    Attributes:
        entropy: -sum w ln w, in nat.
        square: u = E sum_j w_j^2.
        passed: E sum_j (w_j (1 - 2 w_j + sum_i w_i^2) w_j): of independent gradients of unit variance for the weights,
            what reaches the logits.
    """

    entropy: float
    square: float
    passed: float


@lru_cache(maxsize=4096)
def softmax(deviation: float, keys: int, key_dim: int | None = None, cap: float | None = None) -> Softmax:
    """Of logits of that deviation, from a fixed draw of them.

    Args:
        deviation: s over the keys of a query, root mean square over queries.
        keys: T.
        key_dim: of queries and keys, whose products have heavier tails than a normal; None: the limit of many.
        cap: c of logits c tanh(l / c); None: as they are.
    """
    if keys == 1 or not np.isfinite(deviation):  # one key has it all
        return Softmax(0.0, 1.0, 0.0)
    drawn = _draw(keys)
    logits = deviation * drawn if key_dim is None else deviation * _lengths(key_dim, len(drawn)) * drawn
    slopes: Array | float = 1.0
    if cap is not None:
        bent = np.tanh(logits / cap)
        logits, slopes = cap * bent, np.square(1.0 - np.square(bent))
    logits = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    sums = weights.sum(axis=1, keepdims=True)
    weights /= sums
    entropy = np.log(sums[:, 0]) - np.sum(weights * logits, axis=1)
    squares = np.square(weights)
    square = squares.sum(axis=1, keepdims=True)
    passed = np.sum(squares * slopes * (1.0 - 2.0 * weights + square), axis=1)
    return Softmax(float(entropy.mean()), float(square.mean()), float(passed.mean()))


@lru_cache(maxsize=32)
def _draw(keys: int) -> Array:
    """Normal logits [rows, keys]: the same for every deviation, so that answers change smoothly with it."""
    rows = max(min(DRAWS, MOST // keys), FEWEST)
    return np.random.default_rng([SEED, keys]).standard_normal((rows, keys))


@lru_cache(maxsize=32)
def _lengths(key_dim: int, rows: int) -> Array:
    """|q| / sqrt(key_dim) of each row's query, [rows, 1]: quantiles of its law, in a fixed order."""
    at = np.random.default_rng([SEED, key_dim]).permutation(rows)
    found = chi.ppf((at + 0.5) / rows, key_dim) / np.sqrt(key_dim)
    return np.asarray(found[:, None], np.float64)


def seen_keys(keys: int) -> list[tuple[int, float]]:
    """Of causal attention: how many keys a query sees, with the share of the queries; of long sequences a choice."""
    if keys <= CAUSAL_COUNTS:
        return [(count, 1.0 / keys) for count in range(1, keys + 1)]
    ends = np.unique(np.geomspace(1, keys + 1, CAUSAL_COUNTS + 1).round().astype(int))
    return [(int(np.sqrt(low * (high - 1.0))), (high - low) / keys) for low, high in pairwise(ends)]


def earlier_share(keys: int) -> float:
    """Mean over pairs of queries of 1 / (keys that the later one sees): what causal attention has in place of 1 / T.

    Of queries that see m < n keys the even weights have the product sum m / (m n) = 1 / n (derived here).
    """
    later = np.arange(2.0, keys + 1.0)
    return float(np.sum((later - 1.0) / later) / (0.5 * keys * (keys - 1.0))) if keys > 1 else 1.0
