"""How fast the engine is, against a plain Keras loop and a hand-written JAX `vmap`: `python -m benchmarks.speed`."""
