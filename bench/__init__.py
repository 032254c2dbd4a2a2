"""gradtrial: which remedy for vanishing and exploding gradients helps where, on the Keras of today."""

__version__ = "0.1.0"
