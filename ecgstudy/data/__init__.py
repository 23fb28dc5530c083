"""Recordings in, one prepared array and table out."""
