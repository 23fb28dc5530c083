"""Source pages: the text is the file's, each line has its target, imports lead on, and what is unchanged is not made again."""

from __future__ import annotations

import html
import re

from ecgstudy import files
from ecgstudy.study import reference, source_pages

TEXT = '''"""Doc with <tag> & "quotes".

More."""
from ecgstudy.files import digest  # note

def f(x):
    return f"{x!r} \\t" if x < 1 else 'ö'
'''


def toy(folder):
    files.write_text(folder / "ecgstudy" / "__init__.py", TEXT)
    files.write_text(folder / "ecgstudy" / "files.py", "x = 1\n")
    return folder


def plain(page: bytes) -> str:
    """What a reader sees of the source."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.search(r"<pre[^>]*>(.*)</pre>", page.decode(), re.DOTALL)[1]))


def test_a_page_shows_the_file_and_marks_its_words(tmp_path):
    made = source_pages.pages(toy(tmp_path), {"ecgstudy": "reference/x.html#api"}, tmp_path / "none")
    page = made["ecgstudy.html"]
    assert plain(page) == TEXT
    text = page.decode()
    assert '<span id="L-6"><b>def</b> <strong>f</strong>' in text and "<em># note</em>" in text
    assert '<b>from</b> <a href="ecgstudy.files.html">ecgstudy.files</a> <b>import</b>' in text
    assert 'href="../reference/x.html#api"' in text and "Reference of" not in made["ecgstudy.files.html"].decode()
    assert set(made) == {"ecgstudy.html", "ecgstudy.files.html", "style.css"}


def test_what_is_unchanged_is_taken_from_where_it_lies(tmp_path):
    first = source_pages.pages(toy(tmp_path), {}, tmp_path / "none")
    for name, data in first.items():
        files.write_atomically(tmp_path / "old" / name, lambda file, data=data: file.write(data + b"<!-- kept -->"))
    again = source_pages.pages(tmp_path, {}, tmp_path / "old")
    assert again["ecgstudy.html"].endswith(b"<!-- kept -->")
    files.write_text(tmp_path / "ecgstudy" / "files.py", "x = 2\n")
    changed = source_pages.pages(tmp_path, {}, tmp_path / "old")
    assert plain(changed["ecgstudy.files.html"]) == "x = 2\n" and changed["ecgstudy.html"].endswith(b"<!-- kept -->")


def test_a_repository_without_the_package_has_none(tmp_path):
    assert source_pages.pages(tmp_path, {}, tmp_path) == {}


def test_every_module_of_the_study_is_shown_as_it_is():
    known = reference.modules(files.repository())
    for name in ("ecgstudy.data.labels", "ecgstudy.models.mina", "ecgstudy.study.source_pages", "ecgstudy.data.synthetic.render"):
        text = known[name].path.read_text(encoding="utf-8")
        shown = "".join(re.sub(r"<[^>]+>", "", line) + "\n" for line in source_pages.coloured(text, known))
        assert html.unescape(shown) == text
