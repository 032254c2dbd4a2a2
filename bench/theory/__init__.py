"""What is known of these networks without training one: closed forms in numpy."""

from __future__ import annotations

from bench.theory.activations import Nonlinearity, activation

__all__ = ["Nonlinearity", "activation"]
