"""The tests beside this file share one module of file writers, whatever import mode pytest runs in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: prepares a whole data set (about 15 s); leave out with -m 'not slow'")
