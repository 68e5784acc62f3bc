"""The list of contents of a page: a link to each of its sections, without a script."""

import html
import re

HEADING = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)
LONGEST = 60
"""letters of a heading that the list shows"""


def add_contents(page: str) -> str:
    """Return the page with an id at each second-level heading, and with links to them at the end of its header."""
    links: list[str] = []
    known: set[str] = set()

    def mark(match: re.Match[str]) -> str:
        text = html.unescape(re.sub(r"<[^>]*>", "", match[1])).strip()
        name = _make_id(text, known)
        shown = text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"
        links.append(f'<li><a href="#{name}">{html.escape(shown)}</a></li>')
        return f'<h2 id="{name}">{match[1]}</h2>'

    marked = HEADING.sub(mark, page)
    if len(links) < 2:
        return marked
    contents = f'<nav aria-label="Contents"><ul class="contents">\n{chr(10).join(links)}\n</ul></nav>\n</header>'
    return marked.replace("</header>", contents, 1)


def _make_id(text: str, known: set[str]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST] or "section"
    name, number = stem, 1
    while name in known:
        number += 1
        name = f"{stem}-{number}"
    known.add(name)
    return name
