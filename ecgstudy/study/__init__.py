"""Experiments, ledger, tables, figures, plans, and the strict runner of notebooks."""
