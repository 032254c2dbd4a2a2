"""How a sub-layer's branch joins the stream: the levels of `block`, as numbers.

With n what the branch reads, F(n) the branch and x the stream, every kind is

    s = stream x + factor scale F'(n),    y = norm(s) or s

where n is x or norm(x), F' is F or norm(F), and scale is 1, one learned number or a learned vector. Without a skip
connection the stream's factor is 0 (Dong, Cordonnier & Loukas 2021, arXiv:2103.03404).

Sources: pre-norm, Baevski & Auli 2019 (arXiv:1809.10853) and Xiong et al. 2020 (arXiv:2002.04745); post-norm, Vaswani
et al. 2017 (arXiv:1706.03762); sandwich, Ding et al. 2021 (arXiv:2105.13290); DeepNorm, Wang et al. 2022
(arXiv:2203.00555), an encoder alone; Admin, Liu et al. 2020 (arXiv:2004.08249), in the closed form of the authors'
package admin-torch ("O(log n)", n sub-layers), not learned; ReZero, Bachlechner et al. 2021 (arXiv:2003.04887), here a
number for each branch where the authors' code has one for each block; LayerScale, Touvron et al. 2021
(arXiv:2103.17239); damped, Noci et al. 2022 (arXiv:2206.03126); T-Fixup, Huang et al. 2020 (ICML), an encoder's factor;
B2T, Takase et al. 2022 (arXiv:2206.00330).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.factors import Choice


@dataclass(frozen=True)
class Kind:
    """A kind of block.

    Attributes:
        before, branch, after: whether what the branch reads, what it says and the sum are normalized.
        stream, factor: what multiplies the stream and the branch in the sum; of 0 the sum is the branch alone.
        scale: of what the branch's learned scale consists: "" of nothing, "one" number, or a number for "each" unit.
        start: what the scale starts at.
        weights: what multiplies the draw of values', outputs' and feed-forward kernels.
        from_below: whether the last sub-layer of a block adds what entered the block.
    """

    before: bool = False
    branch: bool = False
    after: bool = False
    stream: float = 1.0
    factor: float = 1.0
    scale: str = ""
    start: float = 1.0
    weights: float = 1.0
    from_below: bool = False

    @property
    def final(self) -> bool:
        """Whether the head normalizes what it reads: the stream is not normalized as it comes."""
        return self.before


def kind_of(choice: Choice, blocks: int, sublayers: int) -> Kind:
    """The kind that a level of `block` means in a network of so many blocks, and of so many sub-layers in all."""
    stream = {
        "deepnorm": (2 * blocks) ** 0.25,
        "admin": math.sqrt((sublayers + 1) / math.log(sublayers + 1) - 1.0),
    }.get(choice.name, 1.0)
    match choice.name:
        case "post_norm" | "admin":
            return Kind(after=True, stream=stream)
        case "deepnorm":
            return Kind(after=True, stream=stream, weights=(8 * blocks) ** -0.25)
        case "b2t":
            return Kind(after=True, from_below=True)
        case "no_norm":
            return Kind()
        case "no_skip":
            return Kind(stream=0.0)
        case "t_fixup":
            return Kind(weights=0.67 * blocks**-0.25)
        case "rezero":
            return Kind(scale="one", start=0.0)
        case "layer_scale":
            return Kind(before=True, scale="each", start=float(choice.setting("start")))
        case "damped":
            scale, exponent = float(choice.setting("scale")), float(choice.setting("exponent"))
            return Kind(before=True, factor=scale / sublayers**exponent)
    return Kind(before=True, branch=choice.name == "sandwich")
