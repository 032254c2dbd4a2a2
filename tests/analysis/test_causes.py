"""What went wrong in a run: one planted cause each, named with its layer and step; and silence where all is well."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.analysis.causes import findings
from bench.schema import TABLES, conform

RUN = pd.Series({"naive_loss": 2.3})


def tables(**changed: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """A sound run of 3 hidden layers at steps 0 and 9; `table={column: value}` sets it in layer 2 at `step`, else 9."""
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for step in (0, 9):
        at = {"run_id": "a0", "step": step}
        made["loss_curves"] += [at | {"loss": 2.3 - step / 5}]
        made["evaluations"] += [at | {"split": s, "loss": 2.3 - step / 5, "accuracy": 0.9, "largest_answer_share": 0.2}
                                for s in ("train", "validation")]  # fmt: skip
        for layer in range(4):
            name = "head" if layer == 3 else f"hidden_{layer}"
            made["gradient_norms"] += [at | {"layer_index": layer, "layer_name": name, "preactivation_grad_norm": 1.0,
                "weight_norm": 1.0, "update_norm": 0.01, "weight_grad_zero_fraction": 0.0}]  # fmt: skip
            if layer < 3:
                made["activations"] += [at | {"layer_index": layer, "dead_fraction": 0.1, "saturated_fraction": 0.1}]
    for table, columns in changed.items():
        step = columns.pop("step", 9)
        for row in made[table]:
            if row["step"] == step and row.get("layer_index", 2) == 2:
                row |= columns
    return {
        n: conform(n, {c: [r.get(c) for r in made[n]] for c in spec.columns}).to_pandas() for n, spec in TABLES.items()
    }


@pytest.mark.parametrize(("changed", "name", "evidence"), [
    ({"loss_curves": {"step": 0, "loss": 300.0}}, "loss too large at the start", "step 0: 300, the best constant"),
    ({"gradient_norms": {"step": 0, "update_norm": 4.0}}, "update larger than the weights", "layer 2, step 0: 4 times"),
    ({"gradient_norms": {"preactivation_grad_norm": 100.0}}, "vanishing gradient", "step 9: −2 decades"),
    ({"gradient_norms": {"preactivation_grad_norm": 0.01}}, "exploding gradient", "step 9: 2 decades"),
    ({"activations": {"dead_fraction": 1.0}}, "dead units", "layer 2, step 9: 1 of the units"),
    ({"activations": {"saturated_fraction": 0.96}}, "saturated units", "layer 2, step 9: 0.96 of units"),
    ({"gradient_norms": {"weight_grad_zero_fraction": 1.0}}, "gradient underflow", "layer 2, step 9: 1 of the"),
    ({"evaluations": {"loss": 16.5}}, "moving averages lag", "0.5 on training batches, 16.5 in inference mode"),
    ({"evaluations": {"largest_answer_share": 1.0}}, "one answer for every input", "step 9: accuracy 0.9"),
])  # fmt: skip
def test_what_is_planted_is_found_where_it_is(changed: dict[str, Any], name: str, evidence: str) -> None:
    (found,) = findings(tables(**changed), RUN)
    assert found.name == name
    assert evidence in found.evidence


def test_of_a_sound_run_nothing_is_said_and_what_comes_first_of_several_is_first() -> None:
    assert findings(tables(), RUN) == []
    both = findings(tables(loss_curves={"step": 0, "loss": 300.0}, activations={"dead_fraction": 1.0}), RUN)
    assert [each.name for each in both] == ["loss too large at the start", "dead units"]
