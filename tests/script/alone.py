"""Run scripts where keras, tensorflow and numpy are all that is installed, several in one process.

`python -I alone.py FOLDER` runs each script of a folder and prints, as JSON, how it ended and what it said.
"""

from __future__ import annotations

import io
import json
import runpy
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

# What Keras and TensorFlow themselves come with, and what a user of this project has beside.
FOREIGN = (
    "bench", "tests", "pandas", "pyarrow", "scipy", "sklearn", "mnist1d", "seaborn", "matplotlib", "pydantic", "jinja2",
    "altair", "vl_convert", "itables", "typer", "ray", "jax",
)  # fmt: skip


class Missing:
    """An import finder of what is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in FOREIGN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def run(script: Path) -> tuple[int, str]:
    """The exit code of a script, and all that it printed."""
    import keras

    keras.utils.clear_session(free_memory=False)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
        except Exception:
            traceback.print_exc()
            return 1, said.getvalue()
    return 0, said.getvalue()


if __name__ == "__main__":
    sys.meta_path.insert(0, Missing())  # type: ignore[arg-type]
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # which takes longer than 20 steps
    sys.path.insert(0, sys.argv[1])  # modules of one's own lie beside the scripts
    print(json.dumps({path.stem: run(path) for path in sorted(Path(sys.argv[1]).glob("run_*.py"))}))
