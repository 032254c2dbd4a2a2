"""The recipes for a quantity, a rule set, a claim and a chapter of the report, followed in a copy of the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.suite import load_suite
from tests.extending.recipes import WRITTEN, Copy, copied, recipe
from tests.extending.test_levels import SUITE
from tests.inline import Tiny, bench

ANCHORS = {  # where the blocks of a quantity go, in order
    "A quantity": [
        ("bench/quantities.py", '    Quantity("milliseconds_per_step"'),
        ("bench/schema.py", '            "large_fraction": _real('),
        ("bench/engine/probes.py", '    "nonpositive_fraction", "large_fraction", "pair_correlation",'),
        ("bench/engine/probes.py", "            _share(tf.abs(u) >= LARGE_INPUT"),
    ]
}
TWO_DEPTHS = (
    SUITE.replace("replicates = 1", "replicates = 3")
    .replace("depth = 2\n", 'activation = "tanh"\n')
    .format(factors="depth = [2, 16]")
)


@pytest.fixture
def project(tmp_path: Path) -> Copy:
    return copied(tmp_path)


@pytest.mark.full
def test_a_new_quantity_of_a_new_column_is_measured_shown_and_claimed(project: Copy) -> None:
    blocks = recipe("A quantity")
    for block, (place, anchor) in zip(blocks, ANCHORS["A quantity"], strict=True):
        assert block.place == place
        project.insert(place, anchor, block.text)
    claim = recipe("A claim")[0].text.replace("signal_ratio_start", "largest_activation_end")
    project.write("s.toml", TWO_DEPTHS + claim)
    project.run("-m", "bench", "run", "s.toml", "--out", "results")
    runs = json.loads(project.run("-c", SHOWN))
    assert len(runs) == 6
    assert all(0.0 < float(value) <= 1.0 for value in runs.values())
    assert "largest_activation_end" in project.run("-m", "bench", "show", "results", next(iter(runs)))
    page = sections(project)
    assert "largest_activation_end" in json.dumps(page["definitions"])
    assert "largest_activation_end" in json.dumps(page["claims"])
    assert "| `largest_activation_end` |" in project.run("-m", "bench", "schema", "--tables")


def sections(project: Copy) -> dict[str, list[dict[str, object]]]:
    """The blocks of each section of the page, those within folds too."""
    page = json.loads(project.run("-m", "bench", "report", "results", "--dump"))
    return {section["id"]: within(section["blocks"]) for section in page["sections"]}


def within(blocks: list[dict]) -> list[dict]:
    """The blocks and those that they hold, in order."""
    return [each for block in blocks for each in (block, *within(block.get("blocks", [])))]


SHOWN = """
import json
from bench.analysis import judge
from bench.results import read_tables
from pathlib import Path
print(judge(read_tables(Path("results"))).set_index("run_id")["largest_activation_end"].to_json())
"""


def test_a_new_claim_is_judged(tiny: Tiny) -> None:
    (block,) = recipe("A claim")
    (tiny.folder / "s.toml").write_text(TWO_DEPTHS + block.text)
    out = tiny.run(suite=load_suite(tiny.folder / "s.toml"))
    (claim,) = json.loads(bench("claims", out, "--json").stdout)
    assert (claim["id"], claim["parts"][0]["counts"]["replicates"]) == ("depth-weakens", 3)
    assert (claim["paper"], claim["differs"]) == ("", "")
    assert "In the source" not in bench("claims", out, "--markdown").stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict]]:
    """The page of a project with a rule set and a chapter of its own, and the sections of its dump."""
    project = copied(tmp_path_factory.mktemp("written"))
    for block in (*recipe("A rule set"), recipe("A chapter of the report")[0]):
        project.write(block.place, block.text)
    name = recipe("A chapter of the report")[1]
    project.insert(name.place, '    "lesson",', name.text)
    chosen = '[verdicts]\nrules = ["loud"]\nthresholds = { "loud.vanishing.signal_ratio" = -0.5 }\n'
    project.write("s.toml", TWO_DEPTHS + chosen)
    sections = json.loads(project.run("-c", WRITTEN))["sections"]
    return (project.folder / "results" / "index.html").read_text("utf-8"), sections


@pytest.mark.full
def test_a_new_rule_set_judges_every_run(written: tuple[str, list[dict]]) -> None:
    page = {section["id"]: within(section["blocks"]) for section in written[1]}
    assert [each["name"] for each in page["explorer"][0]["data"]["sets"]] == ["gradtrial_watching", "loud"]
    tables = [block for block in page["agreement"] if block["block"] == "table"]
    assert any(row[0] == "Loud" for row in tables[0]["rows"]), tables[0]


@pytest.mark.full
def test_a_chapter_is_on_the_page_in_the_answer_and_in_the_dump(written: tuple[str, list[dict]]) -> None:
    page, sections = written
    assert '<a href="#sizes">Sizes</a>' in page
    assert '<section id="sizes">' in page and "<caption>Runs by size</caption>" in page
    (sizes,) = [each for each in sections if each["id"] == "sizes"]
    (said,) = sizes["short"]
    assert said["text"].startswith("Networks have ") and page.count(said["text"]) == 2
    (table,) = [block for block in within(sizes["blocks"]) if block["block"] == "table"]
    assert [row[1] for row in table["rows"]] == ["3", "3"]
