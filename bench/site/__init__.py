"""A static site of reports, docs and reference results: relative links alone, no network, ready for a pages host."""

from __future__ import annotations

from bench.site.build import Asked, Site, build, parts_without
from bench.site.docs import DOCS
from bench.site.folder import refuse, write
from bench.site.reports import found_below

__all__ = ["DOCS", "Asked", "Site", "build", "found_below", "parts_without", "refuse", "write"]
