"""Pages of the developer portal that the gateway serves at ``/docs``, from Markdown files of the repository."""

import html
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

ROOT = Path(__file__).resolve().parents[4]
FOLDER = "services/gateway/src/gateway/local/static/portal"
GUIDES = {
    "quickstart": "Quickstart",
    "authentication": "Authentication",
    "streaming": "Streaming and resume",
    "retries": "Idempotency and retries",
    "errors": "Errors",
    "conversations": "Conversations and branches",
    "websocket": "WebSocket",
    "openai-clients": "OpenAI-compatible clients",
    "use-chat": "AI SDK: useChat",
    "events": "Events",
    "webhooks": "Webhooks",
    "limits": "Limits and budgets",
    "self-hosting": "Self-hosting",
}
"""The title of each guide by name, in the order of the menu."""
REFERENCE = {
    "/docs/api": "Try the API",
    "/docs/reference": "API reference",
    "/docs/errors": "Error codes",
    "/docs/events": "Event catalogue",
    "/docs/limits": "Table of limits",
    "/docs/configuration": "Settings",
    "/openapi.json": "openapi.json",
    "/asyncapi.yaml": "asyncapi.yaml",
}
"""The title of each other page of the menu by path."""
SOURCES: Mapping[str, str] = {
    "docs/guides/README.md": "/docs",
    **{f"docs/guides/{name}.md": f"/docs/guides/{name}" for name in GUIDES},
    **{f"docs/{name}.md": f"/docs/{name}" for name in ("errors", "events", "limits", "configuration")},
}
"""The path of each page by its source."""
PATHS: Mapping[str, str] = {**SOURCES, "docs/asyncapi.yaml": "/asyncapi.yaml"}
LANGUAGES = {"sh": "curl", "python": "Python", "javascript": "JavaScript", "console": "Terminal", "text": "Output"}
EXAMPLES = frozenset({"sh", "python", "javascript", "text"})
"""Languages whose neighbouring blocks become tabs; a block of text is the output of the block before it."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} · Parley</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/static/portal.css">
<script src="/docs/static/portal.js" defer></script></head>
<body><header><a href="/docs">Parley</a> <span>Developer portal</span></header>
<div class="columns"><nav aria-label="Documentation">{menu}</nav>
<main>{content}</main></div></body></html>
"""


def page(source: str, path: str) -> str:
    """Return the page for a Markdown file, with the menu."""
    tokens = _parser().parse((ROOT / source).read_text(encoding="utf-8"))
    _rewrite_links(tokens, source)
    _add_anchors(tokens)
    title = next(token.content for token in tokens if token.type == "inline")
    return PAGE.format(title=html.escape(title), menu=_menu(path), content=_render(tokens))


def file_name(path: str) -> str:
    """Return the name of the file for a page: ``/docs/guides/quickstart`` is ``guides-quickstart.html``."""
    return (path.removeprefix("/docs").strip("/").replace("/", "-") or "index") + ".html"


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable("table")


def _menu(current: str) -> str:
    guides = {f"/docs/guides/{name}": title for name, title in GUIDES.items()}
    parts = (("Guides", guides), ("Reference", REFERENCE))
    return "".join(f"<h2>{name}</h2><ul>{_entries(entries, current)}</ul>" for name, entries in parts)


def _entries(entries: Mapping[str, str], current: str) -> str:
    marks = {True: ' aria-current="page"', False: ""}
    return "".join(f'<li><a href="{path}"{marks[path == current]}>{name}</a></li>' for path, name in entries.items())


def _rewrite_links(tokens: Sequence[Token], source: str) -> None:
    """Point links to the pages of the portal; links to other files of the repository become text."""
    for inline in tokens:
        closing: list[Token] = []
        for token in inline.children or ():
            if token.type == "link_open":
                closing.append(token)
                _rewrite_link(token, source)
            elif token.type == "link_close" and closing.pop().tag == "span":
                token.tag = "span"


def _rewrite_link(token: Token, source: str) -> None:
    target = str(token.attrGet("href"))
    if re.match(r"[a-z]+:|#", target):
        return
    file, _, anchor = target.partition("#")
    path = PATHS.get(_normalised(PurePosixPath(source).parent, file))
    if path is None:
        token.tag, token.attrs = "span", {}
    else:
        token.attrSet("href", f"{path}#{anchor}" if anchor else path)


def _normalised(folder: PurePosixPath, file: str) -> str:
    parts = list(folder.parts)
    for part in PurePosixPath(file).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _add_anchors(tokens: Sequence[Token]) -> None:
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == "heading_open" and "<a id=" not in inline.content:
            slug = re.sub(r"[^\w\- ]", "", inline.content.lower()).strip().replace(" ", "-")
            heading.attrSet("id", slug)


def _render(tokens: Sequence[Token]) -> str:
    """Return the HTML, with each run of examples in one element of tabs."""
    parts: list[str] = []
    pending: list[Token] = []
    for token in tokens:
        if token.type == "fence" and token.info in EXAMPLES:
            pending.append(token)
            continue
        parts.append(_examples(pending))
        pending = []
        parts.append(_block(token) if token.type == "fence" else _html([token]))
    return "".join([*parts, _examples(pending)])


def _html(tokens: Sequence[Token]) -> str:
    parser = _parser()
    return str(parser.renderer.render(list(tokens), parser.options, {}))


def _examples(blocks: Sequence[Token]) -> str:
    return f'<div class="examples">{"".join(map(_block, blocks))}</div>\n' if blocks else ""


def _block(token: Token) -> str:
    language = token.info or "text"
    name = LANGUAGES.get(language, language)
    formatter: Any = HtmlFormatter(nowrap=True)
    code = highlight(token.content, get_lexer_by_name(language), formatter)
    return (
        f'<figure data-language="{language}"><figcaption>{name}</figcaption><pre><code>{code}</code></pre></figure>\n'
    )


PAGES: Mapping[str, Callable[[], str]] = {
    f"{FOLDER}/{file_name(path)}": partial(page, source, path) for source, path in SOURCES.items()
}
