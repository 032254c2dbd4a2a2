"""The first screen: a headline that the runs carry, cards, a map, what to avoid; in the head, the dump and the list."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from bench.analysis.avoided import Way
from bench.report.blocks import Counts, Fold, Table
from bench.report.headline import Words, headline
from bench.report.page import page_of
from bench.report.sections.answer import First
from bench.report.sections.avoid import words_of
from tests.analysis.trials import BATCH, GOOD, LEVELS, POOR, SKIP, cell, found
from tests.dry_results import EXPLODING, SMALL
from tests.report.pages import Nesting, altered, html, page, without_scripts

TWO = ("depth", "activation", "normalization", "skip")


def said(*cells: list[dict], varied: tuple[str, ...] = TWO) -> str:
    made = found(*cells, varied=varied)
    return headline(made, Words(made, {name: LEVELS[name] for name in varied}))


def grid(**scores: list[float]) -> list[list[dict]]:
    """Both activations at both depths: `relu_32`, `relu_32_skip`, `relu_32_batch`; those not named end well."""
    cells = []
    for activation in ("tanh", "relu"):
        for depth in ("4", "32"):
            for name, change in {"": {}, "_skip": SKIP, "_batch": BATCH}.items():
                score = scores.get(f"{activation}_{depth}{name}", GOOD)
                cells.append(cell(score, activation=activation, depth=depth, **change))
    return cells


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({}, "Both activations train with nothing changed up to 32 layers."),
        ({"relu_32": POOR},
         "Up to 4 layers both activations train with nothing changed; at 32, only tanh does. "
         "A skip connection alone trains relu."),
        ({"relu_32": POOR, "tanh_32": POOR, "relu_32_skip": POOR},
         "Up to 4 layers both activations train with nothing changed; at 32, neither does. "
         "Batch normalization alone trains each."),
        ({"relu_4": POOR, "relu_32": POOR, "relu_32_skip": POOR, "relu_32_batch": POOR},
         "At 32 layers only tanh trains with nothing changed. Nothing tried trains relu."),
        ({f"{a}_{d}{c}": POOR for a in ("tanh", "relu") for d in ("4", "32") for c in ("", "_skip", "_batch")},
         "No network tried trains: 0 of 36 runs did."),
    ],
)  # fmt: skip
def test_the_headline_says_what_works_and_what_helps(scores: dict[str, list[float]], text: str) -> None:
    assert said(*grid(**scores)) == text


def test_keras_s_defaults_are_called_so_where_they_are_the_baseline() -> None:
    runs = [[run | {"initializer": "glorot_uniform", "clipping": "none", "regularization": "none"} for run in each]
            for each in grid(relu_32=POOR, tanh_32=POOR)]  # fmt: skip
    assert said(*runs).startswith("Up to 4 layers both activations train with Keras's defaults; at 32, neither does.")


@pytest.mark.parametrize("seed", range(30))
def test_headlines_are_short_whatever_came_out(seed: int) -> None:
    draw = np.random.default_rng(seed)
    cells = [
        cell(draw.choice([0.08, 0.6, 0.93, 0.97, np.nan], 3).tolist(), activation=activation, depth=depth, skip=skip,
             normalization=norm, learning_rate=rate)
        for activation in LEVELS["activation"] for depth in LEVELS["depth"] for skip in LEVELS["skip"]
        for norm in LEVELS["normalization"] for rate in LEVELS["learning_rate"] if draw.random() > 0.2
    ]  # fmt: skip
    text = said(*cells, varied=(*TWO, "learning_rate"))
    assert 3 <= len(text.split()) <= 35
    assert all(len(each.split()) <= 25 for each in text.split(". "))
    assert text.endswith(".") and not re.search(r"\bnan\b|None|\balone trains \.", text)


@pytest.mark.parametrize(
    ("terms", "depths", "text"),
    [
        ((("activation", ("relu", "tanh")), ("skip", ("none",))), ("32",),
         "relu or tanh at 32 layers without a skip connection"),
        ((("learning_rate", ("0.01",)),), (), "Any network with rate 0.01"),
        ((("normalization", ("none",)), ("skip", ("none",))), ("32",),
         "Any network at 32 layers without normalization or a skip connection"),
    ],
)  # fmt: skip
def test_a_way_to_fail_is_said_by_its_levels(terms: tuple, depths: tuple[str, ...], text: str) -> None:
    made = found(*grid(), varied=TWO)
    way = Way(terms, depths, 9, 0, "vanishing gradient", 9, 9)
    assert words_of(way, Words(made, LEVELS)) == text


def test_the_first_screen_is_in_blocks_head_and_text() -> None:
    shown, text = page(SMALL), html(SMALL)
    (first,) = shown["answer"].of(First)
    assert first.headline == shown.headline
    assert f"<h1>{first.headline}</h1>" in unescape(text)
    assert f'<meta name="gradtrial-headline" content="{first.headline}">' in unescape(text[:2000])
    kinds = {row.name: [card.kind for card in row.cards] for row in first.rows}
    assert kinds == {"sigmoid": ["c0", "c1", "c1"], "relu": ["c0", "c1", "c1"], "tanh": ["c0", "c0", "c0"]}
    assert "or he_normal, 0.92" in first.rows[1].cards[1].facts[1]  # a tie
    assert first.interval == "3/3 is a share of 44–100 % (Wilson, 95 %)."
    assert len(first.map) == 9
    assert all(len(each.split()) <= 25 for each in first.trained)
    told = "".join(Nesting(without_scripts(text)).text)
    assert all(way.said in told for way in first.avoid)


def test_all_numbers_stand_folded_below() -> None:
    answer = page(EXPLODING)["answer"]
    (fold,) = answer.of(Fold)
    assert {type(block) for block in fold.blocks} >= {Counts, Table}
    recipes = next(block for block in fold.blocks if isinstance(block, Table))
    assert len(recipes.rows) == 4  # two initializers at two depths
    assert answer.of(First)[0].avoid[0].said.startswith("0 of 3 runs trained; mostly values too large at the start")


def test_values_are_judged_by_their_loss() -> None:
    made = altered(SMALL)
    runs = made.tables["runs"].assign(naive_accuracy=np.nan, naive_loss=1.0)
    evaluations = made.tables["evaluations"].assign(accuracy=np.nan, loss=0.2)
    first = page_of(altered(SMALL, runs=runs, evaluations=evaluations), ())["answer"].of(First)[0]
    assert "validation loss of 0.3, 0.1 above the best cell (0.2)" in first.trained[0]
    assert first.map_title.startswith("Largest loss")
