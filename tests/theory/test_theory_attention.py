"""What theory says of attention and of transformers' streams: its numbers, networks drawn in numpy, what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import BenchError
from bench.theory import (
    StreamProfile,
    Transformer,
    activation,
    condensation,
    entropy_bound,
    entropy_closed,
    later_profile,
    logit_deviation,
    softmax,
    stream_profile,
)
from tests.theory import finite_transformers as finite
from tests.theory.finite_transformers import Setting

Array = np.ndarray
FULL = pytest.mark.full
DEPTHS = [4, 8, 16, 32]


def described(setting: Setting) -> Transformer:
    stream, branch, kernels = setting.scales
    square = kernels**2
    return Transformer(
        activation("relu"), setting.depth, setting.width, setting.heads, setting.tokens, setting.block,
        value=square, output=square, ff_in=0.4 * square, ff_out=1.6 * square, stream_scale=stream, branch_scale=branch,
        gain=setting.gain, causal=setting.causal,
    )  # fmt: skip


def predicted(block: str, depth: int, **more: object) -> StreamProfile:
    return stream_profile(described(Setting(depth, block, **more)))  # type: ignore[arg-type]


# 19 to 25: by depths of 4, 8, 16 and 32 blocks, at d = 64, 4 heads, 16 tokens.
@pytest.mark.parametrize(("block", "square", "cosine", "telescoped"), [
    ("pre_norm", [3.39, 7.01, 15.7, 34.8], [0.445, 0.664, 0.815, 0.899], [0.238, 0.396, 0.571, 0.744]),
    ("post_norm", [1.32] * 4, [0.676, 0.973, 0.9999, 1.0], None),
    ("damped", [1.24] * 4, [0.08] * 4, None),
    ("deepnorm", [8**0.5, 4.0, 32**0.5, 8.0], [0.0] * 4, [0.0] * 4),
    ("admin", None, [0.242, 0.342, 0.444, 0.542], None),
])  # fmt: skip
def test_streams_by_depth(
    block: str, square: list[float] | None, cosine: list[float], telescoped: list[float] | None
) -> None:
    found = [predicted(block, depth) for depth in DEPTHS]
    if square is not None:
        assert [each.mean_square[-1] for each in found] == pytest.approx(square, rel=4e-3)
    assert [each.token_cosine[-1] for each in found] == pytest.approx(cosine, abs=8e-3)
    if telescoped is not None:
        assert [each.telescoped[0] for each in found] == pytest.approx(telescoped, abs=1e-3)
    if block == "deepnorm":
        assert [each.gradient[0] for each in found] == pytest.approx(telescoped, abs=0.03)


@pytest.mark.parametrize(("sizes", "pre_norm", "post", "damped"), [
    ((96, 8, 32, 6), (4.74, 0.557, 0.322), 0.881, 1.209),
    ((96, 8, 32, 12), (10.7, 0.755, 0.499), 0.998, 1.210),
    ((48, 2, 8, 10), (9.85, 0.740, 0.451), 0.995, 1.292),
])  # fmt: skip
def test_fresh_settings(
    sizes: tuple[int, int, int, int], pre_norm: tuple[float, float, float], post: float, damped: float
) -> None:
    """Numbers 31 and 32."""
    (width, heads, tokens, depth), (square, cosine, telescoped) = sizes, pre_norm
    of = {"width": width, "heads": heads, "tokens": tokens}
    pre = predicted("pre_norm", depth, **of)
    assert pre.mean_square[-1] == pytest.approx(square, rel=5e-3)
    assert pre.token_cosine[-1] == pytest.approx(cosine, abs=3e-3)
    assert pre.telescoped[0] == pytest.approx(telescoped, abs=2e-3)
    assert predicted("post_norm", depth, **of).token_cosine[-1] == pytest.approx(post, abs=3e-3)
    assert predicted("damped", depth, **of).mean_square[-1] == pytest.approx(damped, abs=3e-3)


def _of_depths(depths: list[int], block: str, *limits: float) -> list[object]:
    """Cases for networks as drawn here; the larger ones in full runs alone."""
    return [
        pytest.param(Setting(depth, block), *limits, id=f"{block}-{depth}", marks=[FULL] if depth > 8 else [])
        for depth in depths
    ]


@pytest.mark.parametrize(("setting", "square", "cosine", "gradient"), [
    *_of_depths(DEPTHS, "pre_norm", 0.1, 0.04, 0.06), *_of_depths([4, 8], "post_norm", 0.2, 0.06, 0.1),
    *_of_depths([16, 32], "post_norm", 0.25, 0.02, 0.4),
    *_of_depths([4, 16], "damped", 0.03, 0.02, 0.03), *_of_depths([4, 16], "deepnorm", 0.03, 0.02, 0.03),
    *_of_depths([4, 8, 16], "admin", 0.05, 0.05, 0.05), *_of_depths([4, 12], "sandwich", 0.1, 0.06, 0.06),
    *_of_depths([4, 12], "b2t", 0.05, 0.05, 0.05), *_of_depths([4, 12], "t_fixup", 0.03, 0.03, 0.03),
    pytest.param(Setting(6, gain=0.5), 0.1, 0.05, 0.06, id="gain-0.5", marks=FULL),
    pytest.param(Setting(6, gain=2.0), 0.1, 0.05, 0.06, id="gain-2"),
    pytest.param(Setting(8, causal=True), 0.1, 0.05, 0.06, id="causal"),
    pytest.param(Setting(8, "post_norm", causal=True), 0.2, 0.05, 0.1, id="causal-post_norm", marks=FULL),
    *(
        pytest.param(Setting(depth, "pre_norm", *of), 0.1, 0.05, 0.08, id=f"fresh-{of}-{depth}", marks=FULL)
        for depth, of in ((6, (96, 8, 32)), (12, (96, 8, 32)), (10, (48, 2, 8)))
    ),
    *(
        pytest.param(Setting(depth, "post_norm", *of), 0.2, 0.05, 0.15, id=f"fresh-post-{of}-{depth}", marks=FULL)
        for depth, of in ((6, (96, 8, 32)), (10, (48, 2, 8)))
    ),
])  # fmt: skip
def test_streams_of_drawn_networks(setting: Setting, square: float, cosine: float, gradient: float) -> None:
    """Relative to q, and absolute of the cosine and of log10 of the gradient, first and half way.

    Where tokens are alike, as deep behind post-norm, all numbers are those of one, and networks differ far more.
    """
    drawn, found = [finite.network(setting, seed) for seed in range(4)], stream_profile(described(setting))
    names = ("square", "cosine", "gradient")
    mean = {name: np.mean([getattr(each, name) for each in drawn], axis=0) for name in names}
    assert mean["square"][-1] == pytest.approx(found.mean_square[-1], rel=square)
    assert mean["cosine"][-1] == pytest.approx(found.token_cosine[-1], abs=cosine)
    at = [0, setting.depth]
    assert mean["gradient"][at] == pytest.approx(found.gradient[at], abs=gradient)
    entropy = np.mean([each.entropy for each in drawn], axis=0)
    assert entropy == pytest.approx(found.entropy[::2], abs=0.12)


@pytest.mark.parametrize(("depth", "least", "most"), [(8, 200.0, 2000.0), pytest.param(16, 3e5, 3e6, marks=FULL)])
def test_streams_without_a_normalization(depth: int, least: float, most: float) -> None:
    """Number 29: an order of magnitude around 605 and 1.0e6."""
    found = predicted("no_norm", depth)
    drawn = [finite.network(Setting(depth, "no_norm"), seed) for seed in range(2)]
    for square in (found.mean_square[-1], np.mean([each.square[-1] for each in drawn])):
        assert least < square < most
    assert found.entropy[-2] < 0.05
    assert np.mean([each.entropy[-1] for each in drawn]) < 0.1


@pytest.mark.parametrize(("gain", "deviation", "closed", "entropy", "near"), [
    (0.5, 0.25, 2.741, 2.743, 0.02), (1.0, 1.0, 2.273, 2.364, 0.05), (2.0, 4.0, None, 0.903, 0.1),
])  # fmt: skip
def test_logits_and_entropy(gain: float, deviation: float, closed: float | None, entropy: float, near: float) -> None:
    """Numbers 26 and 27, of 16 tokens and 16 numbers a head."""
    assert logit_deviation(1.0, 1.0, gain=gain) == deviation
    if closed is not None:
        assert entropy_closed(deviation, 16) == pytest.approx(closed, abs=1e-3)
    assert softmax(deviation, 16, 16).entropy == pytest.approx(entropy, abs=0.02)
    drawn = [finite.network(Setting(1, gain=gain), seed) for seed in range(4)]
    assert np.mean([each.logit_deviation for each in drawn]) == pytest.approx(deviation, rel=0.03)
    assert np.mean([each.entropy[0] for each in drawn]) == pytest.approx(entropy, abs=near)


def test_the_softmax_in_its_limits() -> None:
    even, sharp = softmax(0.0, 16), softmax(200.0, 16, 16)
    assert (even.entropy, even.square, even.passed) == pytest.approx((math.log(16), 1 / 16, (1 - 1 / 16) / 16))
    assert sharp.entropy < 0.02
    assert sharp.square > 0.99
    assert sharp.passed < 0.005
    assert softmax(4.0, 1).entropy == 0.0
    assert softmax(0.5, 4096).square == pytest.approx(math.exp(0.25) / 4096, rel=0.02)
    assert softmax(4.0, 16, cap=1.0).entropy > softmax(0.99, 16).entropy  # capped to at most 1
    assert condensation(16) == pytest.approx(2.355, abs=1e-3)


@pytest.mark.parametrize(("spread", "bound"), [(1.0, 2.7168), (4.0, 1.0180), (8.0, 0.0357), (0.0, math.log(16))])
def test_the_least_entropy(spread: float, bound: float) -> None:
    """Number of Zhai et al. 2023; random logits of that spread have no less, and their own row attains it."""
    assert entropy_bound(spread, 16) == pytest.approx(bound, abs=5e-5)
    rows = np.random.default_rng(0).standard_normal((500, 16)) ** 3
    best = np.array([15.0, *([-1.0] * 15)])
    rows = np.concatenate([rows, [best]])
    rows -= rows.mean(axis=1, keepdims=True)
    rows *= spread / np.linalg.norm(rows, axis=1, keepdims=True)
    weights = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    entropy = -np.sum(weights * np.log(weights), axis=1)
    assert entropy.min() == entropy[-1] == pytest.approx(bound, abs=5e-5)


@pytest.mark.parametrize(("block", "scale", "slopes"), [("rezero", 0.0, 0.0), ("layer_scale", 1e-5, 1e-9)])
def test_branches_that_start_at_nothing(block: str, scale: float, slopes: float) -> None:
    found = stream_profile(Transformer(activation("relu"), 6, 64, 4, 16, block, branch_scale=scale), 0.7, 0.2)
    assert found.gradient == pytest.approx(np.zeros(12), abs=slopes)
    assert found.mean_square == pytest.approx(np.full(12, 0.7), abs=slopes)
    assert found.token_cosine == pytest.approx(np.full(12, 0.2), abs=max(slopes, 1e-12))


def test_a_profile_goes_on_where_another_is_cut() -> None:
    for block in ("pre_norm", "post_norm", "sandwich", "no_norm"):
        whole = predicted(block, 4)
        rest = later_profile(described(Setting(4, block)), 3, whole.mean_square[2], whole.token_cosine[2])
        for name in ("mean_square", "token_cosine", "gradient", "entropy"):
            assert getattr(rest, name) == pytest.approx(getattr(whole, name)[3:], rel=1e-9, nan_ok=True)
    assert rest.kinds == ("feed_forward", *["attention", "feed_forward"] * 2)


def test_kinds_of_sub_layers_by_themselves() -> None:
    network = described(Setting(3))
    alone = stream_profile(replace(network, sublayers=("feed_forward",)))
    assert alone.mean_square == pytest.approx([1.32, 1.64, 1.96], rel=1e-2)
    assert alone.gradient == pytest.approx(alone.telescoped, abs=1e-9)  # relu passes back what it passes forward
    attention = stream_profile(replace(network, sublayers=("attention",)), 1.0, 1.0)
    assert attention.token_cosine == pytest.approx(np.ones(3))
    assert attention.entropy == pytest.approx(np.full(3, math.log(16)))


@pytest.mark.parametrize(("more", "deviation"), [
    ({}, 1.0), ({"inverse": True}, 0.25), ({"gain": 2.0}, 4.0), ({"query": 4.0}, 2.0),
    ({"query_key": "layer_normalized", "gain": 3.0}, 1.0), ({"query_key": "l2_normalized"}, math.log2(240) / 4),
])  # fmt: skip
def test_deviations_of_logits(more: dict[str, object], deviation: float) -> None:
    network = replace(described(Setting(1)), epsilon=0.0, **more)  # type: ignore[arg-type]
    assert stream_profile(network).logit_deviation[0] == pytest.approx(deviation)


def test_small_tokens_are_not_brought_to_size() -> None:
    """Keras's embedding starts at a mean square of 8.3e-4, which an epsilon of 1e-3 does not let pass for 1."""
    small = stream_profile(described(Setting(2)), 1e-3)
    assert small.logit_deviation[0] == pytest.approx(0.5)
    assert small.mean_square[0] == pytest.approx(1e-3 + 0.5 * softmax(0.5, 16, 16).square, rel=1e-6)


@pytest.mark.parametrize("statistics", [(0.0, 0.0), (1.0, 1.5), (1.0, 0.0, -2.0), (math.nan, 0.0)])
def test_impossible_tokens_are_refused(statistics: tuple[float, ...]) -> None:
    with pytest.raises(BenchError, match="between -1 and 1"):
        stream_profile(described(Setting(2)), *statistics)


def test_a_block_that_adds_its_input_is_not_entered_half_way() -> None:
    with pytest.raises(BenchError, match="b2t"):
        later_profile(described(Setting(2, "b2t")), 1, 1.0, 0.0)
