"""The book: its pages, references and settings; and when an executed page may be shown."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from ecgstudy import _trace, book, files
from ecgstudy.errors import ConfigurationError
from ecgstudy.study import pages
from ecgstudy.study.pages import Book, Page

TEXT = files.repository() / "book"
NOTEBOOKS = sorted((files.repository() / "notebooks").rglob("*.ipynb"))


def toc_files() -> list[str]:
    """Every page that the table of contents names, without suffix."""
    toc = yaml.safe_load((TEXT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *(each["file"] for chapter in chapters for each in (chapter, *chapter.get("sections", [])))]


def prose() -> str:
    """All Markdown of the book: its chapters and the notebooks' prose."""
    cells = [cell for path in NOTEBOOKS for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    return "\n".join([path.read_text(encoding="utf-8") for path in sorted(TEXT.rglob("*.md"))] +
                     ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"])


def test_every_page_exists():
    chapters = [name for name in toc_files() if not name.startswith("notebooks/")]
    assert [name for name in chapters if not (TEXT / f"{name}.md").is_file()] == []
    assert {str(path.relative_to(TEXT).with_suffix("")) for path in TEXT.rglob("*.md")} == set(chapters)


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks yet")
def test_contents_list_every_notebook():
    found = {str(path.relative_to(files.repository()).with_suffix("")) for path in NOTEBOOKS}
    assert {name for name in toc_files() if name.startswith("notebooks/")} == found


def test_references_are_cited_and_cited_ones_exist():
    keys = re.findall(r"^@\w+\{([^,]+),", (TEXT / "references.bib").read_text(encoding="utf-8"), re.M)
    cited = {key.strip() for group in re.findall(r"\{cite(?::[pt])?\}`([^`]+)`", prose()) for key in group.split(",")}
    assert len(keys) == len(set(keys))
    assert set(keys) == cited


def test_every_reference_has_a_doi_or_says_why_not():
    entries = re.split(r"(?m)^(?=@)", (TEXT / "references.bib").read_text(encoding="utf-8"))[1:]
    without = [entry.partition(",")[0] for entry in entries if not re.search(r"\bdoi = \{10\.\d{4,9}/\S+\}", entry)]
    excuse = re.compile(r"\burl = \{https://|\bisbn = |no DOI found|doi not established")
    excused = [entry.partition(",")[0] for entry in entries if excuse.search(entry)]
    assert entries and set(without) <= set(excused)
    arxiv = re.findall(r"10\.48550/arXiv\.(\S+?)\}.*?note = \{arXiv:(\d{4}\.\d+)", " ".join(" ".join(entries).split()))
    assert arxiv and [pair for pair in arxiv if pair[0] != pair[1]] == []


def test_results_weights_and_executed_copies_stay_out_of_the_site(toy):
    for folder in book.NOT_SHOWN:
        files.write_text(toy.book.text / folder / "x.json", "{}")
    assembled = book.assemble([toy], toy.book)
    assert [folder for folder in book.NOT_SHOWN if (assembled / folder).exists()] == []


def test_a_generated_place_is_filled_and_an_unknown_one_refused(toy):
    files.write_text(toy.book.text / "intro.md", "# Intro\n\n<!-- generated: command_line -->\n")
    shown = (book.assemble([toy], toy.book) / "intro.md").read_text(encoding="utf-8")
    assert "## `ecgstudy sweep`" in shown and "generated:" not in shown
    files.write_text(toy.book.text / "intro.md", "<!-- generated: command_lime -->\n")
    with pytest.raises(ConfigurationError, match="command_line"):
        book.assemble([toy], toy.book)


def test_first_use_of_a_term_on_a_page_leads_to_the_glossary(toy):
    files.write_text(toy.book.text / "glossary.md", "# Glossary\n\n```{glossary}\nepoch\n  A pass.\n```\n")
    write(toy.notebook, [TITLE | {"source": "# Toy\n\nAn epoch, and an epoch."}, PARAMETERS, code("print(seed)")])
    shown = files.read_json(book.assemble([toy], toy.book) / "notebooks" / "04_toy.ipynb")
    assert shown["cells"][0]["source"].endswith("An {term}`epoch`, and an epoch.")


def test_reported_numbers_can_be_read():
    reported = yaml.safe_load((TEXT / "reported.yaml").read_text(encoding="utf-8"))
    assert {"mhsa", "spatial_reduction", "bi_level_routing", "window", "shifted_window"} <= set(reported["attention_ablation"])


def test_nothing_is_loaded_from_elsewhere():
    settings = yaml.safe_load((TEXT / "_config.yml").read_text(encoding="utf-8"))
    mathjax = TEXT / "vendor" / settings["sphinx"]["config"]["mathjax_path"]
    assert mathjax.stat().st_size > 1_000_000 and (mathjax.parent / "LICENSE").is_file()
    assert settings["execute"]["execute_notebooks"] == "off"
    assert "url(" not in (TEXT / "vendor" / "custom.css").read_text(encoding="utf-8")


# -- a toy repository ---------------------------------------------------------------------------------------------------

def code(text: str, tags: list[str] | None = None, outputs: list | None = None, count: int | None = None) -> dict:
    return {"cell_type": "code", "id": f"c{abs(hash(text)) % 10**8}", "source": text, "metadata": {"tags": tags or []},
            "outputs": outputs or [], "execution_count": count}


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def write(path, cells: list[dict], **metadata) -> None:
    files.write_json(path, {"cells": cells, "nbformat": 4, "nbformat_minor": 5,
                            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}, **metadata}})


TITLE = {"cell_type": "markdown", "id": "title", "source": "# Toy\n\nOld prose.", "metadata": {}}
PARAMETERS = code("seed = 0", ["parameters"])


@pytest.fixture
def toy(tmp_path):
    """A book with one page that reads data.txt, a fresh run of it, and one chapter."""
    (tmp_path / "data.txt").write_text("1")
    files.write_text(tmp_path / "book" / "intro.md", "# Intro\n")
    write(tmp_path / "notebooks" / "04_toy.ipynb", [TITLE, PARAMETERS, code("print(seed)")])
    page = Book(tmp_path).pages()[0]
    store_run(page)
    return page


def store_run(page: Page, **changes) -> None:
    """An executed copy of the toy page as `book.run_page` leaves it, in which papermill injected a cell."""
    note = {"key": pages.code_key(pages.read_notebook(page.notebook), page.parameters),
            "parameters": {"seed": 0} | page.parameters,
            "date": "2026-01-31", "commit": "abc1234567", "reads": {"data.txt": files.sha256(page.book.root / "data.txt")}}
    ran = [TITLE, code("seed = 0", ["parameters"], count=1), code("seed = 3", ["injected-parameters"], count=2),
           code("print(seed)", outputs=[stream("three"), stream("a warning", "stderr")], count=3)]
    write(page.run, ran, ecgstudy=note | changes)


def test_unchanged_page_is_fresh_and_prose_does_not_make_it_stale(toy):
    assert pages.why_stale(toy) == ""
    write(toy.notebook, [TITLE | {"source": "# Toy\n\nNew prose."}, PARAMETERS, code("print(seed)")])
    assert pages.why_stale(toy) == ""


def test_whatever_decides_the_numbers_makes_a_page_stale(toy, monkeypatch):
    (toy.book.root / "data.txt").write_text("2")
    assert pages.why_stale(toy) == "data.txt"
    (toy.book.root / "data.txt").unlink()
    assert pages.why_stale(toy) == "data.txt"
    (toy.book.root / "data.txt").write_text("1")
    assert pages.why_stale(Page(toy.book, toy.notebook, {"seed": 1})).startswith("code, parameters")
    monkeypatch.setattr(pages.importlib.metadata, "version", lambda name: "0.0")
    assert pages.why_stale(toy).startswith("code, parameters")
    monkeypatch.undo()
    write(toy.notebook, [TITLE, PARAMETERS, code("print(seed + 1)")])
    assert pages.why_stale(toy).startswith("code, parameters")
    write(toy.run, [TITLE, PARAMETERS])
    assert pages.why_stale(toy) == "its last run was interrupted"
    toy.run.unlink()
    assert pages.why_stale(toy) == "never run"


def test_a_file_added_to_a_folder_that_was_listed_makes_a_page_stale(toy):
    files.write_text(toy.book.root / "results" / "a.json", "1")
    store_run(toy, reads={"results/": pages.digest_of("results/", toy.book.root)})
    assert pages.why_stale(toy) == ""
    files.write_text(toy.book.root / "results" / "b.json", "1")
    assert pages.why_stale(toy) == "results/"


def test_committed_copy_stands_only_for_the_same_code(toy):
    pages.keep(toy.run, toy)
    assert pages.stands(toy) == toy.run
    (toy.book.root / "data.txt").write_text("2")
    assert pages.stands(toy) == toy.committed
    write(toy.notebook, [TITLE, PARAMETERS, code("print(seed + 1)")])
    assert pages.stands(toy) is None


def test_page_shows_todays_prose_over_stored_outputs(toy):
    write(toy.notebook, [TITLE | {"source": "# Toy\n\nNew prose."}, PARAMETERS, code("print(seed)")])
    folder = book.assemble([toy], toy.book)
    shown = files.read_json(folder / "notebooks" / "04_toy.ipynb")
    title, *cells, end = shown["cells"]
    assert "New prose." in title["source"] and "`seed = 0`" in title["source"] and "2026-01-31" in title["source"]
    assert title["source"].startswith("# Toy\n\n```{admonition}")
    assert [cell["source"] for cell in cells] == ["seed = 0", "print(seed)"]         # nothing injected
    assert cells[-1]["outputs"] == [stream("three")]                                 # no warnings
    assert end["source"].startswith("## Run it yourself") and "papermill notebooks/04_toy.ipynb out.ipynb\n" in end["source"]
    assert (folder / "beside" / "download" / "notebooks" / "04_toy.ipynb").read_bytes() == toy.notebook.read_bytes()
    assert (folder / "intro.md").is_file() and not (folder / "executed").exists()


def test_assembling_again_leaves_same_files_alone_and_removes_old_ones(toy):
    folder = book.assemble([toy], toy.book)
    before = (folder / "intro.md").stat().st_mtime_ns
    files.write_text(folder / "gone.md", "# Old\n")
    files.write_text(folder / "_build" / "html" / "index.html", "built")
    book.assemble([toy], toy.book)
    assert (folder / "intro.md").stat().st_mtime_ns == before
    assert not (folder / "gone.md").exists() and (folder / "_build" / "html" / "index.html").is_file()


def test_kept_copy_has_no_machine_paths_times_or_large_figures(toy, tmp_path):
    import io

    import numpy as np
    from PIL import Image
    buffer = io.BytesIO()
    ramp = np.add.outer(np.arange(600), np.arange(600))
    colours = np.stack([ramp % 256, ramp // 5 % 256, ramp // 3 % 256], -1).astype("uint8")
    Image.fromarray(colours).save(buffer, "PNG", compress_level=0)
    figure = {"output_type": "display_data", "metadata": {}, "data": {"image/png": base64.b64encode(buffer.getvalue()).decode()}}
    ran = [TITLE, code("seed = 0", ["parameters"], count=1),
           code("print(seed)", outputs=[stream(f"{files.repository()}/book/x"), figure], count=2)]
    ran[2]["metadata"]["papermill"] = {"duration": 3.25}
    out = tmp_path / "out.ipynb"
    write(out, ran, papermill={"start_time": "2026-02-01T10:00:00", "parameters": {"seed": 7}, "input_path": "/home/me/x.ipynb"})
    kept = pages.keep(out, toy)
    text = kept.read_text(encoding="utf-8")
    assert str(files.repository()) not in text and "/home/me" not in text and "3.25" not in text and "book/x" in text
    assert files.read_json(kept)["metadata"]["ecgstudy"]["parameters"] == {"seed": 7}
    assert len(text) < 0.5 * len(json.dumps(ran))


def test_only_a_complete_run_of_todays_code_is_kept(toy, tmp_path, monkeypatch):
    out = tmp_path / "out.ipynb"
    write(out, [TITLE, PARAMETERS, code("print(1)", count=2)], papermill={"start_time": "2026-02-01T10:00:00"})
    with pytest.raises(ConfigurationError, match="code cells differ"):
        pages.keep(out, toy)
    write(out, [TITLE, PARAMETERS | {"execution_count": 1}, code("print(seed)")], papermill={"start_time": "2026-02-01T10:00:00"})
    with pytest.raises(ConfigurationError, match="stopped at code cell 2"):
        pages.keep(out, toy)
    monkeypatch.setattr(pages, "KEPT_BYTES", 100)
    with pytest.raises(ConfigurationError, match="draw fewer"):
        pages.keep(toy.run, toy)
    assert not toy.committed.exists()


def test_check_reports_and_failure_is_not_published(toy, capsys, monkeypatch):
    root = toy.book.root
    assert book.main(["--check"], root) == 0
    (root / "data.txt").write_text("2")
    assert book.main(["--check"], root) == 1
    assert "data.txt" in capsys.readouterr().out
    built = []
    monkeypatch.setattr(book, "build", lambda folder: built.append(folder) or 0)
    monkeypatch.setattr(book, "run_pages", lambda waiting, jobs: ["04_toy, cell [2]: ValueError"])
    assert book.main([], root) == 1 and not built
    assert "cell [2]" in capsys.readouterr().err
    monkeypatch.setattr(book, "run_pages", lambda waiting, jobs: store_run(toy) or [])
    assert book.main([], root) == 0 and len(built) == 1


def test_pages_run_side_by_side_and_one_failure_does_not_stop_the_others(tmp_path):
    import_package = "import ecgstudy\n"
    write(tmp_path / "notebooks" / "04_good.ipynb", [TITLE, PARAMETERS, code(import_package + "seed")])
    write(tmp_path / "notebooks" / "05_bad.ipynb", [TITLE, PARAMETERS, code(import_package + "1 / 0")])
    good, bad = Book(tmp_path).pages()
    failures = book.run_pages([good, bad], jobs=2)
    assert len(failures) == 1 and failures[0].startswith("05_bad, cell [2]") and "ZeroDivisionError" in failures[0]
    assert pages.why_stale(bad) == "never run" and not bad.run.exists()
    note = files.read_json(good.run)["metadata"]["ecgstudy"]
    assert note["parameters"] == {"seed": 0} and "ecgstudy/__init__.py" in note["reads"]


def test_page_in_the_contents_that_does_not_exist_is_named(toy, capsys):
    files.write_text(toy.book.text / "_toc.yml", "root: intro\nparts:\n- chapters: [{file: notebooks/04_toy}, {file: gone}]\n")
    assert book.main([], toy.book.root) == 2
    assert "names gone, which" in capsys.readouterr().err


def test_unknown_page_is_refused(toy, capsys):
    assert book.main(["--only", "nothing"], toy.book.root) == 2
    assert "04_toy" in capsys.readouterr().err


def test_trace_records_modules_files_and_folders_but_no_products(tmp_path):
    log = tmp_path / "log"
    program = ("import ecgstudy.leads, os, sys\nfrom ecgstudy import files\nroot = files.repository()\n"
               "open(root / 'book' / '_toc.yml').read(); os.listdir(root / 'book'); os.listdir(root)\n"
               "open(os.path.join(sys.argv[1], 'w'), 'w').write('x')\n"
               "try: open(root / 'not_there.txt')\nexcept OSError: pass\n"
               "try: open(root / 'runs' / 'x.json')\nexcept OSError: pass\n")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=files.repository(),
                   env=os.environ | {"ECGSTUDY_TRACE": str(log)})
    lines = log.read_text().splitlines()
    assert {"ecgstudy/__init__.py", "ecgstudy/leads.py", "ecgstudy/files.py"} <= set(lines)
    assert {"book/_toc.yml", "book/", "not_there.txt"} <= set(lines)
    assert len(lines) == len(set(lines))
    assert not [line for line in lines if line.startswith(("runs", "./", "ecgstudy/models")) or line.endswith(".pyc")]


def test_read_modes():
    assert _trace.is_reading("r", 0) and _trace.is_reading("rb", 0) and _trace.is_reading(None, os.O_RDONLY)
    assert not any(_trace.is_reading(mode, 0) for mode in ("w", "ab", "r+", "x"))
    assert not _trace.is_reading(None, os.O_RDWR)


def test_empty_outputs_are_not_shown():
    from ecgstudy.study.pages import clean
    empty = {"output_type": "display_data", "data": {"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": [""]}}
    said = {"output_type": "display_data", "data": {"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": "told"}}
    number = {"output_type": "execute_result", "data": {"text/plain": "3"}}
    assert clean([empty, said, number]) == [said, number]
