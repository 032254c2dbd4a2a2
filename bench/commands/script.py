"""`bench script`: a run as a plain Keras script."""

from __future__ import annotations

import os
from pathlib import Path


def script(results: Path, run_id: str, out: Path) -> None:
    """Write the script of a run and print what was written.

    Raises:
        BenchError: there is no such run, no script of it can be written, or a file is there already.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what TensorFlow says of itself is not asked for
    from bench.script import write_script

    for path in write_script(results, run_id, out):
        print(path)
