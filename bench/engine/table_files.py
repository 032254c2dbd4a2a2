"""A local CSV or Parquet file as arrays: all columns but one are inputs, that one is the target."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.engine.npz import MAX_BYTES, MAX_REASON, check_there
from bench.engine.samples import FEW_CLASSES
from bench.errors import DataError, nearest, printable
from bench.factors import Choice

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ";\t|"  # what may stand between columns where a comma does not
TAB = "tab"


def read_table(choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [rows, columns] in float64, and the target [rows]: text for names, whole numbers for classes, else floats.

    Where the setting `kind` does not say, text and truth values are classes, whole numbers are classes where there are
    at most 100 different ones and at most half as many as rows, and all others are values.

    Raises:
        DataError: the file is missing or not readable, or a column cannot be used; the message names file and column.
    """
    path, target = Path(str(choice.setting("path"))), str(choice.setting("target"))
    where = f'dataset "{path}"'
    table = _read(path, where, choice)
    columns = [str(name) for name in table.columns]
    table.columns = columns
    _check_columns(where, columns, target, choice)
    if not len(table):
        raise DataError(f"{where}: it has columns and no row.")
    for name in columns:
        _check_complete(where, table[name], name)
    inputs = [_numbers(where, table[name], name) for name in columns if name != target]
    return np.stack(inputs, axis=1), _target(where, table[target], str(choice.setting("kind")))


def column_names(choice: Choice) -> list[str]:
    """The columns that are inputs, of a file that `read_table` reads."""
    path, target = Path(str(choice.setting("path"))), str(choice.setting("target"))
    return [str(name) for name in _read(path, f'dataset "{path}"', choice).columns if str(name) != target]


def _read(path: Path, where: str, choice: Choice) -> pd.DataFrame:
    import pandas as pd  # takes most of a second to import, and few suites need it

    check_there(path, where)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{where}: it takes {size / 2**30:.1f} GiB; the limit is {MAX_BYTES / 2**30:.0f} GiB.")
    if not size:
        raise DataError(f"{where}: the file is empty.")
    try:
        if choice.name == "parquet":
            return pd.read_parquet(path)
        separator = str(choice.setting("separator"))
        with warnings.catch_warnings():  # of rows that are longer than the header: what is beyond it would be lost
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path, sep="\t" if separator == TAB else separator, low_memory=False, engine="c", index_col=False
            )
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: it is not in UTF-8 ({error.reason}): save it as UTF-8.") from error
    except Exception as error:  # pandas, pyarrow and the file system each raise their own
        reason = printable(str(error) or type(error).__name__)[:MAX_REASON]
        raise DataError(f"{where}: not a readable {choice.name} ({reason}).") from error


def _check_columns(where: str, columns: list[str], target: str, choice: Choice) -> None:
    if target not in columns:
        hint = ""
        if choice.name == "csv" and len(columns) == 1:
            other = next((mark for mark in SEPARATORS if mark in columns[0]), "")
            spelt = TAB if other == "\t" else other
            hint = f' Columns stand apart by another mark: separator = "{spelt}".' if other else ""
        shown = nearest(target, [printable(name) for name in columns])
        raise DataError(f'{where}: it has no column "{printable(target)}" (target). {shown[:MAX_REASON]}{hint}')
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{where}: two columns are called "{printable(twice)}".')
    if len(columns) == 1:
        raise DataError(f'{where}: "{printable(target)}" is its only column: there is no input.')


def _check_complete(where: str, column: pd.Series, name: str) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        spelt = printable(name)
        fill = f'table["{spelt}"].fillna(table["{spelt}"].median())' if column.dtype.kind in "fiub" else "a name"
        raise DataError(
            f'{where}: column "{spelt}" has no entry in {len(missing)} of {len(column)} rows, the first in row '
            f"{missing[0]} (counted from 0). Fill it, as by {fill}, or leave such rows out: table.dropna()."
        )


def _is_number(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and column.dtype.kind in "fiub"


def _numbers(where: str, column: pd.Series, name: str) -> np.ndarray:
    """A column of inputs in float64.

    Raises:
        DataError: it holds something else, or infinity.
    """
    spelt = printable(name)
    if not _is_number(column):
        raise DataError(
            f'{where}: column "{spelt}" holds {_first_word(column)}, which is no number. {_mend(column, spelt)}'
        )
    numbers = np.asarray(column.to_numpy(dtype=np.float64))
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise DataError(
            f'{where}: column "{spelt}" is infinite in {len(wrong)} of {len(numbers)} rows, the first in row '
            f"{wrong[0]} (counted from 0)."
        )
    return numbers


def _first_word(column: pd.Series) -> str:
    """The first entry that is no number, and its row."""
    import pandas as pd

    numbers = pd.to_numeric(column.astype(str), errors="coerce").isna().to_numpy()
    row = int(np.flatnonzero(numbers)[0]) if numbers.any() else 0
    return f'"{printable(str(column.iloc[row]))[:40]}" in row {row} (counted from 0)'


def _mend(column: pd.Series, name: str) -> str:
    import pandas as pd

    numbers = pd.to_numeric(column.astype(str), errors="coerce")
    if numbers.notna().mean() > 0.5:
        return f'Make it numbers, as by pandas.to_numeric(table["{name}"], errors="coerce"), and fill what is left.'
    return (
        f'A name or date that tells nothing: table.drop(columns=["{name}"]). '
        f'A category: pandas.get_dummies(table, columns=["{name}"]).'
    )


def _target(where: str, column: pd.Series, kind: str) -> np.ndarray:
    """The target as what it is asked for."""
    name = printable(str(column.name))
    if not _is_number(column) and kind == "values":
        raise DataError(f'{where}: column "{name}" (target) holds {_first_word(column)}, which is no value to predict.')
    words = None if _is_number(column) else np.asarray(column.astype(str).to_numpy(), dtype=np.str_)
    different = len(np.unique(column.to_numpy() if words is None else words))
    if different == 1:
        only = printable(str(column.iloc[0]))[:40]
        raise DataError(f'{where}: column "{name}" (target) is {only} in every row: there is nothing to predict.')
    if words is not None:
        if different > max(FEW_CLASSES, len(words) / 2):
            raise DataError(
                f'{where}: column "{name}" (target) holds {different} different texts in {len(words)} rows, '
                f"which are no classes: {_first_word(column)}."
            )
        return words
    numbers = _numbers(where, column, name)
    whole = bool((numbers == np.round(numbers)).all())
    if kind == "auto":
        few = len(np.unique(numbers)) <= min(FEW_CLASSES, len(numbers) / 2)
        kind = "classes" if whole and few else "values"
    if kind == "classes" and not whole:
        part = numbers[numbers != np.round(numbers)][0]
        raise DataError(f'{where}: column "{name}" (target) holds {part}, which is no class; values are for it.')
    return numbers.astype(np.int64) if kind == "classes" else numbers
