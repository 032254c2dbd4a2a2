"""Two numbers of a sample's tokens: their mean square, and the mean product of two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tokens:
    """Mean square of tokens' numbers, and mean product of two tokens of a sample, number by number."""

    square: float
    product: float

    @property
    def cosine(self) -> float:
        """rho, kept within [-1, 1] against rounding; 0 of tokens that are 0."""
        return float(np.clip(self.product / self.square, -1.0, 1.0)) if self.square > 0.0 else 0.0

    def times(self, factor: float) -> Tokens:
        """Behind a factor on both numbers."""
        return Tokens(factor * self.square, factor * self.product)

    def normalized(self, epsilon: float) -> Tokens:
        """Behind a layer normalization."""
        return self.times(1.0 / (self.square + epsilon))

    def plus(self, other: Tokens) -> Tokens:
        """The sum of independent tokens."""
        return Tokens(self.square + other.square, self.product + other.product)
