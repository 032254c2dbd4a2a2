"""What blocks of a transformer do to a stream of tokens at initialization: size, alikeness, entropy and gradient.

Tokens of a sample have mean square q and mean product c of two of them; rho = c / q. Each sub-layer adds a branch to
the stream, whose mean square and product follow from those of what it reads (`bench.theory.attention` for attention; of
a feed-forward sub-layer E[phi^2] and E[phi phi'] at cosine rho, for relu the arc-cosine kernel of Cho & Saul 2009). A
layer normalization divides by sqrt(q + epsilon) and leaves rho. So two numbers are followed, sub-layer by sub-layer,
and two more on the way back (`bench.theory.stream_gradients`).

Derived for this project. Blocks: Xiong et al. 2020 (arXiv:2002.04745; pre_norm, post_norm), Wang et al. 2022
(arXiv:2203.00555; deepnorm), Liu et al. 2020 (arXiv:2004.08249; admin), Noci et al. 2022 (arXiv:2206.03126; damped),
Bachlechner et al. 2021 (arXiv:2003.04887; rezero), Touvron et al. 2021 (arXiv:2103.17239; layer_scale), Ding et al.
2021 (arXiv:2105.13290; sandwich), Huang et al. 2020 (t_fixup), Takase et al. 2022 (arXiv:2206.00330; b2t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError
from bench.factors import ATTENTION
from bench.theory.activations import Array
from bench.theory.attention import earlier_share, seen_keys, softmax
from bench.theory.maps import moments, pair_moments
from bench.theory.profile import HALF_LOG10
from bench.theory.stream_gradients import Passage, Sublayer, log_gradients, of_attention
from bench.theory.tokens import Tokens
from bench.theory.transformers import Transformer

DIGITS = 9  # of a deviation of logits
ALIKE = 1.0 - 1e-12  # a cosine from which two tokens are one


@dataclass(frozen=True)
class StreamProfile:
    """Predictions at initialization, arrays [sub-layers], each of the stream that leaves a sub-layer.

    Of a block that normalizes the sum this is the sum, before its normalization.

    Attributes:
        kinds: `attention` or `feed_forward`.
        mean_square: q.
        token_cosine: rho.
        branch: mean square of what the sub-layer adds, before any factor or normalization of it.
        gradient: log10 of the norm of the gradient for the stream over that of the last.
        logit_deviation: of the logits, over all pairs; NaN of a feed-forward sub-layer.
        entropy: mean over queries, in nat; NaN of a feed-forward sub-layer.
    """

    kinds: tuple[str, ...]
    mean_square: Array
    token_cosine: Array
    branch: Array
    gradient: Array
    logit_deviation: Array
    entropy: Array

    @property
    def telescoped(self) -> Array:
        """log10 sqrt(q_last / q): the gradient of pre_norm, were attention to pass back what it passes forward.

        A power of depth, never exponential; for gains near 1 within 0.06 decades of the first over the last. Derived
        for this project; with q growing as the depth its last layer is that of Xiong et al. 2020, theorem 1.
        """
        return np.asarray(HALF_LOG10 * np.log(self.mean_square[-1] / self.mean_square), np.float64)


@dataclass(frozen=True)
class _Branch:
    """What a sub-layer adds, before any factor; how it passes gradients back; attention's logits and entropy."""

    adds: Tokens
    back: Passage
    deviation: float = float("nan")
    entropy: float = float("nan")


def stream_profile(
    network: Transformer, mean_square: float = 1.0, token_cosine: float = 0.0, gradient_cosine: float = 0.0
) -> StreamProfile:
    """What theory predicts of a transformer at initialization.

    Args:
        network: as `transformer_of` gives it.
        mean_square, token_cosine: q and rho of the tokens that the first sub-layer reads.
        gradient_cosine: of two tokens' gradients for the last stream; 0 where the last token alone is read.

    Raises:
        BenchError: they are impossible.
    """
    return later_profile(network, 0, mean_square, token_cosine, gradient_cosine)


def later_profile(
    network: Transformer, first: int, mean_square: float, token_cosine: float, gradient_cosine: float = 0.0
) -> StreamProfile:
    """The same of the sub-layers from `first` on, from q and rho of the stream that leaves the one before.

    Raises:
        BenchError: they are impossible, or b2t from within a block, whose input is then not known.
    """
    cosines = np.abs([token_cosine, gradient_cosine])
    if not (np.isfinite(mean_square) and mean_square > 0.0 and (cosines <= 1.0).all()):
        raise BenchError("The tokens' mean square must be above 0, and cosines between -1 and 1.")
    if network.block == "b2t" and first % len(network.sublayers):
        raise BenchError("A block of b2t adds its own input again, which is not known within the block.")
    x = Tokens(mean_square, token_cosine * mean_square)
    x = x.normalized(network.epsilon) if first and network.normalizes_sum else x
    layers, branches, opening = list[Sublayer](), list[_Branch](), x
    for place, kind in enumerate(network.kinds[first:], first):
        starts = place % len(network.sublayers) == 0
        opening = x if starts else opening
        read = x.normalized(network.epsilon) if network.normalizes_input else x
        branch = _attention(network, read) if kind == ATTENTION else _feed_forward(network, read)
        adds = branch.adds.normalized(network.epsilon) if network.normalizes_branch else branch.adds
        total = x.times(network.stream_scale**2).plus(adds.times(network.branch_scale**2))
        if network.block == "b2t" and not starts:
            total = total.plus(opening).plus(opening.times(2.0 / np.sqrt(layers[-1].total.square + network.epsilon)))
        layers.append(Sublayer(starts, x, branch.adds, total, branch.back))
        branches.append(branch)
        x = total.normalized(network.epsilon) if network.normalizes_sum else total
    return StreamProfile(
        kinds=network.kinds[first:],
        mean_square=np.array([each.total.square for each in layers]),
        token_cosine=np.array([each.total.cosine for each in layers]),
        branch=np.array([each.adds.square for each in branches]),
        gradient=HALF_LOG10 * log_gradients(network, layers, gradient_cosine),
        logit_deviation=np.array([each.deviation for each in branches]),
        entropy=np.array([each.entropy for each in branches]),
    )


def _attention(network: Transformer, read: Tokens) -> _Branch:
    keys, rho = network.length, read.cosine
    deviation = network.logit_deviation(read.square)
    over_keys = float(f"{deviation * np.sqrt(1.0 - rho):.{DIGITS}e}")
    key_dim = network.key_dim if network.query_key in ("plain", "logit_cap") else None
    counts = seen_keys(keys) if network.causal else [(keys, 1.0)]
    found = [(softmax(over_keys, count, key_dim, network.cap), share) for count, share in counts]
    u, passed, entropy = (
        sum(share * getattr(each, name) for each, share in found) for name in ("square", "passed", "entropy")
    )
    apart = earlier_share(keys) if network.causal else 1.0 / keys
    scale = network.value * network.output
    adds = Tokens(read.square * (u + (1.0 - u) * rho), read.square * (apart + (1.0 - apart) * rho)).times(scale)
    back = of_attention(keys, (u, passed, apart), rho, deviation).times(scale)
    return _Branch(adds, back, deviation, entropy)


def _feed_forward(network: Transformer, read: Tokens) -> _Branch:
    """W_2 phi(W_1 x): sigma_2^2 E[phi phi'] forward, sigma_1^2 sigma_2^2 E[phi' phi'] back, at cosines 1 and rho."""
    q = network.ff_in * read.square
    at = moments(network.phi, q)
    product, slopes = at.square, at.slope_square
    if read.cosine < ALIKE:
        pair = pair_moments(network.phi, q, read.cosine)
        product, slopes = pair.product, pair.slope_product
    back = Passage(at.slope_square, 0.0, 0.0, slopes).times(network.ff_in * network.ff_out)
    return _Branch(Tokens(at.square, product).times(network.ff_out), back)
