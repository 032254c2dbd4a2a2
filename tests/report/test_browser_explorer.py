"""The explorer in a browser: filters, links, the table of cells, the brush, and all of it by keyboard."""

from __future__ import annotations

import re
from urllib.parse import quote

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from bench.analysis import estimate
from bench.quantities import quantity
from tests.browser import Report, Visit, cells_shown, mark_at

pytestmark = pytest.mark.full  # a browser takes minutes

FACTORS = ["depth", "activation", "initializer", "clipping"]
ACCURACY = "final_validation_accuracy"


def cells_of(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return {tuple(map(str, row)) for row in rows[FACTORS].drop_duplicates().itertuples(index=False)}


def every_cell(page: Page) -> list[list[str]]:
    """The rows of the table of cells, all on one page of it."""
    page.get_by_label("a page").select_option("100")
    return cells_shown(page)


def factors_shown(page: Page) -> set[tuple[str, ...]]:
    return {tuple(row[: len(FACTORS)]) for row in every_cell(page)}


def ticked(page: Page) -> set[tuple[str, str]]:
    """Factor and level of each box that is ticked."""
    pairs = page.eval_on_selector_all(
        "#filters input:checked", "boxes => boxes.map(b => [b.dataset.factor, b.parentElement.textContent.trim()])"
    )
    return {(factor, level) for factor, level in pairs}


def test_the_table_holds_what_pandas_computes(mixed: Report, visit: Visit) -> None:
    shown = {tuple(row[:4]): row[4:] for row in every_cell(visit(mixed))}
    assert shown.keys() == cells_of(mixed.judged)
    medians = {
        name: estimate(mixed.judged, quantity(name), ["cell_key"]).set_index("cell_key")["median"]
        for name in ("signal_ratio_start", ACCURACY)
    }
    for key, runs in mixed.judged.groupby("cell_key"):
        row = shown[tuple(map(str, runs.iloc[0][FACTORS]))]
        counts = [len(runs), *((runs["outcome"] == each).sum() for each in ("learned", "diverged", "failed"))]
        assert row[:4] == [str(n) for n in counts]
        for text, name in zip(row[4:6], medians, strict=True):
            assert float(text.replace("−", "-")) == pytest.approx(medians[name][key], rel=6e-3)
        assert row[6].split() == ["0", "1"]


def test_an_unticked_level_leaves_counts_table_and_scatter(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    page.get_by_role("checkbox", name="linear").uncheck()
    kept = mixed.judged[mixed.judged["activation"] == "sigmoid"]
    expect(page.locator("#filtered")).to_have_text(mixed.counts(kept))
    expect(page.locator("#scatter-note")).to_contain_text(f"{len(kept)} runs drawn")
    page.get_by_role("checkbox", name="global_norm").uncheck()
    kept = kept[kept["clipping"] == "none"]
    expect(page.locator("#filtered")).to_have_text(mixed.counts(kept))
    assert factors_shown(page) == cells_of(kept)
    page.get_by_role("checkbox", name="sigmoid").uncheck()
    expect(page.locator("#filtered")).to_have_text(mixed.counts(mixed.judged.iloc[:0]))
    assert cells_shown(page) == [["No cell fits."]]
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#filtered")).to_have_text(mixed.counts(mixed.judged))
    assert len(ticked(page)) == 8


def test_filters_changed_at_once_leave_one_chart(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    page.evaluate("document.querySelectorAll('#filters input').forEach((box, k) => k % 2 && box.click())")
    expect(page.locator("#scatter-note")).to_contain_text("2 runs drawn")
    page.evaluate("document.querySelector('#filters-clear').click()")
    expect(page.locator("#scatter-note")).to_contain_text("32 runs drawn")
    expect(page.locator("#scatter canvas")).to_have_count(1)
    expect(page.locator("#scatter-downloads")).to_have_count(1)


@pytest.mark.parametrize("initializer", ["orthogonal(gain=1.5)", quote("orthogonal(gain=1.5)", safe="")])
def test_a_link_sets_exactly_its_filters(mixed: Report, visit: Visit, initializer: str) -> None:
    page = visit(mixed, f"#where=depth:4|30;initializer:{initializer};clipping:none")
    level = "orthogonal(gain=1.5)"
    others = {("depth", "4"), ("depth", "30"), ("activation", "linear"), ("activation", "sigmoid")}
    assert ticked(page) == others | {("initializer", level), ("clipping", "none")}
    kept = mixed.judged[(mixed.judged["initializer"] == level) & (mixed.judged["clipping"] == "none")]
    expect(page.locator("#filtered")).to_have_text(mixed.counts(kept))
    assert factors_shown(page) == cells_of(kept)


def test_a_link_that_is_not_well_formed_does_no_harm(mixed: Report, visit: Visit) -> None:
    page = visit(mixed, "#where=depth:%E0%A4%A;nonsense;:;unknown:1")
    expect(page.locator("#filtered")).to_have_text(mixed.counts(mixed.judged.iloc[:0]))  # no depth is called that
    assert ("activation", "sigmoid") in ticked(page)


def test_headings_sort_by_click_and_by_key(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    heading = page.get_by_role("columnheader", name="final validation accuracy")

    def accuracies() -> list[float]:
        return [float(row[9]) for row in every_cell(page)]

    heading.click()
    assert accuracies() == sorted(accuracies())
    assert len(set(accuracies())) > 1
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert accuracies() == sorted(accuracies(), reverse=True)
    depth = page.locator("#cells").get_by_role("columnheader", name="depth")
    depth.get_by_role("button").press("Space")
    expect(depth).to_have_attribute("aria-sort", "ascending")
    depths = [int(row[0]) for row in every_cell(page)]
    assert depths == sorted(depths)  # numbers, not words: 4 before 30


def test_search_keeps_the_cells_with_the_word(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    page.get_by_label("Search cells:").fill("gain=1.5 sigmoid")
    kept = mixed.judged[mixed.judged["initializer"].str.contains("gain") & (mixed.judged["activation"] == "sigmoid")]
    assert factors_shown(page) == cells_of(kept)
    expect(page.locator(".dt-info")).to_have_text("1 to 4 of 4 cells (of 16)")


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over the scatter; pixels from its left edge and upwards from its lower edge."""
    canvas = page.locator("#scatter canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    bottom = box["y"] + box["height"]
    page.mouse.move(box["x"] + start[0], bottom - start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + (start[0] + end[0]) / 2, bottom - (start[1] + end[1]) / 2)
    page.mouse.move(box["x"] + end[0], bottom - end[1])
    page.mouse.up()


def test_a_brush_keeps_the_cells_of_the_runs_in_it(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    lower = mixed.judged[mixed.judged[ACCURACY] < 0.5]
    lower_left = lower[lower["signal_ratio_start"] < -8]
    assert not lower["signal_ratio_start"].between(-12, -3).any()  # where the rectangle ends, about −7, there is no run
    assert 0 < len(lower_left) < len(lower) < len(mixed.judged)
    drag(page, (60, 45), (1090, 180))
    expect(page.locator("#filtered")).to_have_text(mixed.counts(lower))
    assert factors_shown(page) == cells_of(lower)
    page.get_by_role("checkbox", name="global_norm").uncheck()  # a filter ends the brush
    unclipped = mixed.judged[mixed.judged["clipping"] == "none"]
    expect(page.locator("#filtered")).to_have_text(mixed.counts(unclipped))
    drag(page, (60, 45), (560, 180))
    expect(page.locator("#filtered")).to_have_text(mixed.counts(lower_left[lower_left["clipping"] == "none"]))


def test_a_mark_says_which_run_it_is_and_opens_it(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    where = mark_at(page)
    page.mouse.move(*where)
    tip = page.locator("#vg-tooltip-element")
    expect(tip).to_contain_text("at initialization")
    said = tip.inner_text()
    page.mouse.click(*where)
    expect(page.locator("#run")).to_be_visible()
    assert page.locator("#run-name").inner_text() in said


def test_other_axes_can_be_chosen(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    page.get_by_label("Up:").select_option("final_train_loss")
    page.get_by_label("Across:").select_option("steps_completed")
    said = re.compile("^Scatter of final train loss .* against steps completed")
    expect(page.locator("#scatter")).to_have_attribute("aria-label", said)


FOCUSED = """() => {
  const now = document.activeElement, style = getComputedStyle(now), box = now.getBoundingClientRect();
  const places = { "#filters": "filter", thead: "heading", ".dt-paging": "pager", ".downloads": "save",
                   "#cells td": "replicate" };
  const place = Object.keys(places).find(selector => now.closest(selector));
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return { kind: places[place] ?? (now.id || now.tagName.toLowerCase()), ring, size: box.width * box.height };
}"""


def test_tab_reaches_everything_and_shows_where_it_is(mixed: Report, visit: Visit) -> None:
    page = visit(mixed, "#explorer")
    page.locator("#filters input").first.focus()
    reached = [page.evaluate(FOCUSED)]
    while [each["kind"] for each in reached[-2:]] != ["pager", "pager"] and len(reached) < 120:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    kinds = [each["kind"] for each in reached]
    expected = ["filter"] * 8 + ["filters-clear", "axis-x", "axis-y"] + ["save"] * 3
    assert kinds[: len(expected)] == expected
    assert kinds.count("heading") == 10
    assert kinds.count("replicate") == 20
    assert {"dt-search-0", "dt-length-0", "pager"} <= set(kinds)
    assert [each for each in reached if not (each["ring"] and each["size"])] == []


def test_keys_alone_filter_and_open_and_close_a_run(mixed: Report, visit: Visit) -> None:
    page = visit(mixed)
    page.locator("#filters input").first.focus()
    page.keyboard.press("Space")
    kept = mixed.judged[mixed.judged["depth"] == 30]
    expect(page.locator("#filtered")).to_have_text(mixed.counts(kept))
    page.locator("#filters-clear").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#filtered")).to_have_text(mixed.counts(mixed.judged))
    page.locator("#cells td a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#run")).to_be_focused()
    expect(page.locator("#run")).to_be_in_viewport()
    page.locator("#run-close").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#run")).to_be_hidden()
    expect(page.locator("#filtered")).to_be_focused()
    page.go_back()
    expect(page.locator("#run")).to_be_visible()
