"""ecgstudy: a reproducible study of deep learning on the 12-lead ECG."""

__version__ = "0.1.0"
