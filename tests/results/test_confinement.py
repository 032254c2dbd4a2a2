"""Names from suites and data stay names: none leaves the results folder, none becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.cli import app, guarded
from bench.commands.merge import merge
from bench.engine.dry import train_cohort
from bench.errors import ResultsError
from bench.plan import Plan, make_plan
from bench.report import write_index, write_report
from bench.results import Manifest, Results
from bench.schema import ASKED, TABLES
from bench.suite import parse_suite
from tests.inline import altered

HEAD = '[suite]\nname = "s"\nquestion = "q"\nreplicates = 1\n'
HOSTILE = [
    "../../etc/passwd.npz", "/etc/passwd.npz", "..\\\\..\\\\x.npz", "a/../../b.npz", "nul\\u0000.npz", "line\\n.npz",
    "...npz", "~/x.npz", "é.npz", "<script>alert(1)</script>.npz", "x" * 5000 + ".npz", "m" * 300 + ":f", "a.b.c:d.e",
]  # fmt: skip
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST = 255 - len(".parquet.writing")  # bytes of a file's name


def digest_of(path: str) -> str:
    """Of a file that nobody needs to have, for nothing here reads it."""
    return sha256(path.encode()).hexdigest()


def planned(level: str) -> Plan:
    setting = f'[factors]\ndataset = ["{level}", "digits"]\n[fixed]\nsteps = 3\n'
    return make_plan(parse_suite(HEAD + setting, Path("s.toml"), digest_of=digest_of))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of a suite whose dataset is named as markup and as a way out."""
    text = HEAD + '[factors]\ndataset = ["../<b>x</b>.npz", "digits"]\n[fixed]\nsteps = 3'
    suite = parse_suite(text, Path("s.toml"), digest_of=digest_of)
    store = Results(tmp_path / "reports" / "s")
    for cohort in make_plan(suite).cohorts:
        store.write(cohort.key, train_cohort(cohort))
    store.write_manifest(
        replace(
            Manifest.of(suite, make_plan(suite), dry=True), question='"><img src=x onerror=alert(1)>',
            title="</title><script>alert(2)</script>", machine={"cores": "<i>2</i>"},
            command="bench run '</code><script>alert(3)</script>'",
        )
    )  # fmt: skip
    return store.folder


@pytest.mark.parametrize("level", HOSTILE)
def test_keys_are_plain_file_names_and_tables_are_written_inside_the_folder_alone(level: str, tmp_path: Path) -> None:
    store, plan = Results(tmp_path / "out"), planned(level)
    for name in [*(cohort.key for cohort in plan.cohorts), *(run.run_id for run in plan.runs)]:
        assert SAFE.fullmatch(name), name
        assert len(name.encode()) <= LONGEST
    for cohort in plan.cohorts:
        store.write(cohort.key, train_cohort(cohort))
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    tables = {store.folder / "tables" / t / f"{c.key}.parquet" for t in TABLES if t not in ASKED for c in plan.cohorts}
    assert written == tables | {store.folder / "digests" / f"{c.key}.json" for c in plan.cohorts}
    with pytest.raises(Exception, match=r"\[suite\] name"):
        parse_suite(HEAD.replace('"s"', f'"{level}"') + "[factors]\ndepth = [2]", Path("s.toml"))


@pytest.mark.parametrize(
    "run", ["../../../secret", "/etc/passwd", "..", "", "x" * 5000, "*", "d4-relu/../x", "\x1b[2J"]
)
def test_show_looks_in_the_tables_alone(results: Path, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    (results.parent.parent / "secret").write_text("secret")
    assert guarded(lambda: app(["show", str(results), run], standalone_mode=False)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert len(said) < 2000 and "\x1b" not in said


OUT = ["../../../out", "/out", "a\0b", "x" * 5000, "\x1b[2J</td><script>alert(4)</script>"]


@pytest.mark.parametrize(
    ("column", "value"),
    [*(("cohort", value) for value in OUT), *((name, OUT[-1]) for name in ("cell_key", "dataset", "error", "suite"))],
)
def test_words_in_tables_name_no_files_and_are_no_markup(
    results: Path, column: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    altered(results, "runs", lambda rows: rows[0].update({column: value}))
    before = {path for path in results.parent.parent.rglob("*") if path.is_file()}
    try:
        merge([results], results.parent / "merged")
        made = {path.relative_to(results.parent / "merged") for path in (results.parent / "merged").rglob("*.parquet")}
        assert made == {path.relative_to(results) for path in results.rglob("*.parquet")}
    except ResultsError:
        assert not (results.parent / "merged").exists()
    run = pq.read_table(sorted((results / "tables" / "runs").glob("*.parquet"))[0])["run_id"][0].as_py()
    assert guarded(lambda: app(["show", str(results), run], standalone_mode=False)) == 0
    assert "\x1b" not in capsys.readouterr().out
    here = results.parent / "merged"
    after = {path for path in results.parent.parent.rglob("*") if path.is_file() and here not in path.parents}
    assert after == before


def test_a_run_id_that_is_a_path_is_neither_merged_nor_a_file(results: Path) -> None:
    for table in ("runs", "gradient_norms", "activations", "loss_curves", "evaluations"):
        altered(results, table, lambda rows: rows[0].update(run_id="../../x"))
    with pytest.raises(ResultsError, match=r"run \.\./\.\./x is in several files|are not planned .* \.\./\.\./x "):
        merge([results], results.parent / "merged")
    assert not (results.parent / "merged").exists()


def test_the_page_escapes_every_word_and_links_nowhere_else(results: Path) -> None:
    markup = {"error": "<script>alert(4)</script>", "cell_key": "<img src=y onerror=alert(5)>"}
    altered(results, "runs", lambda rows: rows[0].update(markup))
    page = write_report(results).read_text()
    listed = (results.parent / "index.html").read_text()
    own = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert "<script>alert" not in page
    for html in (own, listed):
        for markup in ("<script>alert", "<img src", "<b>x</b>", "<i>2</i>", "</title><", "</code><script"):
            assert markup not in html
    for target in re.findall(r' (?:href|src|action)="([^"]*)"', own):
        assert target.startswith(("#", "https://", "data:,")), target
    links = re.findall(r'href="([^"]*)"', listed)
    assert links and all(link in ("s/index.html", "data:,") or link.startswith("#") for link in links)


def test_a_folders_name_is_quoted_in_the_list_of_reports(results: Path) -> None:
    odd = results.rename(results.parent / 'a b"><script>alert(6)<#?%2e%2e')
    (odd / "index.html").write_text("a report")
    write_index(odd)
    listed = (odd.parent / "index.html").read_text()
    assert "<script>alert" not in listed
    assert 'href="a%20b%22%3E%3Cscript%3Ealert%286%29%3C' in listed
