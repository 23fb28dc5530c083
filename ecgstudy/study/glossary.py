"""Links from a page's prose to the glossary, made when the book is put together, so that notebooks read plainly on their own.

The first use of each term on a page becomes a link. Words that also mean something else in these pages are left to the author.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Words of the glossary that pages use in other senses too, or on every second line.
LEFT_TO_THE_AUTHOR = frozenset(("lead", "beat", "head", "baseline", "parameter", "task", "label", "precision", "gate", "embedding", "seed",
                                "profile", "fold", "ledger", "sensitivity", "attention", "convolution"))
ENTRY = re.compile(r"```\{glossary\}\n(.*?)```", re.DOTALL)
# What is no prose: fenced blocks, headings and tables, then formulas, code with or without a role, links, and tags.
KEPT = re.compile(r"^```.*?^```|^:::.*?^:::|^#[^\n]*|^\|[^\n]*|\$\$.*?\$\$(?: \([\w-]+\))?|\$[^$\n]*\$|(?:\{[\w:]+\})?`[^`]*`"
                  r"|\[[^\]]*\]\([^)]*\)|<[^>]*>", re.DOTALL | re.MULTILINE)


def terms(glossary: str) -> list[str]:
    """The words that a glossary's Markdown explains, in its order; an entry may have several."""
    return [line for block in ENTRY.findall(glossary) for line in block.splitlines() if line.strip() and not line.startswith(" ")]


def linked(texts: Sequence[str], known: Iterable[str]) -> list[str]:
    """The Markdown cells of one page, in order, with the first use of each known term made a link."""
    waiting = {term for term in known if term not in LEFT_TO_THE_AUTHOR}
    if not waiting:
        return list(texts)
    # Longest first, so that "validation fold" is not read as "fold"; a capital begins a sentence only where the term has none.
    words = [f"[{term[0].upper()}{term[0]}]{re.escape(term[1:])}" if term.islower() else re.escape(term)
             for term in sorted(waiting, key=len, reverse=True)]
    pattern = re.compile(rf"(?<![\w-])({'|'.join(words)})(s?)(?![\w-])")

    def link(found: re.Match) -> str:
        term = found[1] if found[1] in waiting else found[1][:1].lower() + found[1][1:]
        if term not in waiting:
            return found[0]
        waiting.discard(term)
        return f"{{term}}`{term}`" if found[0] == term else f"{{term}}`{found[0]} <{term}>`"

    def prose(text: str) -> str:
        parts, end = [], 0
        for kept in KEPT.finditer(text):
            parts += [pattern.sub(link, text[end:kept.start()]), kept[0]]
            end = kept.end()
        return "".join([*parts, pattern.sub(link, text[end:])])

    return [prose(text) for text in texts]
