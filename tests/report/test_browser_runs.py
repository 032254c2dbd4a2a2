"""One run in the explorer: its settings, verdicts, events and curves as in the tables, and text that stays text."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from bench.quantities import OF_RUNS
from tests.browser import HOSTILE, Report, Visit, cells_shown, mark_at, twin
from tests.cohorts import of_run

pytestmark = pytest.mark.full  # a browser takes minutes

SETS = {
    "gradtrial (whole run)": "verdict_gradtrial_watching",
    "AUTOTRAINER": "verdict_autotrainer",
    "DeepDiagnosis": "verdict_deepdiagnosis",
    "SageMaker Debugger": "verdict_sagemaker_debugger",
    "TheDeepChecker": "verdict_thedeepchecker",
}
ROUNDED = 6e-3  # three significant digits
HUNDREDTH = 10**0.005 - 1  # curves are kept in hundredths of a decade


def rows_of(page: Page, table: str) -> dict[str, list[str]]:
    """A table of the detail view by the words at the head of its rows."""
    rows = page.eval_on_selector_all(
        f"#{table} tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {name: rest for name, *rest in rows}


def read(text: str) -> float:
    plain = text.replace("−", "-").replace(",", "")
    digits, _, power = plain.partition("·10")
    exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    return {"–": math.nan, "∞": math.inf, "-∞": -math.inf}.get(plain) or float(f"{digits}e{exponent}")


@pytest.mark.parametrize("outcome", ["learned", "diverged", twin("not_learned")])
def test_settings_verdicts_and_responses_are_the_tables(mixed: Report, visit: Visit, outcome: str) -> None:
    run = mixed.run(outcome=outcome)
    page = visit(mixed, f"#run={run['run_id']}")
    expect(page.locator("#run-name")).to_have_text(run["run_id"])
    said = (
        f"; by its gradients {run['symptom_start']} at initialization, {run['symptom_end']} at the last recorded step."
    )
    expect(page.locator("#run-said")).to_contain_text(said)
    became = {"learned": "trained", "not_learned": "did not learn", "diverged": "diverged"}[outcome]
    expect(page.locator("#run-said")).to_contain_text(re.compile(f"^{became} .validation accuracy"))
    settings = rows_of(page, "run-settings")
    for name in ("depth", "activation", "initializer", "clipping"):
        usual = {"initializer": "orthogonal", "clipping": "none"}.get(name, str(run[name]))
        assert settings.pop(name) == [str(run[name]), "varied", "" if usual == str(run[name]) else f"baseline {usual}"]
    assert settings.pop("replicate") == [str(run["replicate"]), "", ""]
    assert settings["learning rate"] == ["0.01", "fixed", ""]
    for name, (level, kind, _) in settings.items():
        held = mixed.tables["runs"][name.replace(" ", "_")].iloc[0]
        assert (level, kind) == (f"{held:g}" if isinstance(held, float) else str(held), "fixed")
    assert rows_of(page, "run-verdicts") == {title: [run[column]] for title, column in SETS.items()}
    responses = rows_of(page, "run-responses")
    units = {each.name.replace("_", " "): each.unit for each in OF_RUNS}
    assert len(responses) > 10
    for name, (text, unit) in responses.items():
        assert read(text) == pytest.approx(float(run[name.replace(" ", "_")]), rel=ROUNDED, abs=1e-12, nan_ok=True)
        assert unit == ("" if units[name] == "1" else units[name])


@pytest.mark.parametrize("outcome", ["diverged", twin("learned")])
def test_the_heatmap_has_a_tile_for_each_recorded_norm(mixed: Report, visit: Visit, outcome: str) -> None:
    run_id = mixed.run(outcome=outcome, depth=30)["run_id"]
    page = visit(mixed, f"#run={run_id}")
    norms = of_run(mixed.tables, run_id)["gradient_norms"]
    norms = norms[(norms["layer_name"] != "head") & norms["preactivation_grad_norm"].notna()]
    tiles = page.locator("#run-heatmap svg [aria-roledescription='rect mark']")
    expect(tiles).to_have_count(len(norms))
    labels = tiles.evaluate_all("tiles => tiles.map(tile => tile.getAttribute('aria-label'))")
    told = [re.fullmatch(r"step: (\d+); .*; log10 norm: (.*); layer: (\d+)", label) for label in labels]
    assert None not in told, labels[:2]
    shown = {(int(t[1]), int(t[3])): read(t[2]) for t in told if t}
    for row in norms.itertuples():
        expected = math.log10(row.preactivation_grad_norm) if row.preactivation_grad_norm else -math.inf
        assert shown[row.step, row.layer_index] == pytest.approx(expected, rel=ROUNDED, abs=0.006)


def marks(page: Page, chart: str) -> list[str]:
    labels: list[str] = page.locator(f"#{chart} svg [aria-roledescription=point]").evaluate_all(
        "marks => marks.map(mark => mark.getAttribute('aria-label'))"
    )
    return labels


def test_the_curves_are_the_tables(mixed: Report, visit: Visit) -> None:
    run_id = mixed.run(outcome="diverged")["run_id"]
    page = visit(mixed, f"#run={run_id}")
    losses = of_run(mixed.tables, run_id)["loss_curves"]
    losses = losses[losses["loss"].map(math.isfinite)].set_index("step")["loss"]
    accuracies = of_run(mixed.tables, run_id)["evaluations"]
    looked = accuracies[(accuracies["split"] == "validation") & accuracies["loss"].map(math.isfinite)]
    for split, expected in {"training batch": losses, "validation": looked.set_index("step")["loss"]}.items():
        told = [
            re.match(rf"step: (\d+); loss: ([\d.,e+−-]+); split: {split}$", label) for label in marks(page, "run-loss")
        ]
        shown = {int(t[1]): read(t[2]) for t in told if t}
        assert shown.keys() == set(expected.index)
        for step, loss in shown.items():
            assert loss == pytest.approx(expected[step], rel=HUNDREDTH + 1e-3)
    assert page.locator("#run-loss svg [aria-roledescription='rule mark']").count() > 0
    expect(page.locator("#run-accuracy svg [aria-roledescription=point]")).to_have_count(len(accuracies))


def test_a_run_says_its_cause_and_which_single_change_trained(mixed: Report, visit: Visit) -> None:
    run = mixed.run(outcome="diverged")
    page = visit(mixed, f"#run={run['run_id']}")
    expect(page.locator("#run-cause")).to_have_text(
        re.compile(r"^Cause: .* – .*step \d+: .*\((?:at least|above) [\d.]+\)$")
    )
    names = ["depth", "activation", "initializer", "clipping"]
    others = mixed.judged[mixed.judged["replicate"] == run["replicate"]]
    changed = (others[names].astype(str) != run[names].astype(str)).sum(axis=1)
    expected = {
        each["run_id"]: each["outcome"].replace("not_learned", "did not learn")
        for _, each in others[changed == 1].iterrows()
    }
    rows = page.locator("#run-similar tbody tr")
    expect(rows).to_have_count(len(expected))
    for row in rows.all():
        link = row.locator("a").get_attribute("href") or ""
        assert row.locator("td").nth(1).inner_text() in (expected[link.removeprefix("#run=")], "trained")
    expect(page.locator("#run-changes")).to_have_text(
        re.compile(rf"^Of {len(expected)} runs that differ by one change, \d trained\.$")
    )
    rows.first.locator("a").click()
    expect(page.locator("#run-name")).not_to_have_text(run["run_id"])
    expect(page.locator("#run")).to_be_focused()


def test_events_are_told_in_words(mixed: Report, visit: Visit) -> None:
    run_id = mixed.run(outcome="diverged")["run_id"]
    page = visit(mixed, f"#run={run_id}")
    told = page.locator("#run-events li").all_inner_texts()
    expected = []
    for event in of_run(mixed.tables, run_id)["divergence_events"].itertuples():
        layer = "" if pd.isna(event.layer_index) else f" of layer {int(event.layer_index)}"
        expected.append(f"step {event.step}: {event.kind.replace('_', ' ')} in the {event.tensor}{layer}")
    assert told == expected
    assert len(told) == 2
    page.goto(f"{mixed.url}#run={mixed.run(outcome='learned')['run_id']}")
    expect(page.locator("#run-events li")).to_have_text(["none"])


def test_a_run_that_is_not_there_is_said_to_be_so(mixed: Report, visit: Visit) -> None:
    page = visit(mixed, "#run=nowhere-%3Cb%3E-r0")
    expect(page.locator("#run-said")).to_have_text("There is no such run on this page.")
    expect(page.locator("#run-name")).to_have_text("nowhere-<b>-r0")
    expect(page.locator("#run-body")).to_be_hidden()
    page.goto(f"{mixed.url}#run={mixed.judged['run_id'].iloc[0]}")
    expect(page.locator("#run-body")).to_be_visible()


def test_markup_in_a_level_stays_text_everywhere(hostile: Report, visit: Visit) -> None:
    run = hostile.run(activation=HOSTILE, outcome="not_learned")
    page = visit(hostile, f"#run={run['run_id']}")
    assert rows_of(page, "run-settings")["activation"][:2] == [HOSTILE, "varied"]
    page.get_by_role("checkbox", name="linear").uncheck()
    kept = hostile.judged[hostile.judged["activation"] == HOSTILE]
    expect(page.locator("#filtered")).to_have_text(hostile.counts(kept))
    assert {row[1] for row in cells_shown(page)} == {HOSTILE}
    page.get_by_label("Search cells:").fill("<img src=x")
    expect(page.locator(".dt-info")).to_have_text("1 to 8 of 8 cells")
    page.mouse.move(*mark_at(page))
    expect(page.locator("#vg-tooltip-element")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.title() == "mixed – gradtrial"
