"""The whole page in a browser: offline, in both themes, narrow, printed, without JavaScript, and to axe's rules."""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser import Report, Visit, twin

pytestmark = pytest.mark.full  # a browser takes minutes

STATIC = "main svg[role=img]:not(.vega svg)"  # the figures that need no JavaScript
QUANTITIES = "Quantities: one number for each run"


def diverged(report: Report) -> str:
    return f"#run={report.run(outcome='diverged')['run_id']}"


def test_opened_offline_it_is_ready_and_silent(claiming: Report, visit: Visit) -> None:
    page = visit(claiming)  # at its end `visit` fails on any request, message or error
    expect(page.locator("#filtered")).to_have_text(claiming.counts(claiming.judged))
    expect(page.locator("#scatter-note")).to_contain_text(f"{len(claiming.judged)} runs drawn")
    expect(page.locator("#run")).to_be_hidden()


def test_a_claim_is_a_line_that_opens(claiming: Report, visit: Visit) -> None:
    page = visit(claiming)
    expect(page.locator("#claims .lead")).to_contain_text("1 is supported, 1 refuted, and 1 inconclusive")
    expect(page.locator("#claims summary .verdict")).to_have_text(["✓ supported", "✗ refuted", "? inconclusive"])
    expect(page.locator("#claims .thumb svg[role=img]").locator("visible=true")).to_have_count(3)
    numbers = page.locator("#card-vanish table")
    expect(numbers).to_be_hidden()
    page.locator("#card-vanish > summary").click()
    expect(numbers.locator("tbody tr")).to_have_count(3)  # one a replicate
    expect(page.locator("#claims figure svg[role=img]").locator("visible=true")).to_have_count(1)


def test_nothing_is_called_by_the_name_of_its_column(claiming: Report, visit: Visit) -> None:
    page = visit(claiming, f"#run={claiming.run(outcome='not_learned')['run_id']}")
    expect(page.locator("#run-said")).to_contain_text("did not learn (validation accuracy")
    shown = page.locator("body").inner_text()
    assert "not_learned" not in shown
    assert "loss_limit" not in shown


@pytest.mark.parametrize(("theme", "width"), [("light", 1200), ("dark", 390), twin("dark", 1200), twin("light", 390)])
def test_axe_finds_nothing(claiming: Report, visit: Visit, theme: str, width: int) -> None:
    page = visit(claiming, diverged(claiming), width, color_scheme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    expect(page.locator("#run-heatmap svg")).to_be_visible()
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


@pytest.mark.parametrize(
    ("width", "theme"),
    [(360, "light"), (768, "light"), (1280, "light"), (1600, "light"), (360, "dark"), twin(768, "dark"),
     twin(1280, "dark"), twin(1600, "dark")],
)  # fmt: skip
def test_nothing_is_wider_than_the_window(claiming: Report, visit: Visit, width: int, theme: str) -> None:
    page = visit(claiming, "", width, color_scheme=theme)
    page.locator(".avoid a").first.evaluate("a => a.append(' with random_normal(stddev=0.31622776601683794)')")
    root = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert root[0] <= root[1]
    assert (
        page.locator("#answer .first *").evaluate_all(  # neither a card's text nor a head of the map is cut
            "all => all.filter(e => !e.closest('.hidden, thead, .layers') && e.scrollWidth > e.clientWidth + 1"
            " && getComputedStyle(e).display === 'block').map(e => e.outerHTML.slice(0, 80))"
        )
        == []
    )
    menus = page.get_by_role("navigation", name="Sections").locator("visible=true")
    expect(menus).to_have_count(1)
    expect(menus.locator("summary").locator("visible=true")).to_have_count(int(width < 1100))


def test_the_first_screen_fits_a_laptop(claiming: Report, visit: Visit) -> None:
    page = visit(claiming, "", 1280)
    for part in ("h1", ".recipes", ".small-map", ".avoid"):
        box = page.locator(part).first.bounding_box()
        assert box is not None and box["y"] + box["height"] <= 800, part


@pytest.mark.parametrize("width", [320, twin(390)])
def test_a_narrow_page_scrolls_one_way_only(claiming: Report, visit: Visit, width: int) -> None:
    page = visit(claiming, diverged(claiming), width)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    table = page.get_by_role("region", name="Table of cells")
    assert table.evaluate("box => box.scrollWidth > box.clientWidth")  # its own box scrolls instead
    card = page.locator("#run").bounding_box()
    assert card is not None
    for each in page.locator("#run .scroll, #run table:not(.scroll > table), #run svg").all():
        box = each.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= card["x"] + card["width"]


def colours(page: Page) -> dict[str, tuple[int, int, int]]:
    """The page's variables, each as red, green, blue."""
    found: dict[str, tuple[int, int, int]] = page.evaluate(
        """() => {
          const named = ["paper", "card", "ink", "muted", "accent", "warning", "supported", "refuted"];
          const names = [...named, ...Array(8).keys()];
          const probe = document.body.appendChild(document.createElement("i"));
          return Object.fromEntries(names.map(name => {
            probe.style.color = `var(--${Number.isInteger(name) ? "series-" : ""}${name})`;
            return [name, getComputedStyle(probe).color.match(/\\d+/g).map(Number)];
          }));
        }"""
    )
    return found


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Contrast ratio of WCAG 2.2, 1 to 21."""

    def luminance(rgb: tuple[int, int, int]) -> float:
        red, green, blue = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_both_themes_have_colours_of_their_own_that_stand_out(claiming: Report, visit: Visit) -> None:
    page = visit(claiming, color_scheme="light")
    themes = [colours(page)]
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark")
    themes.append(colours(page))
    assert not [name for name in themes[0] if themes[0][name] == themes[1][name]]
    for theme in themes:
        for name, ground in itertools.product(theme.keys() - {"paper", "card"}, ["paper", "card"]):
            enough = 3.0 if name.isdigit() else 4.5  # lines and marks; text
            assert contrast(theme[name], theme[ground]) >= enough, (name, ground)


def test_a_change_of_theme_draws_the_charts_anew(claiming: Report, visit: Visit) -> None:
    page = visit(claiming, diverged(claiming), color_scheme="light")
    page.emulate_media(color_scheme="dark")
    grid = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--grid').trim()")
    for name in ("heatmap", "loss", "accuracy"):
        expect(page.locator(f"#run-{name} svg path.background").first).to_have_attribute("stroke", grid)
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector("#scatter canvas");
          return canvas && canvas.getContext("2d").getImageData(2, 2, 1, 1).data[0] < 60;
        }"""
    )


@pytest.mark.parametrize("opened", [False, True], ids=["no run open", "a run open"])
def test_print_shows_what_is_static_and_nothing_to_press(claiming: Report, visit: Visit, opened: bool) -> None:
    page = visit(claiming, diverged(claiming) if opened else "")
    figures = page.locator(STATIC).count()
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth")
    expect(page.locator("button, input, select, body > nav, #filters").locator("visible=true")).to_have_count(0)
    expect(page.locator(STATIC).locator("visible=true")).to_have_count(figures)
    expect(page.locator("#run-heatmap svg").locator("visible=true")).to_have_count(int(opened))
    details = page.get_by_text(QUANTITIES).locator("..").locator("dt")
    expect(details.last).to_be_visible()  # though the reader has not unfolded them
    assert "vanishing" in page.locator("#definitions").inner_text()


def test_without_javascript_every_static_figure_is_there(claiming: Report, visit: Visit) -> None:
    figures = visit(claiming).locator(STATIC).locator("visible=true").count()  # others are folded away
    page = visit(claiming, java_script_enabled=False)
    expect(page.locator(STATIC).locator("visible=true")).to_have_count(figures)
    assert figures > 8
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator("noscript p")).to_contain_text("The explorer needs JavaScript.")
    expect(page.locator("button, input, select").locator("visible=true")).to_have_count(0)


def test_a_page_of_many_runs_reacts(many: Report, visit: Visit) -> None:
    page = visit(many)
    assert len(many.judged) in (600, 10_000)
    expect(page.locator("#filtered")).to_have_text(many.counts(many.judged))
    page.get_by_role("checkbox", name="relu", exact=True).uncheck()
    kept = many.judged[many.judged["activation"] != "relu"]
    expect(page.locator("#filtered")).to_have_text(many.counts(kept))
    expect(page.locator("#scatter-note")).to_contain_text(f"{kept['signal_ratio_start'].notna().sum():,} runs drawn")
    page.goto(f"{many.url}#run={many.judged['run_id'].iloc[-1]}")
    expect(page.locator("#run-heatmap svg")).to_be_visible()
