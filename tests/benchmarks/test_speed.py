"""What `make speed` makes of its times, on times that are given; and that all contestants train the same."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import speed
from benchmarks.case import Case
from benchmarks.process import Processes, environment
from benchmarks.speed import Contestant, Crew, Effort, Heat, measure_all, race, read, write
from benchmarks.speed_page import better_forms, disagreements, engine_steps, page, ratios

FACTS = {
    "machine": {"processor": "a processor", "cores": 2, "vector_extensions": "avx2"},
    "versions": {"tensorflow": "2.x", "keras": "3.x"},
    "left_out": ["JAX is not installed"],
}
NOISE = [1.0, 3.0, 1.5, 10.0, 2.0]  # of a round: it hits all alike


def rows(kind: str, values: list[float], contestant: str = "engine", **more: Any) -> list[dict[str, Any]]:
    """One contestant's rounds."""
    names = {"heat": "steps", "contestant": contestant, "form": "", "onednn": "on"} | vars(Case()) | more
    return [names | {"kind": kind, "round": number, "value": value} for number, value in enumerate(values, 1)]


def engine(times: tuple[float, float], rate: float, **more: Any) -> list[dict[str, Any]]:
    """The engine's rounds of both kinds, and its rate of products."""
    plain, measured = times
    found = rows("plain", [plain * noise for noise in NOISE], **more)
    found += rows("measured", [measured * noise for noise in NOISE], **more)
    found += rows("products", [rate / noise for noise in NOISE], **more)
    return found + rows("first", [2.0], **more) + rows("loss", [2.5], **more) + rows("peak", [2.0**9], **more)


def test_a_ratio_is_of_one_round_so_that_common_noise_is_not_in_it() -> None:
    own = [1, 1, 1.1, 1.2, 0.9]
    loop = rows("plain", [0.5 * noise * extra for noise, extra in zip(NOISE, own, strict=True)], "Keras loop")
    (found,) = ratios(pd.DataFrame(engine((0.1, 0.2), 100.0) + loop)).to_dict("records")
    assert (found["contestant"], found["kind"]) == ("Keras loop", "plain")
    assert [found[name] for name in ("median", "lower", "upper")] == pytest.approx([5.0, 5.0, 5.5])


def test_what_knows_no_onednn_is_compared_under_both_settings_and_others_under_their_own() -> None:
    ours = engine((0.1, 0.2), 100.0) + engine((0.2, 0.4), 50.0, onednn="off")
    loop = rows("plain", NOISE, "Keras loop") + rows(
        "plain", [4 * noise for noise in NOISE], "Keras loop", onednn="off"
    )
    jax = rows("plain", [0.3 * noise for noise in NOISE], "JAX", onednn="")
    found = ratios(pd.DataFrame(ours + loop + jax)).set_index(["contestant", "onednn"])["median"]
    assert dict(found) == pytest.approx(
        {("JAX", "off"): 1.5, ("JAX", "on"): 3.0, ("Keras loop", "off"): 20.0, ("Keras loop", "on"): 10.0}
    )


def test_of_two_forms_the_faster_one_counts_for_each_network_by_itself() -> None:
    found = []
    for depth, unrolled, scan in ((4, 1.0, 2.0), (48, 5.0, 3.0)):
        found += rows("plain", [unrolled] * 3, "JAX", form="unrolled", depth=depth)
        found += rows("plain", [scan] * 3, "JAX", form="scan", depth=depth)
    best = better_forms(pd.DataFrame(found)).groupby("depth")["form"].unique()
    assert (list(best[4]), list(best[48])) == (["unrolled"], ["scan"])


def test_the_share_is_of_the_rate_of_the_better_setting_in_the_same_round() -> None:
    flops = Case(depth=2, width=8).flops
    assert flops == 2 * 64 * (3 * (8 * 8 + 8 * 10) + 2 * 64 * 8)
    small = {"depth": 2, "width": 8}
    at_100 = 1e-6 * flops / 100  # milliseconds a run at 100 GFLOP/s
    ours = engine((at_100, 1.5 * at_100), 200.0, **small) + engine(
        (2 * at_100, 2 * at_100), 50.0, onednn="off", **small
    )
    found = engine_steps(pd.DataFrame(ours))
    assert found[found["onednn"] == "on"]["share"].tolist() == pytest.approx([0.5] * len(NOISE))
    assert found[found["onednn"] == "off"]["share"].tolist() == pytest.approx([0.25] * len(NOISE))
    assert found[found["onednn"] == "on"]["cost"].tolist() == pytest.approx([1.5] * len(NOISE))


def everything() -> pd.DataFrame:
    """Rows of every heat."""
    found = engine((0.1, 0.12), 100.0) + rows("plain", [0.2 * noise for noise in NOISE], "Keras loop")
    found += rows("first", [1.0], "Keras loop") + rows("loss", [2.6], "Keras loop") + rows("peak", [300], "Keras loop")
    for name, size in (("runs", 6), ("width", 128), ("depth", 128)):
        found += engine((0.1, 0.12), 100.0, heat=name, **{name: size})
    for contestant, seconds in (("bench run", 10.0), ("Keras loop", 200.0)):
        found += suite_rows("seconds", seconds, contestant)
        found += rows("seconds", [seconds / 4] * 2, contestant, heat="structures", depth=4)
        found += [each | {"heat": "cohorts", "cell": "gru"} for each in suite_rows("seconds", seconds, contestant)]
    gru = vars(Case.recurrent("gru"))
    found += engine((0.1, 0.12), 100.0, heat="recurrent", **gru) + engine((0.1, 0.12), 100.0, heat="length", **gru)
    found += rows("measured", [0.36 * noise for noise in NOISE], "JAX", **gru | {"heat": "recurrent"})
    return pd.DataFrame(found + suite_rows("training", 12.0, "bench run"))


def suite_rows(kind: str, value: float, contestant: str) -> list[dict[str, Any]]:
    """Rows of a whole suite, which are no network's."""
    return [
        {name: each[name] for name in each if name not in vars(Case())}
        for each in rows(kind, [value] * 2, contestant, heat="suite")
    ]


def test_losses_that_differ_are_said_to(tmp_path: Path) -> None:
    assert disagreements(everything())["Keras loop "] == pytest.approx(0.04)
    assert "differs from the engine's by more than 0.001 of it: Keras loop 4.0e-02." in page(everything(), FACTS)


def test_the_page_is_made_of_the_rows_and_says_who_is_left_out(tmp_path: Path) -> None:
    write(everything(), FACTS, tmp_path)
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert text == page(read(tmp_path / "rows.csv"), FACTS)
    assert "Left out: JAX is not installed." in text
    assert "| network | engine, ms a run | % of the machine's rate | Keras loop |" in text
    assert "| depth 16 | 0.200 (0.150–0.300) | " in text
    assert " | 2.00 (2.00–2.00) |" in text  # the loop
    assert "| 128 | on | 0.200 (0.150–0.300) | 0.240 (0.180–0.360) | 1.20 (1.20–1.20) | " in text
    assert "| gru | measured | on | 5.8 (4.3–8.6) | 3.00 (3.00–3.00) |" in text
    assert "| gru | 50 | on | 2.00 | 5 | 6 |" in text
    assert "| gru | on | 10 (10–10) | 200 (200–200) | 20.0 (20.0–20.0) |" in text
    assert "| on | 10 (10–10) | 200 (200–200) | 20.0 (20.0–20.0) | training 12 s |" in text
    assert "| on | depth 4 | 20.0 |" in text


class FakeProcesses:
    """Processes that import, or not, and whose steps take 24 milliseconds."""

    turns: list[str] = []  # noqa: RUF012

    def __init__(self, module: str, *_: object, **__: object) -> None:
        self.module = module

    def ask(self, **order: Any) -> list[dict[str, Any]]:
        if self.module == "dead":
            raise RuntimeError("Traceback:\nModuleNotFoundError: no dead\n")
        if self.module == "late" and "kind" in order:
            raise RuntimeError("")
        if "kind" in order:
            self.turns.append(self.module)
        return [{"kinds": ["plain"], "first": 1.0, "loss": 2.0, "seconds": 0.024, "peak": 2.0**30}]

    def close(self) -> None:
        self.turns.append(f"{self.module} ended")


def test_contestants_take_turns_and_who_dies_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "Processes", FakeProcesses)
    monkeypatch.setattr(FakeProcesses, "turns", [])
    contestants = [Contestant("A", "a"), Contestant("D", "dead"), Contestant("L", "late")]
    contestants += [Contestant("B", "b", lone=True, onednn=False)]
    left_out: list[str] = []
    with Crew() as crew:
        found = pd.DataFrame(race(Heat("steps", [Case()], contestants, ["on"]), crew, Effort(2, 0.1), left_out))
    assert FakeProcesses.turns == ["b", "a", "a", "b", "b", "a", "a ended", "dead ended", "late ended", "b ended"]
    lost = ["depth 16, none, D: ModuleNotFoundError: no dead", "depth 16, none, L: it died without a word"]
    assert left_out == lost
    plain = found[found["kind"] == "plain"].set_index("contestant")
    assert len(plain) == 4  # the round for warming up is not among them
    assert plain.loc["A", "value"].tolist() == pytest.approx([1.0, 1.0])  # 24 runs at once
    assert plain.loc["B", "value"].tolist() == pytest.approx([24.0, 24.0])  # one of them
    assert set(found[found["kind"] == "peak"]["value"]) == {1024.0}


def test_a_process_answers_what_it_was_told_or_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from benchmarks.process import Prepared, counted, serve\n"
        "serve(lambda case, settings: Prepared({'plain': counted(lambda: None, case.depth)}, 1.0, settings['loss']))\n"
    )
    monkeypatch.chdir(tmp_path)
    processes = Processes("counting", environment(), copies=2, pinned=True)
    try:
        assert processes.ask() == [{}, {}]
        prepared = {"kinds": ["plain"], "first": 1.0, "loss": 3.5}
        assert processes.ask(case={"depth": 7}, settings={"loss": 3.5}, name="a") == [prepared] * 2
        assert all(
            each["seconds"] > 0 and each["peak"] > 0 for each in processes.ask(kind="plain", seconds=0, name="a")
        )
        with pytest.raises(RuntimeError, match="KeyError: 'b'"):
            processes.ask(kind="plain", seconds=0, name="b")
        assert processes.ask(forget=True) == [{}, {}]
        with pytest.raises(RuntimeError, match="KeyError: 'a'"):
            processes.ask(kind="plain", seconds=0, name="a")
        processes.children[1].process.kill()
        with pytest.raises(RuntimeError):
            processes.ask(forget=True)
    finally:
        processes.close()


def test_what_no_longer_fits_is_left_out_and_growth_is_tried_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock, written = [0.0], []

    def take(heat: Heat, *_: object) -> list[dict[str, Any]]:
        clock[0] += 100 if heat.name == "steps" else 10
        return [{"heat": heat.name}]

    monkeypatch.setattr(speed, "race", take)
    monkeypatch.setattr(speed.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(speed, "write", lambda found, *_: written.append(len(found)))
    left_out: list[str] = []
    effort = Effort(1, 0.1, (4, 16), (), (), {"runs": (6, 24)}, minutes=5.57, whole=())
    measure_all(effort, speed.KERAS, tmp_path, left_out)
    assert written == [1, 2, 3, 4, 5, 6, 6]
    assert [each.partition(":")[0] for each in left_out] == [
        "depth 16, batch normalization",
        "growth with runs, oneDNN off",
    ]


@pytest.mark.parametrize("effort", speed.EFFORTS.values(), ids=speed.EFFORTS)
def test_every_effort_has_heats(effort: Effort) -> None:
    heats = list(effort.heats(speed.KERAS))
    of_families = len(effort.cells) + 2 + 3 * bool(effort.lengths)  # convolutions, blocks, both deep, and lengths
    assert len(heats) == 2 * len(effort.depths) + of_families + 2 * len(effort.growth)


SMALL = Case(depth=3, width=8, runs=2, batch=16, normalization="batch_normalization")
CASES = [
    (SMALL, speed.KERAS),
    *((replace(Case.recurrent(cell, 12), width=8, runs=2), speed.KERAS[:1]) for cell in speed.CELLS),
    (replace(Case.transformer(2), width=8, runs=2), speed.KERAS[:1]),
]


@pytest.mark.full
@pytest.mark.parametrize(("case", "keras"), CASES)
def test_all_contestants_train_the_same_network_on_the_same_rows(case: Case, keras: tuple[Contestant, ...]) -> None:
    from benchmarks import cohort_step, keras_step

    found = {"engine": cohort_step.prepare(case, {})}
    found |= {each.name: keras_step.prepare(case, dict(each.settings)) for each in keras}
    if len(keras) > 1 and importlib.util.find_spec("jax"):
        from benchmarks import jax_vmap

        found |= {form: jax_vmap.prepare(case, {"variant": form}) for form in ("unrolled", "scan")}
    assert {name: each.loss for name, each in found.items()} == pytest.approx(
        dict.fromkeys(found, found["engine"].loss), rel=1e-5
    )
    assert found["engine"].kinds["measured"]() == found["Keras loop"].kinds["plain"]() == 1
