"""Which of a suite's levels are code from outside the project, and the switch that refuses them."""

from __future__ import annotations

from collections.abc import Iterator

from bench.errors import SuiteError, nearest
from bench.factors import FACTORS, choose, show
from bench.suite.file import SuiteFile


def refuse_plugins(file: SuiteFile) -> None:
    """Refuse a suite, already found right, that names anything as `module:name`; nothing is imported to find out.

    Raises:
        SuiteError: it does; the message names the key, the plugin, and the levels that need none.
    """
    for key, name, written in _written(file):
        factor = FACTORS[name]
        if not factor.plugins:
            continue
        level = choose(factor, written).name
        if factor.level(level) is None:
            known = nearest(level, [each.name for each in factor.levels])
            raise SuiteError(f"{key}: {show(level)} is code from outside the project; --no-plugins refuses it. {known}")


def _written(file: SuiteFile) -> Iterator[tuple[str, str, object]]:
    """Each level that a suite may bring: its key, its factor, and as it is written."""
    for name, levels in file.factors.items():
        yield from ((f"[factors] {name}", name, level) for level in levels)
    yield from ((f"[fixed] {name}", name, level) for name, level in file.fixed.items())
    for number, part in enumerate(file.include, 1):
        for name, written in part.items():
            levels = written if isinstance(written, list) else [written]
            yield from ((f"[[include]] {number}: {name}", name, level) for level in levels)
