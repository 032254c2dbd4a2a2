"""Transformers: what depth, block and warm-up do to them, the gradient for their stream, and how alike tokens grow.

The chapter is there where one was run. Layers of its figures are sub-layers.
"""

from __future__ import annotations

from bench.report.blocks import Lead, Section, Text, blocks_of, sentences
from bench.report.frames import Frames
from bench.report.sections.depth_figures import Depths
from bench.report.sections.network_words import of_architecture
from bench.report.sections.stream_figures import GRADIENT, TOKENS, Streams
from bench.report.sections.time_figures import rate_figure

ID = "stream"
INTRO = Text(
    "Each sub-layer of a transformer, attention or feed-forward, adds a branch to a stream of vectors, one a token. "
    "How the block adds and normalizes them decides what the gradient does on its way back, and how alike tokens grow."
)


def section(frames: Frames) -> Section | None:
    """What the runs of transformers say; None where there are none."""
    runs = of_architecture(frames, "transformer")
    if runs.empty:
        return None
    gradient, tokens = Streams(frames, runs, GRADIENT), Streams(frames, runs, TOKENS)
    depths = Depths(frames, runs, "block")
    said = [each for each in (gradient.sentence(), tokens.sentence()) if each is not None]
    if depths.known:
        said = [said[0], depths.sentence(), *said[1:]] if said else [depths.sentence()]
    if not said:
        return None
    blocks = blocks_of(
        Lead(said[0]), INTRO, sentences(said[1:]), gradient.figure(), tokens.figure(),
        depths.figure("stream-depth", "block") if depths.known else None,
        rate_figure(frames, runs, "warmup", "stream-warmup"), gradient.table(), tokens.table(),
        depths.table() if depths.known else None,
    )  # fmt: skip
    return Section(ID, "Depth and the stream of transformers", "Stream", blocks, (said[0],))
