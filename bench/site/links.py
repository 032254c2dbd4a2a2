"""Whether every link of a site leads somewhere in it, and whether a page would load anything from elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

from bench.errors import BenchError

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src"),
          ("audio", "src"), ("object", "data"), ("embed", "src")}  # fmt: skip
FOLLOWED = {("a", "href"), ("area", "href")}


class BrokenLink(BenchError):  # noqa: N818 (named for what was found)
    """A link of a page that leads nowhere; the message names the page and the link."""


@dataclass
class Links(HTMLParser):
    """A page's links and anchors.

    Attributes:
        found: each link, and whether the page would load it by itself.
        anchors: every `id` and every `name` of an `a`.
    """

    found: list[tuple[str, bool]] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag's links and its anchor."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif (tag, name) in LOADED | FOLLOWED:
                self.found.append((value, (tag, name) in LOADED))


def links_of(html: str) -> Links:
    """A page's links and anchors."""
    links = Links()
    links.feed(html)
    links.close()
    return links


def check(files: Mapping[str, bytes], named: Mapping[str, str], whole: Set[str] = frozenset()) -> None:
    """Look at every link of every page.

    Args:
        files: what the site holds, by path from its root.
        named: what a page was made of, as a message names it.
        whole: pages that run on their own: their scripts read what stands behind `#`.

    Raises:
        BrokenLink: one leads to nothing in the site, or a page would load something from elsewhere.
    """
    pages = {path: links_of(content.decode("utf-8", "replace")) for path, content in files.items() if _is_page(path)}
    for path, links in pages.items():
        for link, loaded in links.found:
            wrong = _elsewhere(link, loaded) if _outside(link) else _here(path, link, pages, files, whole)
            if wrong:
                raise BrokenLink(f'{named.get(path, path)}: the link "{link}" {wrong}.')


def _is_page(path: str) -> bool:
    return path.endswith(".html")


def _outside(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.scheme or parts.netloc)


def _elsewhere(link: str, loaded: bool) -> str:
    """What is wrong with a link that leads out of the site; "" if nothing."""
    scheme = urlsplit(link).scheme
    if scheme == "data":
        return ""
    if loaded:
        return "would be loaded from elsewhere, and a site needs no network: put the file beside the page"
    return "" if scheme in ("http", "https", "mailto") else "is none that a page can follow"


def _here(path: str, link: str, pages: Mapping[str, Links], files: Mapping[str, bytes], whole: Set[str]) -> str:
    """What is wrong with a link within the site; "" if nothing."""
    parts = urlsplit(link)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(parts.path))) if parts.path else path
    if target not in files:
        return "leads to nothing in the site"
    anchor = unquote(parts.fragment)
    if anchor and path not in whole and target in pages and anchor not in pages[target].anchors:
        return f'leads to no heading: {target} has no "{anchor}"'
    return ""
