"""How fast the engine is, against a plain Keras loop and a hand-written JAX `vmap`: `python -m benchmarks.speed`.

How large a report can be: `python -m benchmarks.report_scale`; the same rows in benchopt: `benchmarks.benchopt_report`.
"""
