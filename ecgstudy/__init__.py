"""ecgstudy: a reproducible study of deep learning on the 12-lead ECG."""

__version__ = "0.1.0"

import os

if os.environ.get("ECGSTUDY_TRACE"):        # a kernel that the book started: note what the page reads
    from ecgstudy import _trace
    _trace.start(os.environ["ECGSTUDY_TRACE"])
