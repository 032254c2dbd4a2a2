"""The recipe for a chapter of the report, followed in a copy of the project."""

from __future__ import annotations

import json

from tests.extending.recipes import Copy, recipe

SUITE = """
[suite]
name = "s"
question = "How large?"
replicates = 1
[factors]
depth = [2, 3]
[fixed]
steps = 3
"""


def test_a_chapter_is_on_the_page_in_the_answer_and_in_the_dump(project: Copy) -> None:
    file, name = recipe("A chapter of the report")
    project.write(file.place, file.text)
    project.insert(name.place, '    "lesson",', name.text)
    project.write("s.toml", SUITE)
    project.run("-m", "bench", "run", "s.toml", "--dry")
    page = (project.folder / "reports/s/index.html").read_text("utf-8")
    assert '<a href="#sizes">Sizes</a>' in page
    assert '<section id="sizes">' in page and "<caption>Runs by size</caption>" in page
    sections = json.loads(project.run("-m", "bench", "report", "reports/s", "--dump"))["sections"]
    (sizes,) = [each for each in sections if each["id"] == "sizes"]
    (said,) = sizes["short"]
    assert said["text"].startswith("Networks have ") and page.count(said["text"]) == 2
    assert [row[1] for row in sizes["blocks"][1]["rows"]] == ["1", "1"]
