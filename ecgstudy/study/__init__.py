"""Experiments, their ledger, and what the book shows of them."""
