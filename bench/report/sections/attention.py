"""Inside attention: entropy and largest logit of every head over training, with where runs were lost.

The chapter is there where a transformer with attention is; its maps where `attention` was recorded.
"""

from __future__ import annotations

from bench.analysis.verdicts import first_gradients
from bench.report.blocks import Lead, Section, Text, blocks_of, sentences
from bench.report.frames import Frames
from bench.report.sections.head_figures import Heads
from bench.report.sections.network_words import learned_sentence, of_architecture

ID = "attention"
INTRO = Text(
    "A head weighs the tokens that it may look at by the softmax of its logits. Its entropy is ln T where T tokens "
    "weigh alike, and 0 where one has all the weight: then no gradient passes the weights. Large logits make it so."
)
ABSENT = Text(
    "What the heads of these networks did is not known: no suite records it unasked. Write "
    "`attention = { log_spaced = 10 }` into `[record]`."
)


def section(frames: Frames) -> Section | None:
    """What the heads of transformers say; None where there is no attention."""
    runs = of_architecture(frames, "transformer")
    if "sublayers" in runs:
        runs = runs[runs["sublayers"].astype(str) != "feed_forward_only"]
    if runs.empty:
        return None
    taught = ~first_gradients(frames.plain.loc[runs.index])
    heads = Heads(frames, runs[taught] if taught.any() else runs)
    if not heads.known:
        lead = learned_sentence(runs, "with attention")
        return Section(ID, "Inside attention", "Attention", (Lead(lead), ABSENT))
    lead, more = heads.sentence(), heads.before_the_end()
    told = sentences([more] if more else [])
    blocks = blocks_of(Lead(lead), INTRO, told, *heads.figures(), heads.table())
    return Section(ID, "Inside attention", "Attention", blocks, (lead,))
