"""Results folders altered in many ways: a page, a run's text or a merged folder, or one clear message."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands.merge import merge
from bench.commands.show import show_run
from bench.engine.dry import train_cohort
from bench.errors import BenchError, ResultsError
from bench.plan import make_plan
from bench.report import dump_report, write_report
from bench.results import Manifest, Results, count_statuses, now, read_tables
from bench.schema import ASKED, FACTOR_COLUMNS, TABLES
from bench.suite import parse_suite
from tests.cohorts import suite_text
from tests.suite.mutations import examples, values

TEXT = suite_text(
    "s", "q", 2, {"steps": 8, "width": 8, "activation": "linear"},
    depth=[2, 30], initializer=["glorot_uniform", {"level": "orthogonal", "gain": 1.5}], learning_rate=[0.01, 0.1],
)  # fmt: skip
WHOLE = st.sampled_from([0, 1, -1, 2, 7, 100, 2**31 - 1, 2**31, 2**62, -(2**63)])
REAL = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e308, 5e-324, float("nan"), float("inf"), -float("inf")])
WORD = st.sampled_from(["", "x", "completed", "failed", "train", "nan", "head", "<script>", "../../x", "\0", "é" * 300])
POOLS = {pa.int64(): WHOLE, pa.float64(): REAL, pa.bool_(): st.booleans(), pa.string(): WORD}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dry results folder of one file a table and cohort."""
    folder = tmp_path_factory.mktemp("sound") / "s"
    suite = parse_suite(TEXT, Path("s.toml"))
    plan = make_plan(suite)
    for cohort in plan.cohorts:
        Results(folder).write(cohort.key, train_cohort(cohort))
    Results(folder).write_manifest(replace(Manifest.of(suite, plan, dry=True), ended=now(), machine={"cores": 2}))
    return folder


@contextlib.contextmanager
def copied(folder: Path) -> Iterator[Path]:
    work = folder.parent / "work" / "s"
    shutil.rmtree(work.parent, ignore_errors=True)
    shutil.copytree(folder, work)
    yield work
    shutil.rmtree(work.parent)


def light_commands(folder: Path) -> None:
    """`show` and `merge`: each does its work or ends in one message, and a merge that fails leaves nothing."""
    out = folder.parent / "merged"
    with contextlib.redirect_stdout(io.StringIO()):
        one_message(lambda: count_statuses(folder))
        one_message(lambda: show_run(folder, "d2-linear-glorot_uniform"))
        with contextlib.suppress(BenchError):
            show_run(folder, str(read_tables(folder)["runs"]["run_id"].iloc[0]))
        merged = one_message(lambda: merge([folder], out))
    assert out.exists() == (merged == "")
    assert {path.name for path in folder.parent.iterdir()} <= {"s", "merged"}
    shutil.rmtree(out, ignore_errors=True)


def one_message(command: Any) -> str:
    try:
        command()
    except BenchError as error:
        assert 0 < len(str(error)) < 2000
        return str(error)
    return ""


def page(folder: Path) -> str:
    return one_message(lambda: json.dumps(dump_report(folder)))


@st.composite
def altered_table(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """The table with other values, columns or rows; what a column holds keeps its type, unless it is to change."""
    what = draw(
        st.sampled_from(["some", "some", "all", "reals", "rows", "few", "twice", "none", "drop", "type", "name"])
    )
    at = draw(st.integers(0, table.num_columns - 1))
    field, count = table.schema.field(at), len(table)
    if what in ("some", "all"):
        new = draw(st.none() | POOLS[field.type])
        changed = set(range(count)) if what == "all" else draw(st.sets(st.integers(0, max(0, count - 1)), max_size=3))
        column = [new if row in changed else old for row, old in enumerate(table.column(at).to_pylist())]
        return table.set_column(at, field, pa.array(column, field.type))
    if what == "reals":
        for index, each in enumerate(table.schema):
            if each.type == pa.float64():
                table = table.set_column(index, each, pa.array([draw(REAL)] * count, each.type))
        return table
    if what == "drop":
        return table.remove_column(at)
    if what == "type":
        other = draw(st.sampled_from([pa.string(), pa.int32(), pa.float32(), pa.list_(pa.int64()), pa.binary()]))
        return table.set_column(at, field.name, pa.nulls(count, other))
    if what == "name":
        return table.rename_columns([draw(WORD) if k == at else n for k, n in enumerate(table.column_names)])
    if what == "twice":
        return pa.concat_tables([table, table.slice(draw(st.integers(0, count)), 2)])
    if what == "few":
        return table.slice(draw(st.integers(0, count)), draw(st.integers(1, 3)))
    return (
        table.slice(0, 0) if what == "none" else table.take(pa.array(draw(st.permutations(range(count))), pa.int64()))
    )


def alter(data: st.DataObject, folder: Path) -> None:
    shutil.rmtree(folder / "digests")  # as in a folder of an older version
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from([table for table in TABLES if table not in ASKED]))
        path = data.draw(st.sampled_from(sorted((folder / "tables" / name).glob("*.parquet"))))
        table = pq.read_table(path)
        if table.num_columns == len(TABLES[name].columns) and table.schema.types == TABLES[name].arrow.types:
            pq.write_table(data.draw(altered_table(table)), path)


@examples(75, few=4)
@given(data=st.data())
def test_altered_tables_are_shown_and_merged_or_refused(sound: Path, data: st.DataObject) -> None:
    with copied(sound) as folder:
        alter(data, folder)
        light_commands(folder)
        if data.draw(st.integers(0, 4)) == 0:  # it takes a second
            page(folder)


@examples(70, few=10)
@given(data=st.data())
def test_damaged_files_are_refused_by_name(sound: Path, data: st.DataObject) -> None:
    with copied(sound) as folder:
        path = data.draw(st.sampled_from(sorted((folder / "tables").rglob("*.parquet"))))
        content = bytearray(path.read_bytes())
        how = data.draw(st.sampled_from(["cut", "bytes", "bytes", "missing", "folder", "empty"]))
        if how == "bytes":
            for _ in range(data.draw(st.integers(1, 8))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        elif how == "cut":
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how != "missing":
            path.write_bytes(b"" if how == "empty" else content)
        light_commands(folder)
        if how not in ("bytes", "missing"):
            with pytest.raises(ResultsError, match=path.name):
                read_tables(folder)


@examples(60, few=2)
@given(data=st.data(), whole=st.booleans())
def test_an_altered_manifest_has_a_page_or_one_message(sound: Path, data: st.DataObject, whole: bool) -> None:
    with copied(sound) as folder:
        path, out = folder / "manifest.json", folder.parent / "out"
        manifest = json.loads(path.read_text())
        holder = (
            manifest if whole else data.draw(st.sampled_from([v for v in manifest.values() if isinstance(v, dict)]))
        )
        name = data.draw(st.sampled_from([*holder, "x"]))
        if data.draw(st.integers(0, 3)):
            holder[name] = data.draw(values)
        else:
            holder.pop(name, None)
        path.write_text(json.dumps(manifest, default=str))
        with contextlib.redirect_stdout(io.StringIO()):
            merged = one_message(lambda: merge([folder], out))
        assert out.exists() == (merged == "")
        page(folder)


def test_a_manifest_with_a_foreign_value_or_of_none_is_named(sound: Path) -> None:
    texts = ["", "{", "[]", "null", '"x"', "[" * 9000, '{"suite": NaN}', '{"suite": "\\ud800"}', "{}", "\ufeff{}"]
    changes: tuple[dict[str, Any], ...] = (
        {"verdicts": {"rules": ["x"]}}, {"verdicts": {"thresholds": {"outcome.learned_share": "x"}}},
        {"factors": {"depth": 3}}, {"factors": {"depth": [[1]]}}, {"planned": {"runs": None}}, {"question": None},
        {"text": 1}, {"versions": []}, {"replicates": True}, {"version": 3}, {"version": "1"},
    )  # fmt: skip
    with copied(sound) as folder:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        for text in (*texts, *(json.dumps(manifest | change) for change in changes)):
            path.write_text(text)
            with pytest.raises(ResultsError, match=str(path)):
                write_report(folder)
            assert not (folder / "index.html").exists()


def test_what_an_older_manifest_lacks_is_done_without_or_named(sound: Path) -> None:
    with copied(sound) as folder:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        for absent, said in (
            (["planned"], "lacks planned"),
            (["fixed", "machine"], "lacks fixed"),
            (["verdicts", "seed", "title", "command", "dry"], ""),
        ):
            path.write_text(json.dumps({name: value for name, value in manifest.items() if name not in absent}))
            assert said in page(folder) if said else page(folder) == ""


def test_every_measured_number_may_be_nan(sound: Path) -> None:
    with copied(sound) as folder:
        for path in (folder / "tables").rglob("*.parquet"):
            table = pq.read_table(path)
            for index, field in enumerate(table.schema):
                if field.type == pa.float64() and field.name not in FACTOR_COLUMNS:
                    table = table.set_column(index, field, pa.array([float("nan")] * len(table), field.type))
            pq.write_table(table, path)
        shutil.rmtree(folder / "digests")
        assert write_report(folder).stat().st_size > 10_000
