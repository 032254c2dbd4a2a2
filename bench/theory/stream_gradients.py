"""The way back through a transformer's blocks at initialization: how large gradients of tokens are, and how alike.

d_i, the gradient for token i of a stream, has mean square D over tokens, and E is the mean product of two tokens'. A
branch adds to both, linearly, as its Jacobian is independent of what comes from above (as for dense layers, Schoenholz
et al. 2017). Behind a feed-forward sub-layer both keep apart: E[phi'^2], and E[phi' phi'] at the tokens' cosine rho.
Attention mixes them. With weights w_ij, u = E sum_j w_ij^2 and p = E sum_j w_ij w_i'j of two queries (1 / T where all
see all), values take sum_i w_ij d_i:

    D' = u D + (T - 1) p E,   E' = (1 - u) / (T - 1) D + (1 - p) E.

Logits take w_ij (g_ij - sum_j w_ij g_ij) with g_ij = d_i.v_j, of which (1 - rho) differs from key to key. Of
independent g's U = E sum_j w_j^2 (1 - 2 w_j + sum w^2) passes; with logits of variance s^2 over all pairs,

    queries: D' = s^2 (1 - rho)^2 U D,                           E' = s^2 (1 - rho)^2 P E,   P = p U / u,
    keys:    D' = s^2 (1 - rho) (U D + (T - 1) P rho E) = K,     E' = -K / (T - 1), as logits' gradients sum to 0.

All in units of sigma_v^2 sigma_o^2. Derived for this project to first order in how alike the weights of two queries
are; in drawn networks of 4 to 32 blocks, with gains of 0.5 to 2, the stream's gradients lay within 0.06 decades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.theory.activations import Array
from bench.theory.tokens import Tokens
from bench.theory.transformers import Transformer


@dataclass(frozen=True)
class Passage:
    """How a branch passes gradients back: D' = dd D + de E, E' = ed D + ee E."""

    dd: float
    de: float
    ed: float
    ee: float

    def times(self, factor: float) -> Passage:
        """Behind a factor on what is passed."""
        return Passage(factor * self.dd, factor * self.de, factor * self.ed, factor * self.ee)

    def passed(self, above: Tokens) -> Tokens:
        """D' and E'."""
        return Tokens(
            self.dd * above.square + self.de * above.product, self.ed * above.square + self.ee * above.product
        )


def of_attention(keys: int, weights: tuple[float, float, float], rho: float, deviation: float) -> Passage:
    """Attention's, in units of sigma_v^2 sigma_o^2.

    Args:
        keys: T.
        weights: u, U and p of the module's text.
        rho: cosine of two tokens.
        deviation: s, of the logits over all pairs.
    """
    u, passed, apart = weights
    others = max(keys - 1, 1)
    apart = apart if keys > 1 else 0.0
    logits, both = deviation**2 * (1.0 - rho), apart * passed / u
    key_own, key_other = logits * passed, logits * others * both * rho
    return Passage(
        dd=u + logits * (1.0 - rho) * passed + key_own,
        de=others * apart + key_other,
        ed=(1.0 - u) / others - key_own / others,
        ee=1.0 - apart + logits * (1.0 - rho) * both - key_other / others,
    )


@dataclass(frozen=True)
class Sublayer:
    """One sub-layer on the way forward.

    Attributes:
        starts: whether its block starts with it.
        start: the tokens that it starts from.
        adds: its branch, before any factor or normalization of it.
        total: the sum that leaves it, before a normalization of it.
        back: how the branch passes gradients back to what it reads.
    """

    starts: bool
    start: Tokens
    adds: Tokens
    total: Tokens
    back: Passage


def log_gradients(network: Transformer, layers: Sequence[Sublayer], cosine: float) -> Array:
    """Ln of D of each sub-layer's sum over that of the last, [sub-layers].

    Args:
        network: for its factors and normalizations.
        layers: the sub-layers in order.
        cosine: E / D of the last.
    """
    found = np.zeros(len(layers))
    above, higher, scale = Tokens(1.0, cosine), Tokens(0.0, 0.0), 0.0
    least = -1.0 / max(network.length - 1, 1)
    for at in range(len(layers) - 2, -1, -1):
        upper, lower = layers[at + 1], layers[at]
        factor = network.branch_scale**2
        factor /= upper.start.square + network.epsilon if network.normalizes_input else 1.0
        factor /= upper.adds.square + network.epsilon if network.normalizes_branch else 1.0
        below = above.times(network.stream_scale**2).plus(upper.back.passed(above).times(factor))
        if network.block == "b2t" and upper.starts and at + 2 < len(layers):
            # The block's input is added again in its last sub-layer, along whose stream both gradients are alike.
            below = below.plus(higher.times(1.0 + 2.0 / np.sqrt(upper.total.square + network.epsilon)))
        if network.normalizes_sum:
            below = below.times(1.0 / (lower.total.square + network.epsilon))
        size = below.square
        if not size > 0.0:  # logits so large that the first order is not enough
            found[: at + 1] = np.nan
            break
        scale += float(np.log(size))
        found[at] = scale
        higher = above.times(1.0 / size)
        above = Tokens(1.0, max(below.product / size, least))
    return found
