"""A local `.npz` file as arrays: numbers only, nothing unpickled, nothing larger than it may be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from bench.errors import DataError, printable

NAMES = ("x_train", "y_train", "x_test", "y_test")  # Keras's own layout
MAX_BYTES = 8 * 2**30  # of a file's arrays, unpacked: a few kB can unpack to any size
OBJECTS = " Sequences of unequal length make such an array: pad them to one length, or cut them."
MAX_REASON = 200  # characters of what numpy or zipfile say


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A local file in Keras's own layout: x_train, y_train, x_test, y_test.

    Raises:
        DataError: the file is missing, unreadable or too large, or lacks an array. Objects are never unpickled.
    """
    where = f'dataset "{path}"'
    check_there(path, where)
    try:
        _check_size(path, where)
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in NAMES if name not in archive]
            if missing:
                raise DataError(
                    f"{where}: lacks {', '.join(missing)}; it holds {', '.join(archive.files)[:MAX_REASON]}."
                )
            x_train, y_train, x_test, y_test = (_array(archive[name], name) for name in NAMES)
    except DataError:
        raise
    except Exception as error:  # zipfile, numpy and the file system each raise their own
        reason = printable(str(error) or type(error).__name__)[:MAX_REASON]
        hint = OBJECTS if "Object arrays" in reason else ""
        raise DataError(f"{where}: not a readable .npz of plain arrays ({reason}).{hint}") from error
    return x_train, y_train, x_test, y_test


def check_there(path: Path, where: str) -> None:
    """Refuse a path that is no file's; `where` is what a message begins with.

    Raises:
        DataError: there is no such file, or none can have that name.
    """
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:  # a name that no file can have
        raise DataError(f"{where}: not a file's name ({error}).") from error
    if not found:
        raise DataError(f"{where}: there is no such file (looked in {path.absolute().parent}).")


def _check_size(path: Path, where: str) -> None:
    """Refuse what would unpack to more than MAX_BYTES. What an entry says of its size is checked as it is read."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise DataError(f"{where}: its arrays take {size / 2**30:.1f} GiB; the limit is {MAX_BYTES / 2**30:.0f} GiB.")


def _array(found: object, name: str) -> np.ndarray:
    if not isinstance(found, np.ndarray):  # numpy gives the bytes of an entry that is no array
        raise ValueError(f"{name} is not an array")
    return found
