"""Checks: what of a dataset contradicts, or is there and is not read."""
