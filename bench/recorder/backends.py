"""Which dispatch records on the backend that Keras has here; what another one needs is not imported."""

from __future__ import annotations

import keras

from bench.recorder.dispatching import Dispatching


def dispatch_of_backend() -> type[Dispatching]:
    """JAX's where Keras runs on JAX, else TensorFlow's."""
    if keras.backend.backend() == "jax":
        from bench.recorder.jax_dispatch import JaxDispatch

        return JaxDispatch
    from bench.recorder.dispatch import Dispatch

    return Dispatch
