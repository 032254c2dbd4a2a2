"""Which steps `every="auto"` records: what they cost stays within its share of the training time."""

from __future__ import annotations

import random

import pytest

from bench.recorder.schedule import BUDGET, FIRST, LEAST, Kind, Schedule

PLAIN, LONGER, COMPARED = 0.001, 0.0007, 0.0022  # seconds of a step, and by which it is longer


def trained(steps: int, *, compared: int, last: int | None = None) -> tuple[Schedule, list[int], float]:
    """A schedule after so many steps, which it recorded, and seconds that recording truly took."""
    schedule, recorded, truly = Schedule(last=last), [], 0.0
    for step in range(steps):
        kind, longer = Kind.PLAIN, 0.0
        if schedule.wants(step):
            kind = Kind.COMPARED if len(recorded) < compared else Kind.RECORDED
            longer = COMPARED if kind is Kind.COMPARED else LONGER
            recorded.append(step)
        traced = step in (0, FIRST)
        truly += 0.0 if traced else longer
        schedule.took(5.0 if traced else PLAIN + longer, 1, kind, traced=traced)
    return schedule, recorded, truly


@pytest.mark.parametrize("compared", [0, FIRST])
def test_auto_keeps_to_its_share(compared: int) -> None:
    first = (FIRST - 1) * (COMPARED if compared else LONGER)
    steps = 2 * round(first / BUDGET / PLAIN)
    schedule, recorded, truly = trained(steps, compared=compared)
    assert recorded[:FIRST] == list(range(FIRST))
    assert len(recorded) > FIRST + 1
    assert recorded[FIRST] * PLAIN >= first / BUDGET  # the first steps are paid first
    assert truly == pytest.approx(schedule.spent)
    assert truly <= BUDGET * schedule.trained
    assert schedule.started == 10.0


def test_a_later_step_costs_what_such_steps_cost_and_not_what_the_compared_did() -> None:
    _, recorded, _ = trained(4000, compared=FIRST)
    apart = [b - a for a, b in zip(recorded[FIRST + 2 :], recorded[FIRST + 3 :], strict=False)]
    assert max(apart) <= LONGER / BUDGET / PLAIN + 1


def test_the_last_step_is_recorded_whatever_it_costs() -> None:
    assert trained(50, compared=FIRST, last=49)[1] == [*range(FIRST), 49]


def test_on_a_busy_machine_no_more_is_recorded_than_a_free_one_pays_for() -> None:
    """Steps take several times as long now and then, and recorded ones seem to cost nothing where plain ones did."""
    chance, schedule, recorded = random.Random(0), Schedule(), []
    for step in range(20000):
        kind = Kind.RECORDED if schedule.wants(step) else Kind.PLAIN
        recorded += [step] if kind is Kind.RECORDED else []
        busy = chance.random() < 0.6 and (step // 500) % 2 == 0
        seconds = PLAIN + (LONGER if kind is Kind.RECORDED else 0.0) + (chance.expovariate(200.0) if busy else 0.0)
        schedule.took(seconds, 1, kind, traced=step in (0, FIRST))
    assert len(recorded) * LONGER <= 2 * BUDGET * schedule.trained


def test_what_costs_nothing_still_leaves_plain_steps_beside() -> None:
    schedule, recorded = Schedule(), 0
    for step in range(1000):
        wanted = schedule.wants(step)
        recorded += wanted
        schedule.took(PLAIN, 1, Kind.RECORDED if wanted else Kind.PLAIN, traced=step == 0)
    assert recorded <= FIRST + 1000 * BUDGET / LEAST
    assert schedule.spent == 0.0
