"""What the page says, against what the dry engine's formula planted; and silence where nothing was planted."""

from __future__ import annotations

from urllib.parse import unquote

import pandas as pd
import pytest

from bench.analysis import Outcome, Symptom, onset, opposites
from bench.engine.dry import EXPLODING as LIMIT
from bench.engine.dry import VANISHING, fate
from bench.plan import make_plan
from bench.report.blocks import Figure, Lead, Sentence, Sentences, Table, Text
from bench.report.frames import Frames
from bench.report.sections import divergence, factors, lesson, remedies, rules, trainability
from bench.report.sections.divergence import level_sentences, survival_chart
from bench.report.sections.effect_figures import effects_of
from bench.report.sections.factors import effect_sentences, share_sentence
from bench.report.sections.overall import overall
from bench.report.sections.trainability import depth_grids, depth_sentences
from bench.rules import NAMES
from bench.text import listed
from tests.cohorts import suite_text
from tests.dry_results import EXPLODING, SMALL, dry_results
from tests.report.pages import altered, chapter, frames

# Healthy at every depth and clipping: nothing to find. The noise of the losses is all there is.
NOTHING = suite_text(
    "nothing", "Does anything matter where everything is well?", 6,
    {"activation": "relu", "initializer": "he_normal", "steps": 60},
    depth=[2, 3], clipping=["none", "global_norm", "norm"], bias_initializer=["zeros", "normal"],
)  # fmt: skip

RATES = suite_text(
    "rates", "Is each network judged at its own best rate?", 3, {"activation": "linear", "steps": 60},
    depth=[4, 30], initializer=["orthogonal", {"level": "orthogonal", "gain": 1.5}], learning_rate=[0.001, 0.01, 0.1],
)  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Frames:
    return frames(SMALL)


def noisy(suite: str, seed: int) -> Frames:
    """A suite's runs with validation accuracies drawn alike for every run: any difference is chance."""
    rows = dry_results(suite).tables["evaluations"]
    draw = pd.Series(range(len(rows))).sample(frac=1.0, random_state=seed).to_numpy()
    return altered(suite, evaluations=rows.assign(accuracy=0.9 + 0.02 * (draw % 101) / 101.0))


def texts(sentences: tuple[Sentence, ...]) -> str:
    return "\n".join(sentence.text for sentence in sentences)


# What learning is


def test_a_network_that_always_answers_the_majority_has_not_learned_and_the_page_says_so() -> None:
    tables = dry_results(NOTHING).tables
    made = altered(
        NOTHING,
        runs=tables["runs"].assign(naive_accuracy=0.99, naive_loss=0.056),
        evaluations=tables["evaluations"].assign(accuracy=0.99, loss=0.056, largest_answer_share=1.0),
    )
    runs = len(made.plain)
    learned, collapsed, *_ = overall(made.labelled, made.choice)
    assert learned.text == f"0 of {runs} runs learned (0 %); {runs} ended without learning, 0 left the finite numbers."
    assert "the best constant answer's, 0.99, to 1" in learned.basis
    assert f"{runs} of {runs} runs that ended without learning collapsed to one answer" in collapsed.text
    older = altered(NOTHING, runs=tables["runs"].assign(naive_accuracy=None, naive_loss=None))
    assert "the untrained networks' (all that was kept), 0.1, to 1" in overall(older.labelled, older.choice)[0].basis


# By depth


def test_the_onset_is_where_the_formula_puts_it(small: Frames) -> None:
    found = onset(small.worded, ["activation", "initializer", "normalization"])
    got = {(*map(str, row[:3]), row[3]): row[4] for row in found.itertuples(index=False)}
    planted: dict[tuple[str, ...], list[tuple[int, bool]]] = {}
    for run in make_plan(dry_results(SMALL).suite).runs:
        key = tuple(run.choices[name].label for name in ("activation", "initializer", "normalization"))
        total = fate(run.choices).total
        planted.setdefault((*key, "vanishing"), []).append((int(run.choices["depth"].value), total < VANISHING))
        planted.setdefault((*key, "exploding"), []).append((int(run.choices["depth"].value), total > LIMIT))
    expected = {}
    for key, cells in planted.items():
        vanishing = [depth for depth, vanishes in cells if vanishes]
        if vanishing and (max(cells)[0], True) in cells:
            expected[key] = min(vanishing)
    assert {k: v for k, v in got.items() if k[3] != Symptom.COLLAPSED} == expected
    assert len(expected) == 4


def test_a_symptom_that_a_deeper_network_does_not_show_has_no_onset() -> None:
    frame = pd.DataFrame({"g": "a", "depth": [2, 4, 8], "symptom_start": ["vanishing", "vanishing", "healthy"]})
    assert onset(frame, ["g"]).empty
    frame = frame.assign(symptom_start=["vanishing", "healthy", "vanishing"])
    found = onset(frame, ["g"]).iloc[0]
    assert (found["depth"], found["shown"], found["runs"], found["from_first"]) == (8, 1, 1, False)


def test_strip_and_table_by_depth_have_a_line_for_every_cell_and_counts_of_its_runs(small: Frames) -> None:
    frame = small.worded
    strip, deepest = depth_grids(frame, small.axes)
    assert isinstance(strip, Figure) and isinstance(deepest, Table)
    assert [panel.title for panel in strip.panels] == ["no normalization", "batch normalization"]
    drawn = strip.panels[0].rows.set_index(["group", "row", "x"])
    assert drawn.loc[("sigmoid", "glorot_uniform", "12")].tolist() == ["vanishing", 3, 3]
    assert drawn.loc[("sigmoid", "glorot_uniform", "2")].tolist() == ["no symptom", 3, 3]
    assert sum(panel.rows["runs"].sum() for panel in strip.panels) == len(frame)
    depths = {row[:2]: row[2:] for row in deepest.rows}
    for (normalization, activation), cells in depths.items():
        for initializer, cell in zip(deepest.columns[2:], cells, strict=True):
            own = frame[(frame["normalization"] == normalization) & (frame["activation"] == activation)
                        & (frame["initializer"] == initializer) & (frame["outcome"] == Outcome.LEARNED)]  # fmt: skip
            assert cell.startswith(f"{own['depth'].max()}" if len(own) else "none"), (normalization, activation)


def test_the_strip_is_titled_by_what_has_no_symptom_at_the_greatest_depth_without_a_remedy(small: Frames) -> None:
    strip = depth_grids(small.worded, small.axes)[0]
    assert isinstance(strip, Figure)
    own = strip.panels[0].rows.query("x == '40' and state == 'no symptom'")
    named = listed([f"{row.group} {row.row}" for row in own.itertuples()])
    assert strip.title == f"At 40 layers without normalization only {named} start without a symptom"
    lost = small.worded.assign(symptom_start=None)
    strip = depth_grids(lost, small.axes)[0]
    assert (
        isinstance(strip, Figure)
        and strip.title == "At 40 layers without normalization no start is free of symptoms in most runs"
    )
    assert set(strip.panels[0].rows["state"]) == {"no majority"}


def test_the_deepest_network_is_split_by_a_factor_on_which_it_depends_and_pooled_over_others() -> None:
    text = suite_text(
        "widths", "Does width matter?", 2, {"activation": "relu", "initializer": "he_normal", "steps": 60},
        depth=[2, 12], width=[2, 8], clipping=["none", "norm"],
    )  # fmt: skip
    made = frames(text)
    narrow = made.worded["width"] == 2
    judged = made.worded.assign(outcome=narrow.map({True: Outcome.NOT_LEARNED, False: Outcome.LEARNED}))
    *_, deepest = depth_grids(judged, made.axes)
    assert isinstance(deepest, Table)
    assert deepest.columns[0] == "width"
    assert [row[:2] for row in deepest.rows] == [("2", "none (0/4)"), ("8", "12+ (4/4)")]
    assert deepest.note.endswith("Pooled over clipping.")
    *_, deepest = depth_grids(judged.assign(outcome=Outcome.LEARNED), made.axes)
    assert isinstance(deepest, Table) and deepest.note.endswith("Pooled over width and clipping.")


def test_the_depth_sentence_names_pairs_without_remedies_only(small: Frames) -> None:
    said = texts(depth_sentences(small.worded, small.axes))
    assert (
        "Without normalization, the gradient vanishes at initialization with sigmoid, any initializer, from 12" in said
    )
    assert "batch_normalization" not in said


def test_without_depths_there_is_nothing_to_say_of_them() -> None:
    made = frames(SMALL.replace("depth = [2, 12, 40]\n", ""))
    assert depth_grids(made.worded, made.axes) == ()
    assert depth_sentences(made.worded, made.axes) == ()


# Effects


def test_the_planted_factor_leads(small: Frames) -> None:
    frame, varied = small.worded, small.varied
    said = share_sentence(effects_of(frame, small.axes))[0].text
    spread = {
        factor: frame.groupby(factor, observed=True)["final_validation_accuracy"].mean().var(ddof=0)
        for factor in varied
    }
    strongest = max(spread, key=lambda factor: spread[factor])
    assert said.startswith(f"{strongest.capitalize()} explains"), said
    assert effect_sentences(effects_of(frame, small.axes))


def test_where_nothing_was_planted_no_effect_is_found() -> None:
    claimed = 0
    for seed in range(20):
        drawn = noisy(NOTHING, seed)
        said = texts(effect_sentences(effects_of(drawn.worded, drawn.axes)))
        claimed += "the final accuracy changes by" in said
        assert "The data cannot tell" in said
    assert claimed <= 3  # one in twenty is what 5 % allow


def test_a_sentence_links_to_its_runs(small: Frames) -> None:
    sentences = effect_sentences(effects_of(small.worded, small.axes))
    links = [sentence.link for sentence in sentences if sentence.link.startswith("#where=")]
    assert links
    levels = {axis.factor: axis.levels for axis in small.axes}
    for link in links:
        factor, _, written = link.removeprefix("#where=").partition(":")
        assert all(unquote(level) in levels[factor] for level in written.split("|"))


LOST_AT_A_RATE = suite_text(
    "hot", "Does one rate lose relu alone?", 3, {"steps": 60, "initializer": "he_normal"},
    activation=["relu", "sigmoid"], learning_rate=[0.1, 3.0], depth=[2, 3, 4, 5],
)  # fmt: skip


def test_what_a_level_does_at_one_level_of_another_factor_is_said_before_the_average() -> None:
    runs = dry_results(LOST_AT_A_RATE).tables["runs"]
    hot = (runs["activation"] == "relu") & (runs["learning_rate"] == 3.0)
    made = altered(LOST_AT_A_RATE, runs=runs.assign(status=hot.map({True: "diverged", False: "completed"})))
    first = "With rate 3, 0 of 12 runs with sigmoid diverged and 12 of 12 with relu; with rate 0.1 it was 0 of 12."
    section = factors.section(made)
    assert section is not None
    told = (section.of(Lead)[0].sentence, section.of(Sentences)[0].items[0], section.short[0])
    assert [each.text for each in told] == [first] * 3
    assert opposites(frames(NOTHING).labelled, frames(NOTHING).varied) == []


# Sections


def about_exploding(text: str) -> str:
    return next(
        sentence.text for sentence in chapter(remedies.section, text).short if "exploding gradients" in sentence.text
    )


def test_remedies_are_said_with_counts_in_the_lead_the_sentence_and_the_figure() -> None:
    # By formula a gain of 1 learns always, clipping up to 6 decades: both rescue every run at depth 30.
    text = EXPLODING.replace("replicates = 3", "replicates = 12")
    first = "Of runs with exploding gradients that did not learn, clipping rescued 12 of 12,"
    assert about_exploding(text) == f"{first} initializer orthogonal 12 of 12."
    made = chapter(remedies.section, text)
    assert "Clipping rescued 12 of 12 runs with exploding gradients" in made.of(Lead)[0].sentence.text
    figure = made.figure("remedies-forest")
    assert figure.title == "Clipping and orthogonal rescue most runs with exploding gradients"
    (panel,) = figure.panels
    assert set(zip(panel.rows["row"], panel.rows["numbers"], strict=True)) == {
        ("clipping", "12/12"), ("orthogonal", "12/12"),
    }  # fmt: skip


@pytest.mark.parametrize(("replicates", "few"), [(3, True), (6, False)])
def test_the_sentence_the_table_and_the_lesson_tell_by_one_rule_whether_runs_are_too_few(
    replicates: int, few: bool
) -> None:
    text = EXPLODING.replace("replicates = 3", f"replicates = {replicates}")
    made = chapter(remedies.section, text)
    assert about_exploding(text).startswith("Too few runs with exploding gradients") == few
    assert made.of(Lead)[0].sentence.text.startswith("Too few runs failed to learn") == few
    assert (made.of(Figure) == []) == few
    table = next(t for t in made.of(Table) if t.caption.startswith("Runs with exploding"))
    assert table.note.startswith("Too few runs to tell") == few
    assert f"{replicates}/{replicates}" in [row[1] for row in table.rows]
    whole = frames(text)
    notes = {note.name: note.here for note in lesson.remedy_notes(whole.labelled, whole.remedied)}
    assert ("too few to tell" in notes["Gradient clipping"]) == few


def test_runs_that_are_lost_from_a_healthy_start_have_remedies_and_their_levels_are_named() -> None:
    runs = dry_results(LOST_AT_A_RATE).tables["runs"]
    hot = (runs["activation"] == "relu") & (runs["learning_rate"] == 3.0)
    made = altered(LOST_AT_A_RATE, runs=runs.assign(status=hot.map({True: "diverged", False: "completed"})))
    section = remedies.section(made)
    assert section is not None
    (said,) = (sentence.text for sentence in section.short if "diverged" in sentence.text)
    lost = "without a symptom at initialization that diverged"
    assert said == f"Of runs {lost}, learning rate 0.1 rescued 12 of 12, activation sigmoid 6 of 12."
    (first,) = section.of(Lead)
    assert first.sentence.text == "Learning rate 0.1 rescued 12 of 12 runs that diverged without a symptom."
    assert {"sigmoid", "rate 0.1"} <= set(section.figure("remedies-forest").panels[0].rows["row"])
    first, every = level_sentences(made.labelled, made.axes)
    assert first.text == "12 of 48 runs left the finite numbers, most often with relu (12 of 24)."
    assert every.text == "All of them had relu and rate 3."


def test_each_network_is_shown_at_its_best_rate_and_the_page_says_so() -> None:
    made = chapter(trainability.section, RATES)
    (note,) = made.of(Text)
    assert note.text.startswith("The map shows each cell at the best of its learning rates (3 rates in the suite)")
    assert "networks that learned at their best one" in made.figure("trainability").subtitle
    shown = pd.concat([panel.rows for panel in made.figure("trainability").panels])
    assert shown["runs"].sum() == 2 * 2 * 3
    assert sum(panel.rows["runs"].sum() for panel in made.figure("rates").panels) == 2 * 2 * 3 * 3
    asked = chapter(rules.section, RATES).of(Text)[0].text
    assert "Each of 4 networks is asked at the best of its learning rates" in asked
    assert chapter(trainability.section, SMALL).of(Text) == []


def test_the_chapter_on_what_trained_opens_with_the_shares_that_learned(small: Frames) -> None:
    made = chapter(trainability.section, SMALL)
    learned = small.worded["outcome"] == Outcome.LEARNED
    first, last = (f"{learned[small.worded['depth'] == depth].sum()} of" for depth in (2, 40))
    said = made.of(Lead)[0].sentence.text
    assert said.startswith(f"At 2 layers {first}") and f"at 40 layers {last}" in said
    assert made.figure("trainability").title.startswith("Of 12 tiles at 40 layers, every run learned in ")


def test_where_all_runs_end_alike_no_rule_is_praised() -> None:
    made = chapter(rules.section, NOTHING)
    assert "no rule can show whether it tells good from bad" in made.of(Lead)[0].sentence.text
    assert made.of(Figure) == []
    assert "How well each measure" not in str([table.caption for table in made.of(Table)])
    assert made.short == ()


def test_rule_tables_count_every_run_and_their_parts_add_up_to_them() -> None:
    judged = frames(SMALL).plain
    learned = int((judged["outcome"] == Outcome.LEARNED).sum())
    made = chapter(rules.section, SMALL)
    sets, equal, part, matrix, *_ = tables = made.of(Table)
    assert [len(panel.rows) for panel in made.figure("detection").panels] == [len(NAMES)]
    assert len(made.figure("tradeoff").panels) == 8
    assert len(made.of(Lead)[0].sentence.text.split()) <= 25
    assert len(equal.rows) == len(NAMES) - 2
    for row in sets.rows:
        assert row[1].endswith(f"/{len(judged) - learned}")
        assert row[4].endswith(f"/{learned}")
    assert [len(table.rows) for table in tables if table.caption.startswith("How often two")] == [len(NAMES)]
    assert matrix.caption.startswith("How often two")
    assert part.caption == "The same by normalization"

    def added(row: tuple[str, ...], what: int) -> str:
        pairs = [cell.split(" ")[0].split("/") for cell in row[1 + what :: 2] if cell != "–"]
        return "/".join(str(sum(int(pair[k]) for pair in pairs)) for k in (0, 1))

    for whole, row in zip([row for row in sets.rows if "gate" not in row[0]], part.rows, strict=True):
        assert (added(row, 0), added(row, 1)) == (whole[1], whole[4])


def test_survival_is_drawn_where_runs_diverged_and_only_there() -> None:
    made, healthy = frames(EXPLODING), frames(NOTHING)
    group = survival_chart(made.labelled, made.axes)
    assert group is not None
    last = group.panels[0].rows.groupby("series").tail(1)
    gone = int((made.tables["runs"]["status"] == "diverged").sum())
    assert last["diverged"].sum() == gone > 0
    assert last["runs"].sum() == len(made.labelled)
    assert survival_chart(healthy.labelled, healthy.axes) is None


def test_the_chapter_on_divergence_names_the_cause_of_every_diverged_run() -> None:
    (table,) = (
        each for each in chapter(divergence.section, EXPLODING).of(Table) if each.caption == "Why runs diverged"
    )
    gone = int((frames(EXPLODING).tables["runs"]["status"] == "diverged").sum())
    assert sum(int(row[1].split(" of ")[0]) for row in table.rows) == gone > 0
    assert {row[1].split(" of ")[1] for row in table.rows} == {str(gone)}
    assert all(row[-1] in frames(EXPLODING).plain["run_id"].to_numpy() for row in table.rows)
