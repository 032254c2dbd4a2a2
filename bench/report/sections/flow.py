"""What becomes of a gradient on its way back through a network, said of each level: `tanh keeps the gradient (÷ 3)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.axes import LineLayout
from bench.text import listed, plural, ratio, spoken

KEPT = 1.0  # decades either way, as in suites/textbook.toml
MOST_SAID = 5


@dataclass(frozen=True)
class Flow:
    """The gradient at the first hidden layer over that at the last.

    Attributes:
        ratios: by level in words; 0 where nothing is left, infinite where it is no longer a number.
        layers: how many hidden layers there are; `unit` what they are called.
        where: the other levels that vary, in words.
        factor: of which the levels are; empty where nothing varies.
    """

    ratios: Mapping[str, float]
    layers: int
    where: str
    factor: str
    unit: str = "layer"

    @property
    def kept(self) -> list[str]:
        """The levels that keep the gradient within a factor of ten."""
        return [name for name, value in self.ratios.items() if 10.0**-KEPT <= value <= 10.0**KEPT]

    def title(self) -> str:
        """Which levels keep the gradient."""
        span = f"over {plural(self.layers, self.unit)}{f' ({self.where})' if self.where else ''}"
        if not self.factor:
            return f"The gradient {self._fate()} {span}"
        kept, known = self.kept, len(self.ratios)
        if len(kept) == known == 1:
            return f"{spoken(kept[0])} keeps the gradient {span}"
        if len(kept) == known:
            return f"{'Both' if known == 2 else f'All {known}'} {_plural(self.factor)} keep the gradient {span}"
        if not kept:
            return f"No {spoken(self.factor)} keeps the gradient {span}"
        if len(kept) > MOST_SAID:
            return f"{len(kept)} of {known} {_plural(self.factor)} keep the gradient {span}"
        return f"Only {listed(kept)} {'keeps' if len(kept) == 1 else 'keep'} the gradient {span}"

    def sentence(self) -> str:
        """The same with the ratios: `Over 32 layers tanh keeps the gradient (÷ 3); sigmoid ÷ 300 …`."""
        where = f", with {self.where}" if self.where else ""
        if not self.factor:
            return f"Over {plural(self.layers, self.unit)} the gradient {self._fate()}{where}."
        kept = self.kept
        lost = [f"{name} {shown(value)}" for name, value in self.ratios.items() if name not in kept]
        rest = listed(lost, MOST_SAID)
        if not kept:
            head = f"no {spoken(self.factor)} keeps the gradient: {rest}"
        elif len(kept) == 1:
            head = f"{kept[0]} keeps the gradient ({shown(self.ratios[kept[0]])})"
        else:
            head = f"{listed([f'{name} ({shown(self.ratios[name])})' for name in kept], MOST_SAID)} keep the gradient"
        return f"Over {plural(self.layers, self.unit)} {head}{f'; {rest}' if kept and lost else ''}{where}."

    def _fate(self) -> str:
        (value,) = self.ratios.values()
        return f"is kept ({shown(value)})" if self.kept else f"changes {shown(value)}"


def flow_of(profile: pd.DataFrame, layout: LineLayout) -> Flow | None:
    """Of the panel with Keras's defaults; None where no series has a number at both ends."""
    rows, where = layout.usual(profile)
    ratios = {}
    for level in layout.series:
        own = rows[rows[layout.colour.factor] == level] if layout.colour else rows
        own = own.dropna(subset=["median"]).sort_values("layer_index", kind="stable")
        if len(own) > 1 and 0.0 < own["median"].iloc[-1] < np.inf:
            name = layout.colour.words(level) if layout.colour else level
            ratios[name] = float(own["median"].iloc[0] / own["median"].iloc[-1])
    if not ratios:
        return None
    layers = int(rows["layer_index"].max()) + 1
    return Flow(ratios, layers, where, layout.colour.factor if layout.colour else "", layout.unit)


def shown(value: float) -> str:
    """A ratio; `to 0` and `to ∞` at its ends."""
    if value == 0.0 or np.isinf(value):
        return "to 0" if value == 0.0 else "to ∞"
    return ratio(value)


def _plural(factor: str) -> str:
    return f"{spoken(factor)}s"
