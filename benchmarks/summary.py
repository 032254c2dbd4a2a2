"""What `benchmarks.speed` measured, in words and plain tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

Rows = Sequence[Sequence[str]]
BEST_LAYOUT = "2 processes x 1 thread"  # what `bench run` uses on two cores


def summarize(found: dict[str, Any]) -> str:
    """The whole report as text."""
    machine, versions = found["machine"], found["versions"]
    return "\n".join(
        [
            f"{machine['processor']}, {machine['cores']} cores; TensorFlow {versions['tensorflow']}, Keras "
            f"{versions['keras']}. Matrix products of 2048 x 2048, float32: {found['peak_flops'] / 1e9:.0f} GFLOP/s.",
            *_end_to_end(found),
            *_shares(found),
            *_layouts(found),
            *_steps(found),
        ]
    )


def _end_to_end(found: dict[str, Any]) -> list[str]:
    loop, runs = found["loop"], found["runs"]
    engine = median(one["seconds"] for one in found["end_to_end"])
    slow, traced_once = median(loop["seconds"]), median(loop["seconds_traced_once"])
    spread = loop["spread_seconds"]
    rows = [
        ["plain Keras loop, one run at a time", _seconds(slow), f"{slow / runs:.2f}", "1"],
        ["the same, were each structure built and traced once", _seconds(traced_once), f"{traced_once / runs:.2f}",
         f"{slow / traced_once:.1f}"],
        ["bench run", _seconds(engine), f"{engine / runs:.2f}", f"{slow / engine:.1f}"],
    ]  # fmt: skip
    return [
        f"\nEnd to end: {found['suite']}, {runs} runs in {found['cohorts']} cohorts",
        _table(["", "time", "s a run", "times faster"], rows),
        "The loop's time is one timed run of each structure, counted as often as the structure has runs.",
        f"{len(spread)} runs of one structure took {min(spread):.2f} to {max(spread):.2f} s each.",
        f"It was written {loop['way']}, the quickest way to train three structures: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in loop["ways_seconds"].items())
        + ".",
        *_loop_parts(loop),
        "It records kernel gradient norms and evaluations only: no activation gradients, statistics or update norms.",
    ]


def _loop_parts(loop: dict[str, Any]) -> list[str]:
    """Where the loop's time goes."""
    parts, whole = loop["parts_seconds"], median(loop["seconds"])
    said = {name: f"{name.replace('_', ' ')} {parts[name] / whole:.0%}" for name in parts if name != "first_evaluation"}
    said["evaluations"] += f" (first calls {parts['first_evaluation'] / whole:.0%})"
    return [f"Its time: {', '.join(said.values())}."]


def _shares(found: dict[str, Any]) -> list[str]:
    runs = found["end_to_end"]
    one = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    capacity = one["seconds"] * one["workers"]
    parts = {"importing": one["workers"] * _import_seconds(found)} | one["parts"] | {"writing": one["write_seconds"]}
    parts["the rest"] = capacity - sum(parts.values())
    training = one["parts"]["training"] / one["workers"]
    return [
        f"\nWhere the time of `bench run` goes ({one['workers']} workers x {one['seconds']:.0f} s)",
        _table(["", "s", "share"], [[name, f"{s:.1f}", f"{s / capacity:.0%}"] for name, s in parts.items()]),
        "Tracing is each cohort's first step. Evaluating has its own first calls in it. Writing is done beside the "
        "workers; the rest is waiting, above all for the last cohort.",
        f"Training: {one['flops'] / 1e12:.3g} TFLOP, {one['flops'] / training / found['peak_flops']:.0%} of the "
        f"large-matrix rate while training, {one['flops'] / one['seconds'] / found['peak_flops']:.0%} over all.",
    ]


def _layouts(found: dict[str, Any]) -> list[str]:
    rows = [[layout, f"{median(seconds):.1f}"] for layout, seconds in found["layouts"].items()]
    return ["\nWorker layouts: the same cohorts, imports included", _table(["", "s"], rows)]


def _steps(found: dict[str, Any]) -> list[str]:
    lines = [
        "\nA step of 18 runs of width 64, batch 64, momentum: milliseconds a run (and the first call, s). `measured` "
        "steps give every layer's norms, `plain` steps the loss and the global norm."
    ]
    for entry in found["steps"]:
        case, kinds = entry["case"], ("measured", "plain")
        times = {f"engine, {name}": _of(copies, case) for name, copies in entry["engine"].items()}
        times |= {f"JAX, {name}": _of(copies, case) for name, copies in (entry["jax"] or {}).items()}
        rows = [[name, *(f"{t[kind]:.3f}" for kind in kinds), f"{t['first']:.1f}"] for name, t in times.items()]
        lines.append(f"\ndepth {case['depth']}, {case['normalization']}")
        lines.append(_table(["", *kinds, "first"], rows))
        lines += [_ratio(times, kind) for kind in kinds] if entry["jax"] else []
    return lines


def _ratio(times: dict[str, dict[str, float]], kind: str) -> str:
    engine = times[f"engine, {BEST_LAYOUT}"][kind]
    single = min(t[kind] for name, t in times.items() if name.startswith("JAX") and name.endswith("1 process"))
    double = min(t[kind] for name, t in times.items() if name.startswith("JAX") and name.endswith("2 processes"))
    return (
        f"{kind}: as `bench run` lays it out, {single / engine:.2f} times as fast as the better JAX variant in one "
        f"process, {double / engine:.2f} times as fast as two JAX processes at once"
    )


def _of(copies: list[dict[str, Any]], case: dict[str, Any]) -> dict[str, float]:
    """Milliseconds a run and step, throughput of all copies together; seconds of the measured step's first call."""
    scale = 1e3 / case["runs"] / len(copies)
    times = {kind: scale * median(t for copy in copies for t in copy[kind]) for kind in ("measured", "plain")}
    return times | {"first": median(copy["first"]["measured"] for copy in copies)}


def _import_seconds(found: dict[str, Any]) -> float:
    """Until a worker, beside another one, has imported the engine."""
    return median(copy["import_seconds"] for entry in found["steps"] for copy in entry["engine"][BEST_LAYOUT])


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds > 120 else f"{seconds:.1f} s"


def _table(header: Sequence[str], rows: Rows) -> str:
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    lines = []
    for row in [header, *rows]:
        cells = [cell.ljust(w) if not k else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
