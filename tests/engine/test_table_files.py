"""CSV and Parquet files: a target column, and inputs that are numbers; what cannot be used is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.engine.datasets import describe, kind_of, load, load_raw
from bench.engine.fitting import try_dataset
from bench.errors import DataError
from bench.factors import FACTORS, Choice, choose, content_digest

ROWS = 50
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"area": RNG.normal(90.0, 20.0, ROWS), "rooms": RNG.integers(1, 6, ROWS), "new": RNG.random(ROWS) < 0.3,
     "price": RNG.normal(2e5, 5e4, ROWS)}
)  # fmt: skip


def saved(folder: Path, table: pd.DataFrame = TABLE, suffix: str = "csv", **options: str) -> Path:
    path = folder / f"mine.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False, **options)
    else:
        table.to_parquet(path)
    return path


def chosen(path: Path, target: str = "price", **settings: str) -> Choice:
    written = {"level": path.suffix[1:], "path": str(path), "target": target} | settings
    return choose(FACTORS["dataset"], written)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_split_and_scaled_as_any_dataset_is(tmp_path: Path, suffix: str) -> None:
    choice = chosen(saved(tmp_path, suffix=suffix))
    x_train, y_train, x_validation, y_validation = load_raw(choice)
    order = np.random.default_rng(0).permutation(ROWS)
    x = TABLE[["area", "rooms", "new"]].to_numpy(np.float64)
    np.testing.assert_allclose(np.concatenate([x_train, x_validation]), x[order])
    np.testing.assert_allclose(np.concatenate([y_train, y_validation]), TABLE["price"].to_numpy()[order])
    assert len(x_validation) == len(y_validation) == 10
    load.cache_clear()
    data = load(choice, "standardize")
    np.testing.assert_allclose(data.x_train.std(axis=0), 1.0, rtol=1e-5)
    assert (str(kind_of(choice)), data.classes, data.shape) == ("values", 1, (3,))
    assert describe(choice).startswith(f"{choice.label}: 40 training and 10 validation rows of (3,), a value")
    assert try_dataset((choice, 8, ("mlp",))).endswith("its targets are values to predict")


@pytest.mark.parametrize(
    ("target", "kind", "asked", "says"),
    [
        (["b", "a", "c"], "auto", ("classes", 3), "its labels a, b, c are taken as the classes 0 to 2"),
        ([True, False], "auto", ("classes", 2), ""),
        ([1, 2, 4], "auto", ("classes", 3), "its labels 1, 2, 4 have gaps between them"),
        ([1.0, 2.0, 4.0], "auto", ("classes", 3), "its labels 1, 2, 4 have gaps between them"),
        ([1, 2, 4], "values", ("values", 1), "its targets are values to predict"),
        (range(ROWS), "auto", ("values", 1), "its targets are values to predict"),
        ([0.5, 2.0], "auto", ("values", 1), "its targets are values to predict"),
    ],
)
def test_what_a_target_asks_for_follows_from_its_entries_or_is_said(
    tmp_path: Path, target: list[object], kind: str, asked: tuple[str, int], says: str
) -> None:
    choice = chosen(saved(tmp_path, TABLE.assign(price=np.resize(np.array(target), ROWS))), kind=kind)
    load.cache_clear()
    data = load(choice, "standardize")
    assert (str(data.kind), data.classes) == asked
    assert says in try_dataset((choice, 8, ("mlp",)))


def test_other_separators_and_content_are_told_apart(tmp_path: Path) -> None:
    path = saved(tmp_path, sep=";")
    with pytest.raises(DataError, match=r'it has no column "price" .* another mark: separator = ";"'):
        load_raw(chosen(path))
    assert len(load_raw(chosen(path, separator=";"))[0]) == 40
    path = saved(tmp_path, sep="\t")
    with pytest.raises(DataError, match='separator = "tab"'):
        load_raw(chosen(path))
    assert len(load_raw(chosen(path, separator="tab"))[0]) == 40
    assert content_digest(path)


HOLE = TABLE["area"].where(TABLE.index != 7)


@pytest.mark.parametrize(
    ("table", "target", "kind", "says"),
    [
        (TABLE, "prise", "auto", ['no column "prise" (target). Did you mean "price"? Known: area, rooms, new, price.']),
        (TABLE.assign(area=HOLE), "price", "auto",
         ['column "area" has no entry in 1 of 50 rows, the first in row 7', 'table["area"].median()', "dropna()"]),
        (TABLE.assign(price=HOLE), "price", "auto", ['column "price" has no entry in 1 of 50 rows']),
        (TABLE.assign(city=["Rome", "Oslo"] * 25), "price", "auto",
         ['column "city" holds "Rome" in row 0', "is no number", 'get_dummies(table, columns=["city"])']),
        (TABLE.assign(area=HOLE.map(str).replace("nan", "?")), "price", "auto",
         ['column "area" holds "?" in row 7', 'pandas.to_numeric(table["area"], errors="coerce")']),
        (TABLE.assign(area=np.where(TABLE.index == 3, np.inf, 1.0)), "price", "auto",
         ['column "area" is infinite in 1 of 50 rows, the first in row 3']),
        (TABLE.assign(price=4.0), "price", "auto", ['"price" (target) is 4.0 in every row: there is nothing to']),
        (TABLE.assign(price="a"), "price", "auto", ['"price" (target) is a in every row']),
        (TABLE, "price", "classes", ['"price" (target) holds', "which is no class; values are for it"]),
        (TABLE.assign(price=["a", "b"] * 25), "price", "values", ['holds "a" in row 0', "no value to predict"]),
        (pd.concat([TABLE] * 4).assign(price=[f"house {n}" for n in range(200)]), "price", "auto",
         ["holds 200 different texts in 200 rows, which are no classes"]),
        (TABLE[["price"]], "price", "auto", ['"price" is its only column: there is no input']),
        (TABLE[:0], "price", "auto", ["it has columns and no row"]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence_with_file_and_column(
    tmp_path: Path, table: pd.DataFrame, target: str, kind: str, says: list[str]
) -> None:
    for suffix in ("csv", "parquet"):
        path = saved(tmp_path, table, suffix)
        with pytest.raises(DataError) as error:
            load_raw(chosen(path, target, kind=kind))
        said = str(error.value)
        assert [words for words in (str(path), *says) if words not in said] == []
        assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"a,price\n1,2\n3,4,5,6\n", "not a readable csv"),
        (b"a,price\n1,2,3\n4,5,6\n", "not a readable csv"),  # pandas would take the first column for row names
        (b"\xff\xfea,price\n1,2\n", "it is not in UTF-8"),
        (b"a,a,price\n1,2,3\n2,3,4\n", ""),  # pandas gives the second a name of its own
        (b"PAR1 cut short", "no column"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    if not says:
        assert load_raw(chosen(path))[0].shape == (2, 2)
        return
    with pytest.raises(DataError, match=says):
        load_raw(chosen(path))
    path = path.rename(tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=says if not content else "not a readable parquet"):
        load_raw(chosen(path))


def test_files_that_are_missing_or_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=f"there is no such file .looked in {tmp_path}"):
        load_raw(chosen(tmp_path / "absent.csv"))
    with pytest.raises(DataError, match="no such file"):
        load_raw(chosen(tmp_path.with_suffix(".csv")))
    monkeypatch.setattr("bench.engine.table_files.MAX_BYTES", 9)
    with pytest.raises(DataError, match="the limit is"):
        load_raw(chosen(saved(tmp_path)))
