"""The built book in a browser, from disk: every page at desktop and phone width, light and dark.

`make proof` builds the book and runs this. ECGSTUDY_SITE names the folder of the built site; without it, and without a Chromium, these
tests are skipped. Every page is opened once for each setting, and everything is looked at on that visit.
"""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from ecgstudy import files
from ecgstudy.study import site

SITE = Path(os.environ["ECGSTUDY_SITE"]).resolve() if os.environ.get("ECGSTUDY_SITE") else None
pytestmark = pytest.mark.skipif(SITE is None or not (SITE / "index.html").is_file(),
                                reason="no built site: `make proof` builds one and names it in ECGSTUDY_SITE")
ALL = [str(page.relative_to(SITE).with_suffix("")) for page in site.pages(SITE)] if SITE and SITE.is_dir() else []
# Source pages, some three hundred, come from one template: the longest stands for them.
SOURCES = sorted((page for page in ALL if page.startswith("code/")), key=lambda page: (SITE / f"{page}.html").stat().st_size)
PAGES = [page for page in ALL if page not in SOURCES[:-1]]
WIDTHS, THEMES = {"desktop": 1400, "phone": 390}, ("light", "dark")
SETTINGS = [(width, theme) for width in WIDTHS for theme in THEMES]
SHIFT = 0.1                                     # layout shift from which a page is felt to jump (web.dev's "good")
GRAVE = {"serious", "critical"}
# What axe looks at on a visit. Contrast is the one thing that a theme changes; a box that scrolls is one mostly on a phone.
RULES = {("desktop", "light"): {}, ("desktop", "dark"): {"runOnly": ["color-contrast"]},
         ("phone", "light"): {"runOnly": ["scrollable-region-focusable", "nested-interactive", "meta-viewport"]}}
# Violations that stand, each with its reason: (page, rule, start of the selector) -> why.
EXCEPTIONS: dict[tuple[str, str, str], str] = {}

WATCH = """window.shifted = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value; })
  .observe({type: "layout-shift", buffered: true});"""
SETTLE = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  await document.fonts.ready;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
LOOK = r"""() => {
  const nameless = (text) => !text.trim() || /\.(png|svg|jpe?g|gif)$|^_images|^<Figure|^[0-9a-f]{32,}/.test(text.trim());
  const raw = [...document.querySelectorAll(".bd-article .math")].filter((each) => !each.querySelector("mjx-container"));
  return {theme: document.documentElement.dataset.theme, shifted: window.shifted,
          over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          unnamed: [...document.images].filter((image) => nameless(image.alt)).map((image) => image.src.slice(-60)),
          broken: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src.slice(-60)),
          unsized: [...document.querySelectorAll(".bd-article img:not([width])")].map((image) => image.src.slice(-60)),
          raw: raw.map((each) => each.textContent.slice(0, 60)), errors: [...document.querySelectorAll("mjx-merror")].length};
}"""


@pytest.fixture(scope="module")
def tabs(browser) -> dict:
    """One tab for each setting, with the log of what went wrong on the page that it shows."""
    opened = {}
    for width, theme in SETTINGS:
        context = browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=theme)
        context.add_init_script(WATCH)
        context.set_default_timeout(90_000)
        tab, log = context.new_page(), []
        tab.on("console", lambda said, log=log: log.append(f"console: {said.text}") if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error, log=log: log.append(f"error: {error}"))
        tab.on("requestfailed", lambda request, log=log: log.append(f"failed: {request.url}"))
        tab.on("request", lambda request, log=log: None if stays(request.url) else log.append(f"leaves the book: {request.url}"))
        opened[width, theme] = tab, log
    return opened


def stays(url: str) -> bool:
    return url.startswith((SITE.as_uri() + "/", "data:", "blob:", "about:"))


def axe_source() -> str:
    return Path(pytest.importorskip("axe_playwright_python.base").AXE_FILE_PATH).read_text(encoding="utf-8")


def violations(tab, options: dict) -> list[tuple[str, str, str]]:
    """Grave violations on the shown page: (rule, selector, what axe says). Drawn formulas are pictures with a text of their own."""
    tab.evaluate(axe_source())
    asked = options | {"preload": False, "resultTypes": ["violations"]}     # preloading asks for style sheets, which file:// refuses
    found = tab.evaluate("(options) => axe.run({exclude: [['mjx-container']]}, options)", asked)["violations"]
    return [(each["id"], " ".join(map(str, node["target"])), node["failureSummary"].splitlines()[-1].strip())
            for each in found if each["impact"] in GRAVE for node in each["nodes"]]


def complaints(tab, log: list[str], page: str, setting: tuple[str, str]) -> list[str]:
    """Everything that is wrong with one page in one setting."""
    log.clear()
    tab.goto((SITE / f"{page}.html").as_uri())
    tab.evaluate(SETTLE)
    seen = tab.evaluate(LOOK)
    found = sorted(set(log))
    if seen["theme"] != setting[1]:
        found.append(f"shown in {seen['theme']}")
    if seen["over"] > 0:
        found.append(f"wider than the window by {seen['over']} pixels")
    if seen["shifted"] >= SHIFT:
        found.append(f"jumps: layout shift {seen['shifted']:.3f}")
    for what in ("unnamed", "broken", "unsized", "raw"):
        found += [f"{what}: {each}" for each in seen[what]]
    if seen["errors"]:
        found.append(f"{seen['errors']} formulas that cannot be drawn")
    if setting in RULES:
        found += [f"axe {rule} at {where}: {told}" for rule, where, told in violations(tab, RULES[setting])
                  if not any(page == p and rule == r and where.startswith(s) for p, r, s in EXCEPTIONS)]
    return found


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("setting", SETTINGS, ids="-".join)
def test_page_has_nothing_to_complain_about(tabs, setting, page):
    assert complaints(*tabs[setting], page, setting) == []


BAD = """<!doctype html><html lang="en" data-theme="light"><head><title>Bad</title></head><body><main><h1>Bad</h1>
<img src="a.png"><p style="color:#bbb;background:#fff">too faint to read</p><div style="width:3000px">too wide</div>
<img src="https://example.org/x.png" alt="elsewhere"><script>console.error("broken"); undefined.x</script></main></body></html>"""


def test_a_bad_page_is_found(tabs, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SITE", tmp_path)
    (tmp_path / "bad.html").write_text(BAD, encoding="utf-8")
    told = " | ".join(complaints(*tabs["desktop", "light"], "bad", ("desktop", "light")))
    for what in ("console: broken", "error: ", "failed: file", "leaves the book: https://example.org", "wider than the window", "unnamed: ",
                 "broken: ", "axe color-contrast", "axe image-alt"):
        assert what in told, what


# -- tables -------------------------------------------------------------------------------------------------------------

@pytest.fixture
def benchmark(tabs):
    tab, _ = tabs["desktop", "light"]
    tab.goto((SITE / "notebooks" / "15_benchmark.html").as_uri())
    return tab


COLUMN = """([table, column]) => [...table.tBodies[0].rows].map((row) => row.cells[column].innerText.trim())"""


def leading(text: str) -> float | None:
    word = text.replace(",", "").replace("−", "-").split()
    try:
        return float(word[0]) if word else None
    except ValueError:
        return None


def test_the_benchmark_table_sorts_by_mouse_and_by_keyboard_and_goes_back(benchmark):
    table = benchmark.query_selector("table.sortable")
    assert table is not None
    heads = table.query_selector_all("thead tr:last-child th")
    by_column = [[leading(text) for text in benchmark.evaluate(COLUMN, [table, i])] for i in range(len(heads))]
    column = next(i for i, values in enumerate(by_column) if None not in values and values != sorted(values, reverse=True))
    names = benchmark.evaluate(COLUMN, [table, 0])
    button = heads[column].query_selector("button")
    button.click()
    assert heads[column].get_attribute("aria-sort") == "descending"
    assert [leading(t) for t in benchmark.evaluate(COLUMN, [table, column])] == sorted(by_column[column], reverse=True)
    button.focus()
    benchmark.keyboard.press("Enter")
    assert heads[column].get_attribute("aria-sort") == "ascending"
    assert [leading(t) for t in benchmark.evaluate(COLUMN, [table, column])] == sorted(by_column[column])
    benchmark.keyboard.press("Space")
    assert heads[column].get_attribute("aria-sort") == "none"
    assert benchmark.evaluate(COLUMN, [table, 0]) == names


def test_a_wide_table_scrolls_by_keyboard_under_its_first_column(tabs):
    tab, _ = tabs["phone", "light"]
    tab.goto((SITE / "notebooks" / "15_benchmark.html").as_uri())
    box = tab.query_selector(".bd-article .wide:has(table.dataframe)")
    assert box is not None and box.get_attribute("role") == "region" and box.get_attribute("aria-label")
    first = box.query_selector("tbody td, tbody th")
    before = first.bounding_box()["x"]
    box.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function("(box) => box.scrollLeft > 50", arg=box)
    assert abs(first.bounding_box()["x"] - before) < 30
    for width, theme in SETTINGS:
        assert tabs[width, theme][0].viewport_size["width"] == WIDTHS[width]


def test_the_search_finds_pages_from_disk(tabs):
    tab, log = tabs["desktop", "light"]
    log.clear()
    tab.goto((SITE / "search.html").as_uri() + "?q=attention")
    tab.wait_for_selector("#search-results li a")
    assert len(tab.query_selector_all("#search-results li")) > 3
    # A browser lets no page of a disk read another one, so that the hits there come without the lines around them.
    refused = ("console: Access to fetch at", "console: Failed to load", "failed: file:", "error: Failed to fetch")
    assert [said for said in log if not said.startswith(refused)] == []


# -- links, without a browser -------------------------------------------------------------------------------------------

class Links(HTMLParser):
    """The ids of a page and everything that it points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.ids |= {told[name] for name in ("id", "name") if told.get(name)}
        if value := told.get("src" if tag in ("img", "script", "iframe") else "href"):
            self.targets.append(value)


def dead_links(folder: Path) -> list[str]:
    """Links of the folder's pages to files or anchors that do not exist, as `page -> target`."""
    read = {page: Links(page.read_text(encoding="utf-8")) for page in sorted(folder.rglob("*.html")) if "_static" not in page.parts}
    dead = []
    for page, links in read.items():
        for target in set(links.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchor = unquote(parts.fragment)
            if not file.is_file() or (anchor and file.suffix == ".html" and file in read and anchor not in read[file].ids):
                dead.append(f"{page.relative_to(folder)} -> {target}")
    return sorted(dead)


def test_every_internal_link_and_anchor_resolves():
    assert dead_links(SITE) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"></p><a href="b.html#y">1</a><a href="b.html#z">2</a><a href="#x">3</a><img src="no.png">')
    (tmp_path / "b.html").write_text('<a name="y" href="https://example.org/none">4</a><a href="c.html">5</a>')
    assert dead_links(tmp_path) == ["a.html -> b.html#z", "a.html -> no.png", "b.html -> c.html"]


def test_the_book_and_its_pages_stay_light():
    found = site.weight(SITE)
    assert found.total <= site.BOOK_BYTES
    assert {name: size for name, size in found.pages.items() if size > site.PAGE_BYTES} == {}


def test_the_first_page_forwards(tabs):
    first = yaml.safe_load((files.repository() / "book" / "_toc.yml").read_text(encoding="utf-8"))["root"]
    tab, log = tabs["phone", "dark"]
    log.clear()
    tab.goto((SITE / "index.html").as_uri())
    tab.wait_for_url(f"**/{first}.html")
    assert tab.query_selector("h1") is not None and log == [], json.dumps(log)
