"""The tests beside this file share the mutations here and the file writers of tests/data."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "data")]
