"""How fast the engine is, beside a plain Keras loop, `Model.fit` and a hand-written JAX `vmap`: `benchmarks.speed`.

How large a report can be: `python -m benchmarks.report_scale`; the same rows in benchopt: `benchmarks.benchopt_report`.
"""
