"""`bench new`: a commented suite that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import SuiteError
from bench.suite.file import MAX_NAME, NAME
from bench.suite.load import SCHEMA, SHIPPED, known_suites

TEMPLATE = """\
#:schema {schema}
# Try `bench check {name}`, then `bench plan {name}`, then `bench run {name}`. The report is reports/{name}/index.html.

[suite]
name = "{name}"
question = "Does normalization keep the gradient of a deep tanh network alive?"
replicates = 3              # each cell is trained this often; replicate k has the same data order in every cell

# Every combination of these levels is a cell. `bench list` shows all factors, `bench list activation` its levels.
[factors]
depth = [4, 16]
activation = ["tanh", "relu"]
normalization = ["none", "batch_normalization"]
# A level with settings is a table: initializer = ["he_normal", {{ level = "orthogonal", gain = 1.5 }}]

# What does not vary, where the default is not it.
[fixed]
dataset = "digits"          # or "mine.npz", or {{ level = "csv", path = "mine.csv", target = "price" }}
steps = 100
learning_rate = 0.05

# Take cells away, or add some:
# [[exclude]]
# depth = 16
# activation = "relu"
#
# [[include]]
# activation = "tanh"
# skip = "residual"
"""


def new_suite(name: str) -> Path:
    """Write a suite of that name, into the folder `suites` if there is one; returns the file.

    Raises:
        SuiteError: the name cannot be a suite's, or there is a suite of that name.
    """
    if not re.fullmatch(NAME, name) or len(name) > MAX_NAME:
        raise SuiteError(
            f'"{name[:MAX_NAME]}" cannot be a suite\'s name: A to Z, a to z, digits, _ and -, '
            f"{MAX_NAME} characters at most, the first a letter or digit."
        )
    taken = known_suites().get(name)
    if taken is not None:
        raise SuiteError(f'there is a suite "{name}" already: {taken}. Choose another name.')
    folder = Path("suites") if Path("suites").is_dir() else Path()
    schema = SCHEMA if (folder / SCHEMA).is_file() else (SHIPPED / SCHEMA).resolve().as_uri()
    path = folder / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name, schema=schema))
    except OSError as error:
        raise SuiteError(f"{path}: the file cannot be written: {error.strerror}.") from None
    return path
