"""Chapters of the book that are partly generated: a line `<!-- generated: NAME WORDS -->` in one is replaced by what NAME writes.

The prose around it stays in the chapter, where a person looks for it; tables that repeat what a file of the repository says are
written from that file, so that they cannot fall behind it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ecgstudy.data.manifest import manifest
from ecgstudy.errors import require_known
from ecgstudy.study import model_cards, reference
from ecgstudy.study.cards import card, table

PLACE = re.compile(r"^<!-- generated: (\w+) ?(.*?) -->$", re.MULTILINE)
# A writer gets the words behind its name, the repository's root, and the way from its chapter to the top of the site.
Writer = Callable[[Sequence[str], Path, str], str]


def filled(text: str, chapter: str, root: Path, writers: Mapping[str, Writer]) -> str:
    """A chapter's Markdown with every place filled. chapter: its path under book/, such as "reference/layers.md".

    Raises ConfigurationError, with the nearest name, for a place that no writer knows.
    """
    up = "../" * chapter.count("/")
    return PLACE.sub(lambda place: writers[require_known(f"writer in {chapter}", place[1], writers)](place[2].split(), root, up), text)


def documented(text: Path, root: Path) -> dict[str, str]:
    """Module -> address of its section in the reference, from the top of the site. text: the folder of the book's prose."""
    found = {}
    for path in sorted(text.rglob("*.md")):
        for name, words in PLACE.findall(path.read_text(encoding="utf-8")):
            if name == "api":
                page = path.relative_to(text).with_suffix(".html").as_posix()
                found |= {module.name: f"{page}#{module.anchor}" for module in reference.chosen(words.split(), root)}
    return found


def data_cards(words: Sequence[str], root: Path, up: str) -> str:
    """The card of every data set of the manifest."""
    entries = manifest(root / "data_manifest.yaml")
    return "\n\n".join(f"(card-{name})=\n## `{name}`\n\n{card(entry)}" for name, entry in entries.items())


def data_sets_at_a_glance(words: Sequence[str], root: Path, up: str) -> str:
    """One row a data set: how many, how long, what licence."""
    rows = [(f"[`{name}`](card-{name})", f"{entry.recordings:,}", str(entry.leads), f"{entry.fs} Hz", entry.license,
             ", ".join(f"`{task}`" for task in entry.tasks) or "none") for name, entry in manifest(root / "data_manifest.yaml").items()]
    return table(("name", "recordings", "leads", "rate", "licence", "tasks"), rows, (1, 2, 3))


def data_citations(words: Sequence[str], root: Path, up: str) -> str:
    """What a paper that uses a data set names, for each."""
    entries = manifest(root / "data_manifest.yaml")
    return "\n\n".join(f"`{name}`\n: {entry.citation}. Data: {entry.title}, version {entry.version}, "
                       f"[doi:{entry.doi}](https://doi.org/{entry.doi}), {entry.license}." for name, entry in entries.items())


def citation(words: Sequence[str], root: Path, up: str) -> str:
    """The study's own citation as text and as BibTeX, from CITATION.cff."""
    import yaml

    told = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    names = [each.get("name") or f"{each['family-names']}, {each['given-names']}" for each in told["authors"]]
    people = " and ".join(names)
    as_bibtex = " and ".join(f"{{{name}}}" if "name" in each else name for name, each in zip(names, told["authors"], strict=True))
    date = str(told.get("date-released", ""))
    fields = {"author": as_bibtex, "title": told["title"], "version": told["version"], "year": date[:4],
              "doi": told.get("doi", ""), "url": told.get("repository-code", told.get("url", ""))}
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    plain = f"{people[:1].upper()}{people[1:]}: *{told['title']}*, version {told['version']}."
    return f"{plain}\n\n```bibtex\n@software{{ecgstudy,\n{lines}\n}}\n```"


def networks(words: Sequence[str], root: Path, up: str) -> str:
    """Every registered network: name, parameters of its first size, whom it stands for."""
    from ecgstudy.models import list_models
    from ecgstudy.models.registry import model_entry

    known, rows = reference.modules(root), []
    for name in list_models():
        entry = model_entry(name)
        module = known.get(entry.builder.__module__)
        count = next(iter(entry.sizes.values()))[1] if entry.sizes else None
        rows.append((f"[`{name}`](#{module.anchor})" if module else f"`{name}`", f"{count:,}" if count else "not fixed", entry.paper))
    return table(("name", "parameters", "whom it stands for"), rows, (1,))


def api(words: Sequence[str], root: Path, up: str) -> str:
    """The reference of the modules that the words name."""
    return reference.api(words, root, up)


def command_lines(parsers: Sequence[argparse.ArgumentParser]) -> str:
    """Every verb and option of these command lines."""
    return "\n\n".join(map(reference.command_line, parsers))


WRITERS: dict[str, Writer] = {
    "data_cards": data_cards, "data_sets_at_a_glance": data_sets_at_a_glance, "data_citations": data_citations, "citation": citation,
    "networks": networks, "api": api, "model_cards": model_cards.written,
}
