"""The browser that the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ecgstudy.study import site


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One Chromium for all pages: the system's, else the one that playwright brought."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        program = site.find_browser() or driver.chromium.executable_path
        if not Path(program).is_file():
            pytest.skip("no Chromium on the search path, and none of playwright's own (python -m playwright install chromium)")
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()
