"""What to try on a network from elsewhere, of hand-made references and of those that ship."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from bench import reference
from bench.analysis import Outcome, Symptom, advice
from bench.analysis.remedies import LOSSES
from bench.errors import ResultsError


def runs() -> pd.DataFrame:
    """Sigmoid vanishes at depths 4 and 16, relu at 16; batch normalization always helps, relu at depth 4 alone."""
    rows = []
    for depth, activation, norm, r in product((4, 16), ("sigmoid", "relu"), ("none", "batch_normalization"), range(5)):
        lost = norm == "none" and not (depth == 4 and activation == "relu")
        rows.append(
            {"cell_key": f"{depth}{activation}{norm}", "replicate": r, "architecture": "mlp", "depth": depth,
             "activation": activation, "normalization": norm, "status": "completed", "seconds_per_step": 1.0,
             "symptom_start": Symptom.VANISHING if lost else Symptom.HEALTHY, "chance_accuracy": 0.1,
             "outcome": Outcome.NOT_LEARNED if lost else Outcome.LEARNED,
             "final_validation_accuracy": 0.1 if lost else 0.9}
        )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_nearest_depth_and_the_same_activation_count() -> None:
    found = advice({"a": runs()}, "vanishing", "mlp", 9, {"activation": "sigmoid"})
    assert found is not None
    assert (found.depths, found.activation, found.runs, found.suites) == ((16,), "sigmoid", 5, ("a",))
    assert found.rows[["factor", "level", "pairs", "rescued"]].to_numpy().tolist() == [
        ["normalization", "batch_normalization", 5, 5]
    ]
    assert found.without == 1  # relu rescues none there
    shallow = advice({"a": runs()}, "vanishing", "mlp", 5, {"activation": "sigmoid"})
    assert shallow is not None
    assert set(shallow.rows["level"]) == {"relu", "batch_normalization"}


def test_two_changes_are_named_where_no_single_one_rescues_half() -> None:
    found = advice({"a": runs()}, "vanishing", "mlp", 16, {"activation": "sigmoid"})
    assert found is not None and found.of_two.empty
    rows = runs()
    alone = (rows["depth"] == 16) & (rows["activation"] == "sigmoid") & (rows["normalization"] == "batch_normalization")
    rows.loc[alone & (rows["replicate"] > 0), ["outcome", "final_validation_accuracy"]] = [Outcome.NOT_LEARNED, 0.1]
    found = advice({"a": rows}, "vanishing", "mlp", 16, {"activation": "sigmoid"})
    assert found is not None
    columns = ["factor", "level", "second_factor", "second_level", "pairs", "rescued"]
    assert found.of_two[columns].to_numpy().tolist() == [
        ["activation", "relu", "normalization", "batch_normalization", 5, 5]
    ]
    there = advice(
        {"a": rows}, "vanishing", "mlp", 16, {"activation": "sigmoid", "normalization": "batch_normalization"}
    )
    assert there is not None and there.of_two.empty


def test_what_is_there_already_is_not_advised_and_an_unknown_activation_takes_all() -> None:
    own = {"activation": "swish", "normalization": "batch_normalization"}
    found = advice({"a": runs(), "b": runs()}, "vanishing", "mlp", 16, own)
    assert found is not None
    assert (found.activation, found.runs, found.suites) == ("", 20, ("a", "b"))
    assert "normalization" not in set(found.rows["factor"])


@pytest.mark.parametrize(("symptom", "architecture"), [("exploding", "mlp"), ("vanishing", "conv")])
def test_no_other_family_and_no_other_symptom_lends_its_counts(symptom: str, architecture: str) -> None:
    assert advice({"a": runs()}, symptom, architecture, 16) is None


def test_a_reference_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = reference.Reference("a", runs(), "A", "Why?", "0" * 64, {"keras": "3.15.1"}, {"cores": "2"})
    path = reference.write(made, tmp_path)
    first = path.read_bytes()
    back = reference.read("a", tmp_path)
    assert (back.title, back.question, back.versions, back.machine) == (
        made.title,
        made.question,
        made.versions,
        made.machine,
    )
    assert advice({"a": back.runs}, "vanishing", "mlp", 16).rows.equals(  # type: ignore[union-attr]
        advice({"a": runs()}, "vanishing", "mlp", 16).rows  # type: ignore[union-attr]
    )
    reference.write(back, tmp_path)
    assert path.read_bytes() == first


def test_a_reference_without_times_says_so_and_still_advises(tmp_path: Path) -> None:
    quiet = reference.Reference("a", runs(), "A", "Why?", "0" * 64, {"keras": "3.15.1"}, {"cores": "2"})
    busy = replace(quiet, runs=runs().drop(columns="seconds_per_step"))
    reference.write(busy, tmp_path)
    back = reference.read("a", tmp_path)
    assert quiet.timed and not back.timed
    rows = advice({"a": back.runs}, "vanishing", "mlp", 16).rows  # type: ignore[union-attr]
    assert rows["cost"].isna().all() and (rows["rescued"] > 0).all()


def test_a_wrong_name_and_a_damaged_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="default"):
        reference.read("defualt")
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(ResultsError, match=r"a\.parquet: not a reference"):
        reference.read("a", tmp_path)


@pytest.mark.parametrize("suite", reference.names())
def test_a_shipped_reference_names_versions_machine_and_how_every_run_ended(suite: str) -> None:
    found = reference.read(suite)
    assert found.versions["keras"]
    assert found.machine["processor"]
    assert found.runs[["outcome", "symptom_start", "depth", "architecture"]].notna().all().all()
    assert not found.runs.duplicated(["cell_key", "replicate"]).any()


def test_shipped_references_answer_the_commonest_question() -> None:
    found = advice({"default": reference.read("default").runs}, "vanishing", "mlp", 20, {"activation": "sigmoid"})
    assert found is not None
    assert found.rows.loc[0, "factor"] == "normalization"
    assert found.rows["rate_lower"].is_monotonic_decreasing
    assert set(found.rows["pathology"]) == {"vanishing"} <= set(map(str, LOSSES))
