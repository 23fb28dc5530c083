"""Honest benchmarks: this study's code beside named peers and beside what the machine itself can do, in one run."""
