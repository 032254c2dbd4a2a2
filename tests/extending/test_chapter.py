"""The recipe for a chapter of the report, followed in a copy of the project."""

from __future__ import annotations

import json

from tests.dry_results import dry_results
from tests.extending.recipes import WRITTEN, Copy, recipe
from tests.extending.test_numbers import TWO_DEPTHS
from tests.report.pages import save


def test_a_chapter_is_on_the_page_in_the_answer_and_in_the_dump(project: Copy) -> None:
    file, name = recipe("A chapter of the report")
    project.write(file.place, file.text)
    project.insert(name.place, '    "lesson",', name.text)
    folder = save(dry_results(TWO_DEPTHS), project.folder / "results")
    sections = json.loads(project.run("-c", WRITTEN))["sections"]
    page = (folder / "index.html").read_text("utf-8")
    assert '<a href="#sizes">Sizes</a>' in page
    assert '<section id="sizes">' in page and "<caption>Runs by size</caption>" in page
    (sizes,) = [each for each in sections if each["id"] == "sizes"]
    (said,) = sizes["short"]
    assert said["text"].startswith("Networks have ") and page.count(said["text"]) == 2
    assert [row[1] for row in sizes["blocks"][1]["rows"]] == ["3", "3"]
