"""Where an event was seen, in words: tensor, layer, and of a sequence the time step."""

from __future__ import annotations

import pandas as pd

from bench.analysis.events import places
from bench.report.sections.divergence import event_table

RUNS = pd.DataFrame(
    {
        "run_id": ["a-r0", "b-r0", "c-r0"],
        "cell_key": ["a", "b", "c"],
        "dataset": ["recall(length=50)", "digits", "mine.data:sequences"],
    }
)
EVENTS = pd.DataFrame(
    [
        ("a-r0", 3, "infinity", "pre-activation", 0, 37),
        ("a-r0", 3, "infinity", "loss", None, None),
        ("b-r0", 4, "nan", "gradient", 2, None),
        ("c-r0", 5, "nan", "gradient", 1, 0),
    ],
    columns=["run_id", "step", "kind", "tensor", "layer_index", "time"],
)
PLACES = ["pre-activation of layer 0 at time step 37 of 50", "loss", "gradient of layer 2"]


def test_a_place_names_the_time_step_and_of_how_many() -> None:
    assert places(EVENTS, RUNS) == [*PLACES, "gradient of layer 1 at time step 0"]
    assert places(EVENTS[1:3], RUNS.assign(dataset="of another version")) == PLACES[1:]
    assert places(EVENTS.drop(columns="time"), RUNS)[0] == "pre-activation of layer 0"


def test_the_table_of_cells_has_time_steps_where_there_are_any() -> None:
    table = event_table(EVENTS, RUNS)
    assert table is not None and table.columns[-2:] == ("layer", "time step")
    assert [row[-2:] for row in table.rows] == [("0", "37"), ("2", "–"), ("1", "0")]
    table = event_table(EVENTS[2:3], RUNS)
    assert table is not None and table.columns[-1] == "layer" and table.rows[0][-1] == "2"
