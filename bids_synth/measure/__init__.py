"""Scores of synthetic images under named protocols, splits, tables and verdicts."""
