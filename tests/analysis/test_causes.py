"""What went wrong in a run: one planted cause each, named with its layer and step; and silence where all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.causes import COLUMNS, RULES, Signs, Stage, causes_of, evidence, findings
from bench.analysis.verdicts import Outcome
from bench.schema import TABLES, conform
from bench.text import number

Changes = dict[str, dict[str, Any]]
STEPS = (0, 4, 9)
DOCUMENT = Path(__file__).parents[2] / "docs" / "rules.md"


def tables(*changes: Changes) -> dict[str, pd.DataFrame]:
    """A run each of 3 hidden layers: sound, but for `table={column: value}`, set in layer 2 at `step`, 9 unless given.

    A sound run's loss falls from 2.3 to 0.5 and rests there.
    """
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for index, changed in enumerate(changes):
        own = _sound(f"a{index}")
        for table, columns in changed.items():
            step, layer, set_ = columns.get("step", 9), columns.get("layer", 2), dict(columns)
            if table == "divergence_events":
                own[table].append({"run_id": f"a{index}", "layer_index": layer, **set_})
            for name in ("step", "layer"):
                set_.pop(name, None)
            for row in own[table]:
                if row.get("step", step) == step and row.get("layer_index", layer) == layer:
                    row |= set_
        for name, rows in own.items():
            made[name] += rows
    return {
        n: conform(n, {c: [r.get(c) for r in made[n]] for c in spec.columns}).to_pandas() for n, spec in TABLES.items()
    }


def _sound(run_id: str) -> dict[str, list[dict[str, Any]]]:
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    made["runs"] = [{"run_id": run_id, "naive_loss": 2.3, "naive_accuracy": 0.1, "width": 8, "normalization": "none",
                     "architecture": "mlp", "status": "completed"}]  # fmt: skip
    for step in STEPS:
        at, loss = {"run_id": run_id, "step": step}, 0.5 if step else 2.3
        made["loss_curves"] += [at | {"loss": loss}]
        made["evaluations"] += [at | {"split": s, "loss": loss, "accuracy": 0.9, "largest_answer_share": 0.2}
                                for s in ("train", "validation")]  # fmt: skip
        for layer in range(4):
            name = "head" if layer == 3 else f"hidden_{layer}"
            made["gradient_norms"] += [at | {"layer_index": layer, "layer_name": name, "preactivation_grad_norm": 1.0,
                "weight_norm": 3.0, "update_norm": 0.03, "weight_grad_zero_fraction": 0.0}]  # fmt: skip
            if layer < 3:
                made["activations"] += [at | {"layer_index": layer, "dead_fraction": 0.1, "saturated_fraction": 0.1,
                    "mean": 0.1, "std": 0.9, "unit_std": 0.8, "pair_correlation": 0.2,
                    "preactivation_mean_square": 1.0}]  # fmt: skip
    return made


def judged(frames: dict[str, pd.DataFrame], outcome: str = Outcome.NOT_LEARNED) -> pd.DataFrame:
    return frames["runs"].assign(outcome=str(outcome))


NAN = {"kind": "nan", "tensor": "activation"}
COPIED = {"dataset": "copy_memory", "naive_accuracy": 0.8, "naive_loss": 0.416}
ADDED = {"dataset": "adding", "naive_accuracy": None, "naive_loss": 1 / 6}  # an answer of 0 has 7 / 6
CASES: list[tuple[Changes, str, str]] = [
    ({"divergence_events": NAN | {"step": 0, "layer": 1}}, "non-finite numbers from the start",
     "layer 1, step 0: activation not finite"),
    ({"divergence_events": NAN | {"step": 0, "layer": 0}, "activations": {"step": 0, "layer": 1,
      "preactivation_mean_square": np.inf}}, "non-finite numbers from the start", "layer 0, step 0: activation"),
    ({"divergence_events": NAN | {"step": 0, "tensor": "pre-activation"}, "activations": {"step": 0, "layer": 1,
      "preactivation_mean_square": 1e30}}, "values too large at the start", "layer 1, step 0: root mean square"),
    ({"runs": {"naive_accuracy": None, "naive_loss": 3.6e9}}, "data out of range", "deviation of the targets 60,000"),
    ({"runs": {"naive_accuracy": None, "naive_loss": 6e4, "loss": "mean_absolute_error"}}, "data out of range",
     "deviation of the targets 60,000"),
    ({"runs": {"naive_accuracy": None, "naive_loss": 119.5, "loss": "huber(delta=1)"}}, "data out of range",
     "deviation of the targets 120"),
    ({"activations": {"step": 0, "layer": 0, "preactivation_mean_square": 9801.0}}, "data out of range",
     "layer 0, step 0: root mean square of the inputs about 93.3"),
    ({"loss_curves": {"step": 4, "loss": 9.0}}, "rate too large", "step 4: training loss 3.91 times its start"),
    ({"activations": {"step": 0, "unit_std": 0.0}}, "identical units", "layer 2, step 0: spread between units"),
    ({"activations": {"step": 0, "layer": 0, "mean": 0.0, "std": 0.0, "unit_std": 0.0}}, "identical units", "layer 0"),
    ({"activations": {"dead_fraction": 1.0}}, "dead units", "layer 2, step 9: share of units with slope 0"),
    ({"runs": {"activation": "sigmoid"}, "activations": {"dead_fraction": 1.0, "saturated_fraction": 1.0}},
     "saturated units", "layer 2, step 9: share of units and samples"),
    ({"runs": {"activation": "relu6"}, "activations": {"dead_fraction": 1.0, "saturated_fraction": 1.0}},
     "saturated units", "layer 2, step 9"),
    ({"runs": {"activation": "relu6"}, "activations": {"dead_fraction": 1.0, "nonpositive_fraction": 1.0}},
     "dead units", "layer 2, step 9: share of units with slope 0"),
    ({"activations": {"saturated_fraction": 0.96}}, "saturated units", "layer 2, step 9: share of units and samples"),
    ({"loss_curves": {"step": 0, "loss": 300.0}}, "values too large at the start", "step 0: loss 130 times"),
    ({"runs": {"naive_loss": 0.02}, "evaluations": {"largest_answer_share": 1.0}}, "one answer for every input", ""),
    ({"gradient_norms": {"step": 0, "weight_grad_zero_fraction": 1.0}}, "gradient underflow", "layer 2, step 0"),
    ({"gradient_norms": {"preactivation_grad_norm": 100.0}}, "vanishing gradient", "layer 1, step 9: −2 decades"),
    ({"gradient_norms": {"preactivation_grad_norm": 0.01}}, "exploding gradient", "layer 1, step 9: 2 decades"),
    ({"activations": {"step": 0, "pair_correlation": 0.9999}}, "samples alike", "layer 2, step 0"),
    ({"gradient_norms": {"step": 4, "update_norm": 4.0}}, "rate too large", "layer 2, step 4: update over weights 1."),
    ({"divergence_events": NAN | {"step": 9, "layer": None}}, "left the finite numbers", "step 9: activation"),
    ({"evaluations": {"loss": 0.1}}, "too few steps", "step 9: loss still fell by 0.174"),
    ({"evaluations": {"largest_answer_share": 1.0}, "runs": {"naive_accuracy": 0.99}}, "majority answer", "0.99"),
    ({"evaluations": {"largest_answer_share": 1.0}}, "one answer for every input", "step 9"),
    ({"evaluations": {"largest_answer_share": 1.0}, "runs": COPIED}, "majority answer", "share of 0.8"),
    ({"evaluations": {"largest_answer_share": 0.8, "loss": 0.35}, "runs": COPIED}, "too few steps", "step 9"),
    ({"loss_curves": {"step": 0, "loss": 2.3}, "evaluations": {"loss": 0.4}, "runs": ADDED}, "too few steps", "0.6"),
    ({"loss_curves": {"step": 0, "loss": 12.0}, "runs": ADDED}, "values too large at the start", "loss 72 times"),
    ({"evaluations": {"loss": 16.5}, "runs": {"normalization": "batch_normalization(momentum=0.999)"}},
     "lagging moving averages", "step 9: loss in inference mode over training mode 33 (at least 2)"),
]  # fmt: skip


def test_what_is_planted_is_the_cause_with_its_place_and_number() -> None:
    frames = tables(*(changes for changes, _, _ in CASES))
    found = Signs(frames).all()
    causes = causes_of(frames, judged(frames), found)
    said = [
        (cause, evidence(found[found["run_id"] == run].iloc[0])) for run, cause in causes[["run_id", "cause"]].values
    ]
    for (_, name, words), (cause, evident) in zip(CASES, said, strict=True):
        assert cause == name
        assert words in evident


def test_no_row_reads_a_run_as_another_one() -> None:
    """All runs at once, in any order of their rows, have the causes that each has alone."""
    frames = tables(*(changes for changes, _, _ in CASES))
    shuffled = {name: frame.sample(frac=1.0, random_state=1) for name, frame in frames.items()} | {
        "runs": frames["runs"]
    }
    pd.testing.assert_frame_equal(causes_of(shuffled, judged(frames)), causes_of(frames, judged(frames)))


def test_more_steps_are_no_cause_where_validation_does_not_fall_too() -> None:
    frames = tables({"evaluations": {"loss": 0.1}}, {"evaluations": {"loss": 0.1}})
    rows = frames["evaluations"]
    rows["loss"] = rows["loss"].where((rows["run_id"] == "a0") | (rows["split"] == "train"), 2.3)
    assert causes_of(frames, judged(frames))["cause"].tolist()[0] == "too few steps"
    assert "too few steps" not in Signs(frames).all().query("run_id == 'a1'")["cause"].tolist()


def test_a_kernel_that_never_moves_and_a_validation_loss_apart() -> None:
    frames = tables({}, {})
    moved = frames["gradient_norms"]
    moved["update_norm"] = moved["update_norm"].where(moved["run_id"] == "a1", 1e-6)
    rows = frames["evaluations"]
    rows["loss"] = rows["loss"].where((rows["run_id"] == "a0") | (rows["split"] == "train"), 4.0)
    assert causes_of(frames, judged(frames))["cause"].tolist() == ["rate too small", "memorized training rows"]


def test_kernels_that_no_step_moves_are_told_from_those_whose_gradient_is_clipped_away() -> None:
    frames = tables({}, {}, {})
    frames["gradient_norms"]["update_norm"] = 1e-6
    rows = frames["loss_curves"]
    rows["global_grad_norm"], rows["clipped_grad_norm"] = 5.0, 5.0
    rows["clipped_grad_norm"] = rows["clipped_grad_norm"].mask(rows["run_id"] == "a0", 1e-3)
    once = (rows["run_id"] == "a1") & (rows["step"] > 0)
    rows["clipped_grad_norm"] = rows["clipped_grad_norm"].mask(once, 1e-3)
    causes = causes_of(frames, judged(frames))
    assert causes["cause"].tolist() == ["gradient clipped away", "rate too small", "rate too small"]
    assert causes["value"].iloc[0] == pytest.approx(2e-4)
    frames["loss_curves"] = rows.drop(columns="clipped_grad_norm")
    assert causes_of(frames, judged(frames))["cause"].tolist() == ["rate too small"] * 3


def test_weights_have_decayed_where_every_kernel_has() -> None:
    frames = tables({}, {})
    rows = frames["gradient_norms"]
    shrunk = (rows["step"] == 9) & ((rows["run_id"] == "a0") | (rows["layer_index"] < 3))
    rows["weight_norm"] = rows["weight_norm"].mask(shrunk, 0.02)
    rows["update_norm"] = 1e-3 * rows["weight_norm"]
    causes = causes_of(frames, judged(frames))
    assert causes["cause"].tolist() == ["weights decayed away", "no known cause"]
    assert (causes["step"].iloc[0], causes["value"].iloc[0]) == (9, pytest.approx(0.02 / 3.0))


def test_a_bad_end_without_a_sign_is_not_known_and_a_good_one_needs_none() -> None:
    frames = tables({}, {"activations": {"dead_fraction": 1.0}})
    assert causes_of(frames, judged(frames))["cause"].tolist() == ["no known cause", "dead units"]
    assert causes_of(frames, judged(frames, Outcome.FAILED))["cause"].tolist() == ["failed with an error"] * 2
    assert causes_of(frames, judged(frames, Outcome.LEARNED)).empty
    assert list(causes_of(frames, judged(frames))) == [*COLUMNS, "place"]
    assert findings(Signs(frames).all(), "a0", Outcome.LEARNED).empty


def test_the_earliest_sign_is_the_cause_and_the_first_rule_where_looks_are_too_rare_to_tell() -> None:
    late, early = (
        {"activations": {"dead_fraction": 1.0}},
        {"gradient_norms": {"step": 4, "preactivation_grad_norm": 99.0}},
    )
    between = {"activations": {"dead_fraction": 1.0}, "gradient_norms": {"step": 9, "preactivation_grad_norm": 99.0}}
    frames = tables(late | early, between)
    assert causes_of(frames, judged(frames))["cause"].tolist() == ["vanishing gradient", "dead units"]


def test_folders_without_a_column_ask_no_rule_of_it() -> None:
    """Results of before: without `unit_std` nothing is said of identical units, and the next rule speaks."""
    planted: Changes = {"activations": {"step": 0, "unit_std": 0.0}, "loss_curves": {"step": 4, "loss": 9.0}}
    frames = tables(planted, {"activations": {"step": 0, "unit_std": 0.0}})
    for missing in ("unit_std", "dead_fraction", "pair_correlation", "preactivation_mean_square"):
        frames["activations"] = frames["activations"].drop(columns=missing)
    frames["runs"] = frames["runs"].drop(columns=["naive_loss", "naive_accuracy"])
    assert causes_of(frames, judged(frames))["cause"].tolist() == ["rate too large", "no known cause"]


def test_the_rules_of_the_document_are_those_that_are_asked() -> None:
    """docs/rules.md lists them in their order, each threshold as a number."""
    table = DOCUMENT.read_text("utf-8").partition("## Causes")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    for row, rule in zip(table.splitlines(), RULES, strict=True):
        name, applies, stage = (cell.strip() for cell in row.strip("|").split("|"))
        assert (name, stage) == (str(rule.cause), "" if rule.stage is Stage.BY_STEP else rule.stage.name.lower())
        assert np.isnan(rule.threshold) or number(rule.threshold) in applies or rule.threshold == 1.0, applies
