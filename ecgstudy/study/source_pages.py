"""The source of the package as small pages of the book: coloured, a line each to link to, imports that lead on.

They are plain files beside the site, without its side bars and its search, so that two hundred of them weigh little and open
without a network. They follow the site's light or dark mode. Four kinds of words are marked (comment, text, keyword, the name that is
defined), which takes a fifth of the time and a third of the bytes of a full highlighter.
"""

from __future__ import annotations

import html
import io
import keyword
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

from ecgstudy import files
from ecgstudy.study.reference import Module, modules

FOLDER = "code"
SCRIPT = """let seen = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
try { seen = localStorage.getItem("theme") || seen } catch {}
document.documentElement.dataset.theme = seen;"""
PAGE = """<!DOCTYPE html>
<!-- {digest} -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Source of {name}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="style.css">
<script>{script}</script></head>
<body><header><a href="../index.html">The book</a>{documented}</header>
<main><h1>{name}</h1>
<pre tabindex="0" role="region" aria-label="Source">{code}</pre></main></body></html>
"""
STYLE = """:root {
  color-scheme: light; --back: #fff; --front: #1b1b1b; --link: #0a5bb5; --text: #22691d; --keyword: #8b1a6b; --comment: #5c5c5c;
}
:root[data-theme="dark"] {
  color-scheme: dark; --back: #14181e; --front: #e6e6e6; --link: #7ab8ff; --text: #9bd68f; --keyword: #f0a3d3; --comment: #a8a8a8;
}
body {
  margin: 0 auto; max-width: 76rem; padding: 0.75rem 1rem; font-family: system-ui, sans-serif; background: var(--back); color: var(--front);
}
header { display: flex; gap: 1.5rem; flex-wrap: wrap; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; }
a { color: var(--link); }
pre { overflow-x: auto; font-size: 0.85rem; line-height: 1.45; }
pre span:target { background: color-mix(in srgb, var(--link) 18%, transparent); }
pre i { font-style: normal; color: var(--text); }
pre em { font-style: italic; color: var(--comment); }
pre b { font-weight: 600; color: var(--keyword); }
pre strong { font-weight: 700; }
"""
Mark = tuple[int, int, str]         # first column, column behind the last, element


def pages(root: Path, documented: Mapping[str, str], standing: Path) -> dict[str, bytes]:
    """{file name: content} of the page of every module under a repository's root, and of their style sheet.

    documented: module -> address of its section in the reference, from the top of the site. standing: the folder where pages made
    earlier lie; one whose source and links are unchanged is taken from there.
    """
    known = modules(root)
    made = {f"{name}.html": _page(module, known, documented.get(name, ""), standing) for name, module in known.items()}
    return made | {"style.css": STYLE.encode()} if made else {}


def _page(module: Module, known: Mapping[str, Module], documented: str, standing: Path) -> bytes:
    text = module.path.read_text(encoding="utf-8")
    digest = files.digest([text, documented, sorted(known), PAGE, SCRIPT])
    old = standing / f"{module.name}.html"
    if old.is_file() and f"<!-- {digest} -->".encode() in (content := old.read_bytes())[:200]:
        return content
    link = f'<a href="../{html.escape(documented)}">Reference of this module</a>' if documented else ""
    code = "".join(f'<span id="L-{number}">{line}\n</span>' for number, line in enumerate(coloured(text, known), 1))
    return PAGE.format(digest=digest, name=module.name, documented=link, script=SCRIPT, code=code).encode()


def coloured(text: str, known: Mapping[str, Module]) -> Iterator[str]:
    """Each line of a source as HTML; in an import, the name of a module of the package leads to its page."""
    marks = _marks(text)
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        shown, end = "", 0
        for first, behind, element in marks.get(number, ()):
            shown += _text(line[end:first])
            shown += f"<{element}>{_text(line[first:behind])}</{element}>"
            end = behind
        shown += _text(line[end:])
        if re.match(r"\s*(from|import) ecgstudy", line):
            shown = re.sub(r"ecgstudy[\w.]*", lambda found: _link(found[0], known), shown)
        yield shown


def _text(text: str) -> str:
    """Source as text of a page; a quoted address in it is no attribute to whoever reads the page by pattern."""
    return html.escape(text, quote=False).replace('"', "&quot;")


def _link(name: str, known: Mapping[str, Module]) -> str:
    return f'<a href="{name}.html">{name}</a>' if name in known else name


def _marks(text: str) -> dict[int, list[Mark]]:
    """Line -> what is marked in it, from left to right. A text over several lines is marked in each."""
    marks: dict[int, list[Mark]] = {}
    lines, before = text.split("\n"), ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        element = ("em" if kind == "COMMENT" else "i" if kind == "STRING" or kind.startswith("FSTRING") else
                   "b" if kind == "NAME" and keyword.iskeyword(token.string) else
                   "strong" if kind == "NAME" and before in ("def", "class") else "")
        if element:
            (top, left), (bottom, right) = token.start, token.end
            for row in range(top, bottom + 1):
                first, behind = left if row == top else 0, right if row == bottom else len(lines[row - 1])
                if behind > first:
                    marks.setdefault(row, []).append((first, behind, element))
        before = token.string
    return marks
