"""JavaScript and CSS of others that the page carries within itself, so that it opens offline.

Vega, Vega-Lite and vega-embed come from vl-convert, DataTables from itables: both pinned in constraints.txt. Each
bundle names its licences in its own text.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

import vl_convert

CLOSING = re.compile(r"</(script)", re.IGNORECASE)


@cache
def vega_script() -> str:
    """A module that defines `window.vegaEmbed`."""
    return _embeddable(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def table_script() -> str:
    """A module that defines `window.DataTable`.

    Raises:
        ValueError: the bundle no longer names its default export as it did.
    """
    bundle = resources.files("itables").joinpath("html/dt_bundle.js").read_text("utf-8")
    export = re.search(r"export\{([^}]*)\};?", bundle)
    default = re.search(r"([\w$]+) as default", export.group(1)) if export else None
    if not export or not default:
        raise ValueError("itables: html/dt_bundle.js has no default export; its version in constraints.txt changed.")
    whole = bundle[: export.start()] + f"window.DataTable={default.group(1)};" + bundle[export.end() :]
    return _embeddable(whole)


@cache
def table_style() -> str:
    """The style sheet of DataTables."""
    return resources.files("itables").joinpath("html/dt_bundle.css").read_text("utf-8")


def _embeddable(script: str) -> str:
    """The script with nothing in it that would end a <script> element early."""
    return CLOSING.sub(r"<\\/\1", script)
