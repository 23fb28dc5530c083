"""The built site: what the builder leaves to mend, what the site weighs, and a chapter as PDF.

The builder writes figures without their size, so that the text below jumps when one arrives; a launcher for live code that the
book does not have, twice, which is an error in the browser's console; roles in the bibliography that readers of screens refuse, and
folds of the side bar that they cannot name.
Tables carry the grey of the notes' numbers as one colour, which is too faint here; it becomes the theme's own. `finish` mends the
pages in place. It may be repeated: a page that is mended stays as it is.
"""

from __future__ import annotations

import html as escapes
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ecgstudy import files
from ecgstudy.errors import ConfigurationError

BOOK_BYTES = 45_000_000         # the whole site, with the formulas' script and the notebooks to download
PAGE_BYTES = 1_600_000          # one page with its figures, without what all pages share
ABOVE = 2                       # so many figures of a page are fetched at once, the others when a reader comes near
IMAGE = re.compile(r"<img\b[^>]*?/?>")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
REMOVED = (re.compile(r"\s*<script>const THEBE_JS_URL[^<]*</script>"), re.compile(r'\s*<script[^>]*sphinx-thebe\.js[^>]*></script>'),
           re.compile(r'\s*<link[^>]*sphinx-thebe\.css[^>]*/?>'), re.compile(r' role="doc-biblioentry"'),
           re.compile(r'(?<=<div) role="list"(?= class="citation-list")'))
INLINE = re.compile(r'(<span class="math notranslate nohighlight")>(\\\([^<]*\\\))')
SILENT = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|math\w+|text\w*|operatorname|hat|bar|tilde|vec|[,;!:()])")
RELATION = re.compile(r"\\(?:neq?|leq?|geq?|in|to|times|approx|sim|cdot|pm|mapsto|ll|gg)(?![a-zA-Z])|[=<>+]|-")
RAISED = re.compile(r"[_^](\{[^{}]*\}|\\?\w)")         # an index or an exponent
FOLD = '<summary><span class="toctree-toggle"'            # of the side bar: a button without a name
NAMED_FOLD = FOLD.replace("<summary>", '<summary aria-label="the pages below">')
GREY, MUTED = re.compile(r"color:\s*#8a8a8a"), "color: var(--pst-color-text-muted)"


def pages(site: Path) -> list[Path]:
    """Every page of a built site that a reader can open; parts of the theme and the forwarding first page are left out."""
    return [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts and page != site / "index.html"]


def finish(site: Path) -> None:
    """Mend every page of a built site in place."""
    for page in pages(site):
        text = page.read_text(encoding="utf-8")
        mended = with_sizes(text, lambda source, folder=page.parent: folder / unquote(source))
        for superfluous in REMOVED:
            mended = superfluous.sub("", mended)
        mended = INLINE.sub(lambda math: f'{math[1]} style="--drawn: {drawn_width(escapes.unescape(math[2])):.2f}em">{math[2]}', mended)
        mended = GREY.sub(MUTED, mended).replace(FOLD, NAMED_FOLD)
        if mended != text:
            files.write_text(page, mended)


def with_sizes(text: str, locate: Callable[[str], Path]) -> str:
    """A page's HTML in which every local image says how large it is, so that its place is kept until it arrives.

    locate: the file of an image's `src`. Images that say their size, that carry their data or that cannot be read stay as they are.
    """
    seen = 0

    def sized(match: re.Match[str]) -> str:
        nonlocal seen
        tag = match.group()
        source = attribute(tag, "src")
        if not source or source.startswith(("data:", "http")) or re.search(r"\s(width|height)=", tag):
            return tag
        size = image_size(locate(source))
        if size is None:
            return tag
        seen += 1
        later = ' loading="lazy"' if seen > ABOVE else ""
        return f'<img width="{size[0]}" height="{size[1]}"{later} decoding="async"{tag[len("<img"):]}'

    return IMAGE.sub(sized, text)


def drawn_width(tex: str) -> float:
    """About how wide an inline formula will be drawn, in em: its place until then, so that the lines around it do not break anew."""
    shown = SILENT.sub("", tex)
    small = sum(len(re.sub(r"\\\w+", "x", part).replace(" ", "").strip("{}")) for part in RAISED.findall(shown))
    shown = RAISED.sub("", shown)
    relations = len(RELATION.findall(shown))
    signs = re.sub(r"[\s{}]", "", re.sub(r"\\[a-zA-Z]+", "x", RELATION.sub("", shown)))
    return 0.6 * len(signs) + 0.37 * sum(sign.isupper() for sign in signs) + 0.5 * small + 1.5 * relations


def attribute(tag: str, name: str) -> str:
    """The value of an attribute of one HTML tag; empty where it has none."""
    found = re.search(rf'\s{name}="([^"]*)"', tag)
    return escapes.unescape(found.group(1)) if found else ""


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file in CSS pixels, from its head; None where it says neither."""
    if not path.is_file():
        return None
    if path.suffix == ".svg":
        box = re.search(r'viewBox="([-\d.e\s,]+)"', path.read_text(encoding="utf-8")[:4000])
        sides = re.split(r"[\s,]+", box.group(1).strip()) if box else []
        return (round(float(sides[2])), round(float(sides[3]))) if len(sides) == 4 else None
    from PIL import Image

    with Image.open(path) as image:
        return image.size


# -- weight -------------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Weight:
    """Bytes of a site, and of each page with the images on it, heaviest first."""

    total: int
    pages: dict[str, int]

    def __str__(self) -> str:
        heaviest = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in list(self.pages.items())[:3])
        return f"{self.total / 1e6:.1f} MB, {len(self.pages)} pages; the largest with their figures: {heaviest}"


def weight(site: Path) -> Weight:
    """What a site weighs on disk; what all pages share counts in the total only."""
    sizes = {}
    for page in pages(site):
        text = page.read_text(encoding="utf-8")
        sources = {attribute(tag, "src") for tag in IMAGE.findall(text)}
        images = {path.resolve() for source in sources if (path := page.parent / unquote(source)).is_file()}
        sizes[str(page.relative_to(site).with_suffix(""))] = page.stat().st_size + sum(path.stat().st_size for path in images)
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return Weight(total, dict(sorted(sizes.items(), key=lambda item: -item[1])))


# -- paper --------------------------------------------------------------------------------------------------------------

def find_browser() -> str | None:
    """A Chromium on this machine's search path, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_page(site: Path, name: str, target: Path) -> Path:
    """One page of a built site as PDF, as its print style lays it out. name: part of the page's name.

    Raises ConfigurationError where no page or more than one is meant, the site is not built, or there is no browser.
    """
    names = {str(page.relative_to(site).with_suffix("")): page for page in pages(site)} if site.is_dir() else {}
    meant = [page for each, page in names.items() if name in each]
    if len(meant) != 1:
        raise ConfigurationError(f"{name!r} means {len(meant)} pages of {site}; there are "
                                 f"{', '.join(names) or 'none: run make book first'}")
    browser = find_browser()
    if browser is None:
        raise ConfigurationError(f"a page is printed by Chromium, and none of {', '.join(BROWSERS)} is on the search path; install one, or "
                                 "print the page from any browser")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=20000",
               f"--print-to-pdf={target.resolve()}", meant[0].as_uri()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not target.is_file():
        raise ConfigurationError(f"{browser} could not print {meant[0]}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return target
