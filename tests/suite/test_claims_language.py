"""The language is enough for the literature: every claim that is shipped is read, said in words and judged."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from bench.analysis.claims import Verdict, judge_claims
from bench.suite import suite_schema
from tests.dry_results import dry_results

PAPERS = sorted((Path(__file__).parents[2] / "suites" / "claims").glob("*.toml"))


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_every_claim_is_said_and_judged(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#:schema ../suite.schema.json\n")
    jsonschema.Draft7Validator(suite_schema()).validate(tomllib.loads(text))
    found = dry_results(re.sub(r"^replicates = \d+", "replicates = 3", text, flags=re.MULTILINE))
    assert found.suite.name == path.stem
    judged = judge_claims(found.tables, found.suite.claims)
    assert len(judged) >= 2
    for claim in judged:
        assert claim.verdict in set(Verdict)
        for part in claim.parts:
            assert part.counts.judged > 0 and part.counts.missing == 0
            assert part.why.startswith("too few") or not math.isnan(part.low), part.why
            assert part.rule.startswith("The ") and part.rule.endswith(".") and part.unit
