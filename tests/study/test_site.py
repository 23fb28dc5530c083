"""What is mended in a built site, what it weighs, and printing a page of it."""

from __future__ import annotations

import stat

import pytest
from PIL import Image

from ecgstudy.errors import ConfigurationError
from ecgstudy.study import site

THEBE = '<script>const THEBE_JS_URL = "https://unpkg.com/x.js"; const thebe_selector = ".cell"</script>'
ONE = 'src="../_images/one%20a.png"'
PAGE = f"""<html><head>{THEBE}
    <script async="async" src="../_static/sphinx-thebe.js?v=1"></script><script src="../_static/book.js"></script>{THEBE}</head><body>
<img alt="a" {ONE} /><img src="../_images/drawn.svg" alt="b" style="width: 300px;" /><img alt="c" {ONE}>
<img alt="d" src="data:image/png;base64,AA" /><img alt="e" src="../_images/gone.png" /><img width="7" alt="f" {ONE} />
<style>#T1_row0 {{ color: #8a8a8a; }}</style>
<div role="list" class="citation-list"><div class="citation" id="i" role="doc-biblioentry">x</div></div>
<details><summary><span class="toctree-toggle" role="presentation"></span></summary></details>
<ul role="list"></ul></body></html>"""


@pytest.fixture
def built(tmp_path):
    """A site with one page, a forwarding first page, a part of the theme and two images."""
    for folder in ("_images", "_static", "notebooks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (640, 480)).save(tmp_path / "_images" / "one a.png")
    (tmp_path / "_images" / "drawn.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120.4 60"></svg>')
    (tmp_path / "_static" / "macros.html").write_text("<img src='x.png'>")
    (tmp_path / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=a.html" />')
    (tmp_path / "notebooks" / "01_page.html").write_text(PAGE)
    return tmp_path


def test_figures_say_their_size_and_later_ones_wait(built):
    site.finish(built)
    text = (built / "notebooks" / "01_page.html").read_text()
    tags = {site.attribute(tag, "alt"): tag for tag in site.IMAGE.findall(text)}
    assert 'width="640" height="480"' in tags["a"] and "lazy" not in tags["a"]
    assert 'width="120" height="60"' in tags["b"] and 'style="width: 300px;"' in tags["b"]
    assert 'width="640"' in tags["c"] and 'loading="lazy"' in tags["c"]
    assert [name for name in "de" if " width=" in tags[name]] == [] and tags["f"].count("width=") == 1


def test_what_the_builder_leaves_is_mended_once(built):
    site.finish(built)
    page = built / "notebooks" / "01_page.html"
    text = page.read_text()
    assert "THEBE" not in text and "thebe" not in text and "book.js" in text
    assert "#8a8a8a" not in text and "color: var(--pst-color-text-muted);" in text
    assert '<summary aria-label="the pages below"><span' in text
    assert 'class="citation-list"' in text and text.count('role="list"') == 1 and "doc-biblioentry" not in text
    before = page.stat().st_mtime_ns
    site.finish(built)
    assert page.stat().st_mtime_ns == before and page.read_text() == text


def test_weight_counts_an_image_once_a_page_and_names_the_heaviest(built):
    (built / "a.html").write_text("x" * 10)
    found = site.weight(built)
    images = sum(path.stat().st_size for path in (built / "_images").iterdir())
    assert list(found.pages) == ["notebooks/01_page", "a"]
    assert found.pages == {"notebooks/01_page": len(PAGE.encode()) + images, "a": 10}
    assert found.total == sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
    assert "2 pages" in str(found) and "notebooks/01_page 0.00 MB, a 0.00 MB" in str(found)


def test_printing_asks_for_one_page_that_exists_and_a_browser(built, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="means 0 pages .* notebooks/01_page"):
        site.print_page(built, "02", tmp_path / "x.pdf")
    with pytest.raises(ConfigurationError, match="run make book first"):
        site.print_page(built / "nowhere", "01", tmp_path / "x.pdf")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="chromium-browser"):
        site.print_page(built, "01", tmp_path / "x.pdf")


def fake_browser(folder, body: str) -> None:
    folder.mkdir()
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)


def test_printing_hands_the_page_to_the_browser(built, tmp_path, monkeypatch):
    target = tmp_path / "pdf" / "x.pdf"
    fake_browser(tmp_path / "bin", f'echo "$@" > {target}')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert site.print_page(built, "01", target) == target
    assert f"--print-to-pdf={target}" in target.read_text() and (built / "notebooks" / "01_page.html").as_uri() in target.read_text()


def test_a_browser_that_fails_is_told(built, tmp_path, monkeypatch):
    fake_browser(tmp_path / "bin", "echo no display >&2; exit 3")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ConfigurationError, match="no display"):
        site.print_page(built, "01", tmp_path / "x.pdf")


def test_an_inline_formula_keeps_about_its_drawn_width():
    """Widths in em as drawn by MathJax 3 in the book."""
    drawn = {r"f": 0.70, r"i \ne j": 2.66, r"\mathcal P": 0.93, r"A_c": 1.45, r"M(M-1)/2": 7.13, r"\gamma = \alpha = 1": 5.54,
             r"\beta = 0.8": 4.04}
    for tex, width in drawn.items():
        assert site.drawn_width(rf"\({tex}\)") == pytest.approx(width, rel=0.3), tex
