"""Which dispatch records on the backend that Keras has here; what another one needs is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from bench.recorder.dispatch import Dispatch

if TYPE_CHECKING:
    from bench.recorder.jax_dispatch import JaxDispatch


def dispatch_of_backend() -> type[Dispatch] | type[JaxDispatch]:
    """JAX's where Keras runs on JAX, else TensorFlow's."""
    if keras.backend.backend() == "jax":
        from bench.recorder.jax_dispatch import JaxDispatch

        return JaxDispatch
    return Dispatch
