"""The claims of a suite as results keep it: its text."""

from __future__ import annotations

import tomllib
from pathlib import Path

from bench.analysis.claims.decide import judge_claims
from bench.analysis.claims.judged import Judged
from bench.analysis.tables import Tables
from bench.suite import parse_suite


def judge_stored(tables: Tables, text: str) -> list[Judged]:
    """The claims of the suite with this text, judged; none where it has none, or is no suite at all.

    A text without claims is not checked further: what another version wrote need not be right for this one.

    Raises:
        SuiteError: the suite has claims, but cannot be read.
    """
    try:
        claiming = bool(tomllib.loads(text).get("claims"))
    except tomllib.TOMLDecodeError:
        claiming = False
    return judge_claims(tables, parse_suite(text, Path("manifest.json")).claims) if claiming else []
