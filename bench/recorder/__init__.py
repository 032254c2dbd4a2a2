"""Records the gradients of anybody's own Keras training, in the steps that train: see docs/design.md, The recorder."""

from bench.recorder.callback import Recorder

__all__ = ["Recorder"]
