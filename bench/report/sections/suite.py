"""The suite, the machine, and how to do it again."""

from __future__ import annotations

from bench.factors import without_use
from bench.report.axes import level_label
from bench.report.blocks import Code, Fold, Lead, Section, Sentence, Table, Text
from bench.report.frames import Frames
from bench.results import Manifest
from bench.text import plural, spoken


def section(frames: Frames) -> Section:
    """What varied and what was held, the command, the suite's file, versions and machine."""
    manifest = frames.manifest
    where = 'The tables lie beside this page in `tables/`; `pandas.read_parquet("tables/runs")` reads one.'
    machine = "Versions and machine"
    blocks = (
        Lead(Sentence(_said(manifest))),
        _factors(manifest),
        Code(manifest.command or f"bench run {manifest.suite}"),
        Text(where),
        Fold("The suite file", (Code(manifest.text),)),
        Fold(machine, (Table(machine, (), _environment(manifest)),)),
    )
    return Section("suite", "The suite, the machine, and how to do it again", "Suite", blocks)


def _said(manifest: Manifest) -> str:
    """How much was planned, and of what."""
    planned, factors = manifest.planned, len(manifest.factors)
    varied = f", over {plural(factors, 'factor')}" if factors else ""
    cells, each = plural(planned.cells, "cell"), plural(manifest.replicates, "replicate")
    return f"The suite plans {plural(planned.runs, 'run')}: {cells} in {each}{varied}."


def _factors(manifest: Manifest) -> Table:
    """What varied and what was held, but for factors that no network here has a use for."""
    rows = [(spoken(name), "varied", ", ".join(map(level_label, levels))) for name, levels in manifest.factors.items()]
    of_no_use = without_use(manifest.factors.get("architecture") or [manifest.fixed.get("architecture")])
    rows += [
        (spoken(name), "fixed", level_label(level)) for name, level in manifest.fixed.items() if name not in of_no_use
    ]
    note = f"{plural(manifest.planned.cells, 'cell')} × {plural(manifest.replicates, 'replicate')}"
    return Table("Factors and fixed settings", ("factor", "", "levels"), tuple(rows), note=note)


def _environment(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    pairs = [(name, str(version)) for name, version in manifest.versions.items()]
    pairs += [(spoken(name), str(value)) for name, value in manifest.machine.items()]
    pairs += [("started", manifest.started or "not yet"), ("ended", manifest.ended or "not yet")]
    pairs += [("seed", str(manifest.seed)), ("suite sha256", manifest.sha256[:16])]
    return tuple(pairs)
