"""Experiments, the ledger of finished runs, and what the pages make of them."""
