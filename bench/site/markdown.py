"""One page of Markdown as HTML: tables that scroll, headings with the anchors that GitHub gives them, links as asked.

A Mermaid graph of plain arrows becomes a list of them, for no page of the site runs a script of others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

ARROW = re.compile(r"\s*([\w.-]+)\s*-->\s*([\w.-]+)\s*")
NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Heading:
    """A heading: its level from 1, its words and its anchor on the page."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Rendered:
    """A page: its first heading as title, its first paragraph as text, all headings, and its HTML."""

    title: str
    summary: str
    headings: tuple[Heading, ...]
    html: Markup


@dataclass
class _Anchors:
    """Anchors as GitHub makes them: lower case, no punctuation, `-` for a space, `-1` behind a second one."""

    seen: dict[str, int] = field(default_factory=dict)

    def of(self, text: str) -> str:
        anchor = NOT_IN_ANCHORS.sub("", text.strip().lower()).replace(" ", "-")
        count = self.seen.get(anchor, 0)
        self.seen[anchor] = count + 1
        return f"{anchor}-{count}" if count else anchor


def render(text: str, link: Callable[[str], str] = str) -> Rendered:
    """A page of Markdown (CommonMark and tables) as HTML; `link` says what each target of a link or picture becomes."""
    parser = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    tokens, anchors, headings, summary = parser.parse(text), _Anchors(), [], ""
    for at, token in enumerate(tokens):
        words = _words(tokens[at + 1]) if token.type in ("heading_open", "paragraph_open") else ""
        if token.type == "heading_open":
            headings.append(Heading(int(token.tag[1:]), words, anchors.of(words)))
            token.attrSet("id", headings[-1].anchor)
        elif token.type == "paragraph_open" and not token.level:
            summary = summary or words
        for each in token.children or ():
            for name in ("href", "src"):
                if name in each.attrs:
                    each.attrSet(name, link(str(each.attrs[name])))
    title = next((each.text for each in headings if each.level == 1), "")
    return Rendered(title, summary, tuple(headings), Markup(parser.renderer.render(tokens, parser.options, {})))


def _words(inline: Token) -> str:
    """What a reader sees of a line: no markup, a picture's words left out."""
    shown = {"text", "code_inline"}
    parts = [
        " " if each.type == "softbreak" else each.content
        for each in inline.children or ()
        if each.type in shown | {"softbreak"}
    ]
    return "".join(parts)


class _Renderer(RendererHTML):
    """HTML of tokens, with tables in boxes that scroll."""

    def table_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        return f'<div class="scroll" tabindex="0">\n{self.renderToken(tokens, at, options, env)}'

    def table_close(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        return f"{self.renderToken(tokens, at, options, env)}</div>\n"

    def fence(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[at]
        language, _, file = token.info.strip().partition(" ")
        arrows = _arrows(token.content) if language == "mermaid" else {}
        if arrows:
            rows = [Markup("<li>{} → {}</li>").format(one, ", ".join(others)) for one, others in arrows.items()]
            return str(Markup('<ul class="arrows">\n{}\n</ul>\n').format(Markup("\n").join(rows)))
        named = Markup('<p class="note file">{}</p>\n').format(file) if file else Markup("")
        return str(named + Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(escape(token.content)))


def _arrows(text: str) -> dict[str, list[str]]:
    """What each name of a graph leads to, in the graph's order; none where it is not of plain arrows alone."""
    found: dict[str, list[str]] = {}
    for line in text.strip().splitlines()[1:]:
        arrow = ARROW.fullmatch(line)
        if not arrow:
            return {}
        found.setdefault(arrow[1], []).append(arrow[2])
    return found
