"""How fast this machine is: measured once by a worker, and kept until versions or the machine are others."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path

from bench.environment import ARITHMETIC, DECIDING, machine, versions
from bench.executors.child import Status
from bench.executors.local import LocalExecutor
from bench.plan import PROBE, Rates, make_plan
from bench.suite import parse_suite

MEASURE = "bench.engine.rates:measure"
SECONDS_TO_MEASURE = 120.0


def machine_rates(say: Callable[[str], None]) -> Rates | None:
    """Those of this machine, measured if they are not known yet, which is said; None where it cannot be measured."""
    facts = _facts()
    kept = cache_folder() / f"rates-{sha256(json.dumps(facts).encode()).hexdigest()[:10]}.json"
    known = _read(kept)
    if known is not None:
        return known
    say(f"measuring how fast this machine is, once, in a few seconds; kept as {kept}")
    with LocalExecutor(1) as executor:
        (probe,) = make_plan(parse_suite(PROBE, Path("probe.toml"))).cohorts
        answer = executor.submit(MEASURE, probe, SECONDS_TO_MEASURE).result()
    if answer.status is not Status.OK:
        return None
    measured: Rates = answer.value
    with suppress(OSError):  # then it is measured again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"machine": facts, "rates": asdict(measured)}, indent=2) + "\n", encoding="utf-8")
        new.replace(kept)
    return measured


def cache_folder() -> Path:
    """Where a user's programs keep what they can make again."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in some containers
        folder = Path(tempfile.gettempdir())
    return folder / "gradtrial"


def _facts() -> dict[str, object]:
    """What the rates depend on."""
    known = versions() | machine()
    return {name: known[name] for name in ("gradtrial", *DECIDING, *ARITHMETIC, "gpus")}


def _read(file: Path) -> Rates | None:
    try:
        rates = json.loads(file.read_text(encoding="utf-8"))["rates"]
        numbers = {field.name: float(rates[field.name]) for field in fields(Rates)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Rates(**numbers) if all(0 < number < math.inf for number in numbers.values()) else None
