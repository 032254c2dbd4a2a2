"""What attention's heads do over training: entropy and largest logit by sub-layer, head and step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.curves import thinned
from bench.analysis.within_layers import FEW_KEYS, HEADS, heads_by_step, narrowest
from bench.report.blocks import Figure, Panel, Scale, Sentence, Table
from bench.report.frames import Frames
from bench.report.sections.network_words import varying, words_of
from bench.report.sections.time_figures import best_and_worst
from bench.schema import RunStatus
from bench.text import integer, number, of, percent, plural

MOST_STEPS, MOST_ROWS = 24, 30
SOURCE = "From the table attention; logits as log10 in the CSV. Rule: docs/rules.md, Attention."
RULE = f"few keys: some head's entropy is under {100 * FEW_KEYS:.0f} % of the largest possible at a recorded step"


class Heads:
    """What the recorded heads of a suite's transformers say.

    Attributes:
        runs: the runs whose heads were recorded, with what `narrowest` returned of each.
        axes: those along which they differ.
    """

    def __init__(self, frames: Frames, runs: pd.DataFrame) -> None:
        table = frames.tables.get(HEADS)
        self.frames, self.axes, self.runs = frames, varying(frames, runs), runs.iloc[:0]
        if table is None or table.empty:
            return
        found = narrowest(frames.tables)
        ids = runs["run_id"].astype(str)
        known = runs[ids.isin(found.index)]
        more = {
            name: known["run_id"].astype(str).map(found[name]) for name in ("lowest", "step", "logit", "last", "ends")
        }
        self.runs = known.assign(**{f"_{name}": values for name, values in more.items()})
        self.axes = varying(frames, self.runs)

    @property
    def known(self) -> bool:
        """Whether any heads were recorded."""
        return len(self.runs) > 0

    def sentence(self) -> Sentence:
        """In how many of the runs that learned, and of the others, some head came to look at few keys."""
        few, learned = self.runs["_lowest"] < FEW_KEYS, self.runs["outcome"] == "learned"
        parts = [(int((few & own).sum()), int(own.sum())) for own in (~learned, learned)]
        lost = int((self.runs["status"] != RunStatus.COMPLETED).sum())
        basis = f"{RULE}; {plural(len(self.runs), 'run')}, {integer(lost)} lost, with what was recorded before"
        (bad, all_bad), (good, all_good) = parts
        if not all_bad or not all_good:
            text = f"Some head came to look at few keys in {of(bad + good, all_bad + all_good, 'run')}."
            return Sentence(text, basis)
        counts = f"{of(good, all_good, 'run')} that learned and {of(bad, all_bad)} that did not"
        return Sentence(f"Some head came to look at few keys in {counts}.", basis)

    def before_the_end(self) -> Sentence | None:
        """Of the runs that were lost, in how many it happened at a recorded step before the last one."""
        lost = self.runs[self.runs["status"] != RunStatus.COMPLETED]
        if lost.empty:
            return None
        few = lost[lost["_lowest"] < FEW_KEYS]
        logit = float(lost["_logit"].median())
        text = (
            f"Of {plural(len(lost), 'lost run')}, {integer(len(few))} looked at few keys before; their largest logit "
            f"was {number(logit, 2)} in the median."
        )
        return Sentence(text, f"{RULE}, at or before the last recorded step of a run")

    def figures(self) -> tuple[Figure, ...]:
        """Maps of entropy and of the largest logit, of the networks that ended best and worst."""
        several = self.frames.tables[HEADS].groupby("run_id", observed=True)["step"].nunique()
        known = self.runs[self.runs["run_id"].astype(str).map(several).fillna(0) > 1]
        chosen = best_and_worst(self.frames, known, [axis.factor for axis in self.axes])
        if not chosen:
            return ()
        panels = [self._panel(place, known[known["cell_key"] == key]) for place, key in chosen]
        ends = {place: panel.rows for place, panel in zip([p for p, _ in chosen], panels, strict=True)}
        own = known[known["cell_key"].isin([key for _, key in chosen])]
        lost = int((own["status"] != RunStatus.COMPLETED).sum())
        captions = (
            f"Medians over the runs that were left. {plural(lost, 'run')} of {integer(len(own))} shown "
            f"{'was' if lost == 1 else 'were'} lost; a dashed line stands where half of a network's lost runs were. "
            "Recorded steps stand at equal distances, heads of a block together.",
        )
        logits = np.concatenate([panel.rows["logit"].to_numpy(float) for panel in panels])
        logits = logits[np.isfinite(logits)]
        low, high = (float(np.floor(logits.min())), float(np.ceil(logits.max()))) if len(logits) else (0.0, 1.0)
        made = (
            ("attention-entropy", "entropy_map", "entropy", (0.0, 1.0), self._title(ends, "entropy"),
             "Entropy of each head's weights over the largest possible, by step. 1 is uniform, 0 one key."),
            ("attention-logits", "logit_map", "logit", (low, max(high, low + 1.0)), self._title(ends, "logit"),
             "Largest logit of each head by step, before mask or cap."),
        )  # fmt: skip
        return tuple(
            Figure(
                key, kind, title, Scale("step, as recorded", "block", x_limits=limits),
                tuple(replace(panel, rows=panel.rows.assign(value=panel.rows[name])) for panel in panels), 2,
                captions=captions, subtitle=drawn, source=SOURCE,
            )
            for key, kind, name, limits, title, drawn in made
        )  # fmt: skip

    def _panel(self, place: str, own: pd.DataFrame) -> Panel:
        found = heads_by_step(self.frames.tables, own, [])
        kept = thinned(found["step"].unique().tolist(), MOST_STEPS)
        lost = own[own["status"] != RunStatus.COMPLETED]
        ended = float(lost["steps_completed"].median()) if len(lost) else np.nan
        each = 1 if str(own["sublayers"].iloc[0]) == "attention_only" else 2
        rows = found[found["step"].isin(kept)].assign(block=lambda frame: frame["layer_index"] // each, ended=ended)
        words = words_of(own.iloc[0], self.axes) if self.axes else ""
        return Panel(words, rows.drop(columns="layer_index").reset_index(drop=True), strip=place)

    def _title(self, ends: dict[str, pd.DataFrame], name: str) -> str:
        """`Entropy falls from 98 % to 23 % in the worst network, from 98 % to 61 % in the best`."""
        said = []
        for place in ("Worst", "Best"):
            if place not in ends:
                continue
            rows = ends[place]
            values = [rows.loc[rows["step"] == step, name] for step in (rows["step"].min(), rows["step"].max())]
            first, last = (float(each.min() if name == "entropy" else each.max()) for each in values)
            told = [
                percent(round(1e4 * value), 10_000) if name == "entropy" else number(10.0**value, 2)
                for value in (first, last)
            ]
            said.append(f"from {told[0]} to {told[1]} in the {place.lower()} network")
        what = "The lowest entropy of a head goes" if name == "entropy" else "The largest logit goes"
        return f"{what} {', '.join(said)}"

    def table(self) -> Table:
        """Every network: its lowest entropy, when, its largest logit, and how its runs ended."""
        grouped = sorted(
            self.runs.groupby("cell_key", observed=True), key=lambda each: float(each[1]["_lowest"].median())
        )
        lines = []
        for _, own in grouped[:MOST_ROWS]:
            lost = int((own["status"] != RunStatus.COMPLETED).sum())
            learned = int((own["outcome"] == "learned").sum())
            lines.append((
                words_of(own.iloc[0], self.axes) if self.axes else "all networks",
                number(float(own["_lowest"].median()), 2),
                integer(int(own["_step"].median())), number(float(own["_ends"].median()), 2),
                number(float(own["_logit"].median()), 2), of(learned, len(own)), integer(lost),
            ))  # fmt: skip
        left = len(grouped) - len(lines)
        more = f"{plural(left, 'more network')}: see the tables. " if left > 0 else ""
        heads = ("network", "lowest entropy", "at step", "at the end", "largest logit", "learned", "lost")
        return Table(
            "Entropy and logits by network", heads, tuple(lines), tuple(range(1, 7)),
            f"{more}Medians over replicates. Entropy: of the head with the least, over the largest possible.",
        )  # fmt: skip
