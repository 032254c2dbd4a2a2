"""When each table is recorded: `every_step`, every n steps, about n log-spaced steps, given steps, or `never`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, fields

from bench.errors import SuiteError, during, nearest
from bench.factors import show

WORDS = ("every_step", "never")
RULES = ("every", "log_spaced", "at")
# A training gradient belongs to the update it makes, so its last step is one before that of the final network.
BEFORE_UPDATE = ("gradient_norms", "time_gradients", "attention", "positions", "parameter_groups", "loss_curves")
# What is measured only where a suite asks for it.
ASKED = ("jacobians", "time_gradients", "attention", "positions", "parameter_groups")
# What a network must have for a table on what is within its layers, and who has it.
NEEDED = {
    "time_gradients": ("time steps", "recurrent"),
    "attention": ("heads", "transformer"),
    "positions": ("positions", "conv"),
}
EVERY = frozenset(NEEDED)
MAX_RECORDED = 1_000_000  # steps of a run in one table
_HOW = '"every_step", "never", { every = 10 }, { log_spaced = 20 } or { at = [0, 10, "last"] }'


@dataclass(frozen=True)
class Schedule:
    """When one table is recorded. `rule` is one of `WORDS` or `RULES`."""

    rule: str
    count: int = 0  # of `every` and `log_spaced`
    listed: tuple[int | str, ...] = ()  # of `at`: steps, or "last"

    def __str__(self) -> str:
        """As a suite writes it."""
        if self.rule in WORDS:
            return show(self.rule)
        return show({self.rule: list(self.listed) if self.rule == "at" else self.count})

    def steps(self, last: int) -> tuple[int, ...]:
        """The recorded steps among 0 to `last`, ascending."""
        if self.rule == "never":
            return ()
        if self.rule == "every_step":
            return tuple(range(last + 1))
        if self.rule == "every":
            return tuple(sorted({*range(0, last + 1, self.count), last}))
        if self.rule == "log_spaced":
            return _log_spaced(self.count, last)
        named = {last if step == "last" else int(step) for step in self.listed}
        return tuple(sorted(step for step in named if step <= last))

    def count_steps(self, last: int) -> int:
        """At most how many steps that is, without listing them."""
        if self.rule == "every":
            return last // self.count + 2
        return {"never": 0, "every_step": last + 1, "at": len(self.listed)}.get(self.rule, min(self.count, last + 1))


@dataclass(frozen=True)
class Record:
    """When each table is recorded; `runs` and `divergence_events` always are.

    `jacobians` is no table but some columns of `activations`, which take long.
    """

    gradient_norms: Schedule = Schedule("log_spaced", 20)
    activations: Schedule = Schedule("log_spaced", 6)
    loss_curves: Schedule = Schedule("every_step")
    evaluations: Schedule = Schedule("log_spaced", 10)
    jacobians: Schedule = Schedule("never")
    time_gradients: Schedule = Schedule("never")
    attention: Schedule = Schedule("never")
    positions: Schedule = Schedule("never")
    parameter_groups: Schedule = Schedule("never")

    def schedules(self, steps: int, inner: Container[str] = EVERY) -> dict[str, tuple[int, ...]]:
        """The recorded steps of each table in a run of `steps` updates; those of `ASKED` only where they are asked for.

        `inner`: those of `NEEDED` that the network can fill (`bench.factors.inner_tables`); others are left out.
        """
        found = {table: getattr(self, table).steps(last_step(table, steps)) for table in RECORDED}
        left = [table for table in ASKED if not found[table] or (table in NEEDED and table not in inner)]
        for table in left:
            del found[table]  # a cohort's key hashes what is here, and those of suites that do not ask were without
        return found


RECORDED = tuple(field.name for field in fields(Record))


def last_step(table: str, steps: int) -> int:
    """The last step at which a table can be recorded in a run of `steps` updates."""
    return steps - 1 if table in BEFORE_UPDATE else steps


def read_record(written: Mapping[str, object], steps: int, inner: Container[str] = EVERY) -> Record:
    """The `[record]` of a suite whose longest run has `steps` updates.

    `inner`: those of `NEEDED` that any of its networks can fill.

    Raises:
        SuiteError: a key is not a table, its value is not a schedule, one that lists too many steps, or the table is
            one that no network here has.
    """
    schedules = {}
    for table, value in written.items():
        if table not in RECORDED:
            raise SuiteError(f"[record] {show(table)} is not a recorded table. {nearest(table, RECORDED)}")
        with during(f"[record] {table}:"):
            schedules[table] = _read_schedule(value, last_step(table, steps))
    record = Record(**schedules)
    for table, (needed, architecture) in NEEDED.items():
        if getattr(record, table).rule != "never" and table not in inner:
            raise SuiteError(
                f"[record] {table}: no network of this suite has {needed}. Leave it out, or train "
                f'architecture = "{architecture}".'
            )
    _check_jacobians(record, steps)
    for table in RECORDED:
        schedule = getattr(record, table)
        count = schedule.count_steps(last_step(table, steps))
        if count > MAX_RECORDED:
            raise SuiteError(
                f"[record] {table}: {schedule} are {count} steps of a run of {steps}, and the limit is {MAX_RECORDED}. "
                f"Write {table} = {{ every = {-(-steps // MAX_RECORDED) + 1} }}, or fewer."
            )
    return record


def _check_jacobians(record: Record, steps: int) -> None:
    """They are columns of `activations`: at a step without a row they would have no place."""
    if record.jacobians.rule == "never" or record.activations.rule == "every_step":
        return
    if record.jacobians.count_steps(steps) > MAX_RECORDED or record.activations.count_steps(steps) > MAX_RECORDED:
        return  # refused below
    missing = sorted(set(record.jacobians.steps(steps)) - set(record.activations.steps(steps)))
    if missing:
        raise SuiteError(
            f"[record] jacobians: {record.jacobians} includes step {missing[0]}, at which activations are not recorded."
        )


def _read_schedule(written: object, last: int) -> Schedule:
    if isinstance(written, str) and written in WORDS:
        return Schedule(written)
    if not isinstance(written, Mapping) or len(written) != 1:
        raise SuiteError(f"{show(written)} is not a schedule. Write {_HOW}.")
    rule, value = next(iter(written.items()))
    if rule not in RULES:
        raise SuiteError(f"{show(rule)} is not a rule. {nearest(rule, RULES)}")
    if rule == "at":
        return Schedule("at", listed=_read_steps(value, last))
    least = 1 if rule == "every" else 2
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SuiteError(f"{rule} = {show(value)} is not allowed: it must be a whole number, at least {least}.")
    return Schedule(rule, value)


def _read_steps(written: object, last: int) -> tuple[int | str, ...]:
    if not isinstance(written, list) or not written:
        raise SuiteError(f'at = {show(written)} is not a list of steps, such as [0, 10, "last"].')
    for step in written:
        if step != "last" and (isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= last):
            raise SuiteError(f'at: {show(step)} is not a step. Here they go from 0 to {last}, and "last".')
    if len(set(written)) < len(written):
        raise SuiteError(f"at = {show(written)} names a step twice.")
    return tuple(written)


def _log_spaced(count: int, last: int) -> tuple[int, ...]:
    """`count` steps (all of them if there are fewer): 0, then as evenly as whole numbers allow on a log scale."""
    steps = [0, 1][: last + 1]
    for left in range(min(count, last + 1) - len(steps), 0, -1):
        steps.append(max(steps[-1] + 1, round(steps[-1] * (last / steps[-1]) ** (1 / left))))
    return tuple(steps) if count > 2 else (0, last)[: last + 1]
