"""The page of one run: its numbers are the tables', and it is written beside nobody else's file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from bench.errors import ResultsError
from bench.factors import OWN
from bench.report import write_run
from bench.report.blocks import Code, Table
from bench.report.run_page import run_page
from tests.cohorts import of_run
from tests.dry_results import EXPLODING, dry_results
from tests.inline import bench
from tests.report.pages import Nesting, altered, frames, save, text_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(dry_results(EXPLODING), tmp_path_factory.mktemp("runs") / "out")


def named(outcome: str) -> str:
    plain = frames(EXPLODING).plain
    return str(plain[plain["outcome"] == outcome]["run_id"].iloc[0])


@pytest.mark.parametrize("outcome", ["diverged", "learned"])
def test_curves_events_and_settings_are_the_tables(outcome: str) -> None:
    run_id = named(outcome)
    own = of_run(dry_results(EXPLODING).tables, run_id)
    page = run_page(frames(EXPLODING), own, run_id, "../index.html")
    (panel,) = page["course"].figure("course-loss").panels
    drawn = panel.rows[panel.rows["series"] == "training batch"]
    assert drawn["value"].to_numpy() == pytest.approx(own["loss_curves"]["loss"].to_numpy(), nan_ok=True)
    assert (panel.rows["series"] == "event").sum() == len(own["divergence_events"])
    norms = own["gradient_norms"][own["gradient_norms"]["layer_name"] != "head"]
    signal, weights = page["gradients"].figure("course-gradients").panels
    assert len(signal.rows) == len(weights.rows) == len(norms)
    with np.errstate(divide="ignore"):
        assert signal.rows["median"].to_numpy() == pytest.approx(np.log10(norms["preactivation_grad_norm"].to_numpy()))
    said = {row[0]: row[1] for row in page["settings"].of(Table)[0].rows}
    run = own["runs"].iloc[0]
    assert (said["depth"], said["activation"]) == (str(run["depth"]), run["activation"])
    words = {"diverged": "This run diverged: ", "learned": "This run trained: "}
    assert page.headline.startswith(words[outcome])
    if outcome == "diverged":
        cause = frames(EXPLODING).causes.set_index("run_id").loc[run_id]
        assert cause["cause"] in page.headline and f"step {cause['step']}" in page.headline
    (similar,) = page["similar"].of(Table)
    assert all(
        link.startswith("../index.html#run=") and link != f"../index.html#run={run_id}" for link in similar.links
    )


def test_the_page_is_whole_links_to_the_report_and_opens_offline(folder: Path) -> None:
    run_id = named("diverged")
    assert "index.html" not in write_run(folder, run_id).read_text("utf-8")
    (folder / "index.html").write_text("a report")
    path = write_run(folder, run_id[:-1] + run_id[-1])
    assert path == folder / "runs" / f"{run_id}.html"
    html = path.read_text("utf-8")
    parsed, links = Nesting(html), set()
    for tag, attributes in parsed.found:
        target = attributes.get("src") or attributes.get("href") or attributes.get("xlink:href") or ""
        if tag == "a" and target.startswith(".."):
            links.add(target.partition("#")[0])
        else:
            assert not target or target.startswith(("#", "data:")), target
    assert links == {"../index.html"}
    assert all((path.parent / unquote(link)).is_file() for link in links)
    assert run_id in text_of(html)


def test_a_name_is_found_by_its_beginning_or_the_nearest_is_offered(folder: Path, tmp_path: Path) -> None:
    run_id = named("learned")
    out = tmp_path / "odd name" / "one.html"
    done = bench("show", folder, run_id, "--html", out)
    assert (done.returncode, done.stdout) == (0, f"{out}\n")
    missing = bench("show", folder, f"{run_id[:-1]}9", "--html")
    assert missing.returncode == 2
    assert f'Did you mean "{run_id}"?' in missing.stderr or run_id[:-1] in missing.stderr
    assert bench("show", folder, run_id, out).returncode == 2  # a path without --html


def test_a_page_offers_the_script_of_a_run_that_a_suite_trained() -> None:
    run_id, own = named("learned"), of_run(dry_results(EXPLODING).tables, named("learned"))
    offered = [
        [block.text for block in run_page(altered(EXPLODING, told), own, run_id)["numbers"].of(Code)]
        for told in ({}, {"dry": True}, {"suite": OWN})
    ]
    assert [any(f"bench script RESULTS {run_id} " in text for text in texts) for texts in offered] == [
        True,
        False,
        False,
    ]


def test_a_file_that_is_no_page_of_ours_stays(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.html"
    path.write_text("mine")
    with pytest.raises(ResultsError, match=r"notes\.html: is no page of gradtrial's"):
        write_run(folder, named("learned"), path)
    assert path.read_text() == "mine"
