"""Metrics, thresholds and intervals, computed from stored predictions alone; NumPy and scikit-learn, no torch."""
