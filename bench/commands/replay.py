"""`bench replay`: a training step that was stopped, once more, from the first tensor that was not finite."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.text import number, plural

BEFORE, MOST = 3, 20


def show_replay(folder: Path, run: str, model: str, step: str, as_json: bool) -> None:
    """Make the step again and print its tensors, from shortly before the first that is not finite.

    Raises:
        ResultsError: nothing was stopped in the folder, or the step cannot be made again.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what TensorFlow says of itself is not asked for
    from bench.recorder.replay import STEP_HELP, replay

    stop, links = replay(folder, run, model, step)
    bad = next((k for k, link in enumerate(links) if not link.finite), None)
    if as_json:
        print(json.dumps(asdict(stop) | {"first_bad": bad, "chain": [asdict(link) for link in links]}, indent=1))
        return
    where = f" of {stop.layer}" if stop.layer else ""
    print(f"{stop.run_id}, step {stop.step}: {stop.kind} in the {stop.tensor}{where}, in training")
    made = "As it was recorded" if stop.chain and not step else "Made again"
    if stop.chain and not step:
        print(f"A loop of your own made this step, and is not made again without its lines. {STEP_HELP}")
    if bad is None:
        print(f"{made}, every tensor before the update is finite: the update itself leaves the finite numbers.")
        bad = len(links) - 1
    else:
        link = links[bad]
        print(f"{made}: the first that is not finite is the {link.tensor}{link.layer and f' of {link.layer}'}")
    table = Table("", "tensor", "layer", "norm")
    for k in range(max(0, bad - BEFORE), min(len(links), bad + MOST)):
        link = links[k]
        size = "NaN" if math.isnan(link.norm) else number(link.norm)
        table.add_row("" if link.finite else "✗", link.tensor, link.layer, size)
    Console().print(table)
    if len(links) > bad + MOST:
        print(f"{plural(len(links) - bad - MOST, 'more tensor')}: --json has all.")
