"""Convolutional networks: what depth does to them, and what the borders of their images take.

The chapter is there where one was run; what borders take where `positions` was recorded.
"""

from __future__ import annotations

from bench.report.blocks import Lead, Section, Sentence, Text, blocks_of, sentences
from bench.report.frames import Frames
from bench.report.sections.border_figures import (
    border_figure,
    border_sentence,
    border_table,
    bordered,
    theory_sentence,
)
from bench.report.sections.depth_figures import Depths
from bench.report.sections.network_words import learned_sentence, of_architecture

ID = "convolution"
INTRO = Text(
    "A deeper network could leave its extra layers out, so a training loss that rises with depth is a fault of "
    "training. At a border a kernel reads zeros, or the opposite edge where padding is circular: zeros carry no signal "
    "forward and no gradient back."
)
ABSENT = Text(
    "What the borders of these images take is not known: no suite records it unasked. Write "
    "`positions = { at = [0] }` into `[record]`."
)


def section(frames: Frames) -> Section | None:
    """What the runs of convolutional networks say; None where there are none."""
    runs = of_architecture(frames, "conv")
    if runs.empty:
        return None
    depths, found = Depths(frames, runs, "layer"), bordered(frames, runs)
    said = [border_sentence(found), theory_sentence(found)] if found else []
    told: list[Sentence] = [each for each in said if each is not None]
    if depths.known:
        lead = depths.sentence()
    elif told:
        lead, told = told[0], told[1:]
    else:
        lead = learned_sentence(runs, "of convolutional networks")
    blocks = blocks_of(
        Lead(lead), INTRO, sentences(told), None if found else ABSENT,
        depths.figure("convolution-depth", "skip") if depths.known else None,
        border_figure(found) if found else None,
        depths.table() if depths.known else None, border_table(found) if found else None,
    )  # fmt: skip
    short = (lead,) if depths.known or found else ()
    return Section(ID, "Depth and borders in convolutional networks", "Convolution", blocks, short)
