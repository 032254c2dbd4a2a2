"""The docs as pages: each Markdown file of a folder, README and CHANGELOG beside it, and the files they link to."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bench.errors import ResultsError
from bench.site.links import BrokenLink
from bench.site.markdown import Rendered, render

DOCS = Path(__file__).parents[2] / "docs"  # of a checkout: a wheel has none
FIRST, LAST = "README.md", "CHANGELOG.md"  # beside the folder, if they are there
COPIED = "files"  # where what docs link to goes, by its path in the repository


@dataclass(frozen=True)
class Doc:
    """A page of docs: what it was made of, its path in the site, and what it says."""

    source: Path
    path: str
    page: Rendered


@dataclass(frozen=True)
class Docs:
    """The pages in order of their names, README first and CHANGELOG last, and files by their path in the site."""

    pages: tuple[Doc, ...]
    files: Mapping[str, bytes]


def read_docs(folder: Path) -> Docs:
    """Read a folder of Markdown, with README.md and CHANGELOG.md of the folder above.

    Raises:
        BrokenLink: a link leads to no file below the folder above, or to a folder.
        ResultsError: there is no Markdown, or a file cannot be read.
    """
    root = folder.resolve().parent
    try:
        own = sorted(folder.resolve().glob("*.md"))
        if not own:
            raise ResultsError(f"{folder}: no docs, for it holds no Markdown file. Name another folder with --docs.")
        sources = [each for each in (root / FIRST, *own, root / LAST) if each.is_file()]
        names = [each.relative_to(root) for each in sources]
        paths = {each.as_posix(): each.with_suffix(".html").as_posix() for each in names}
        files: dict[str, bytes] = {}
        pages = [_read(each, root, paths, files) for each in sources]
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{folder}: the docs cannot be read ({error}).") from error
    return Docs(tuple(pages), files)


def _read(source: Path, root: Path, paths: Mapping[str, str], files: dict[str, bytes]) -> Doc:
    name = source.relative_to(root).as_posix()

    def link(target: str) -> str:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not parts.path:
            return target
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path)))
        path = paths.get(wanted) or _copied(name, target, wanted, root, files)
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        return quote(posixpath.relpath(path, posixpath.dirname(paths[name]) or ".")) + fragment

    return Doc(source, paths[name], render(source.read_text("utf-8"), link))


def _copied(name: str, target: str, wanted: str, root: Path, files: dict[str, bytes]) -> str:
    """Take a file that a page links to into the site, and return where it is there."""
    file = (root / wanted).resolve()
    wrong = next(_wrong(file, root), "")
    if wrong:
        raise BrokenLink(f'{name}: the link "{target}" {wrong}.')
    path = f"{COPIED}/{wanted}"
    files.setdefault(path, file.read_bytes())
    return path


def _wrong(file: Path, root: Path) -> Iterator[str]:
    if not file.is_relative_to(root):
        yield f"leads out of {root.name or os.sep}, and only what is in it can be taken along"
    elif file.is_dir():
        yield "leads to a folder, which a site does not list: link to a file of it"
    elif not file.is_file():
        yield "leads to no file"
