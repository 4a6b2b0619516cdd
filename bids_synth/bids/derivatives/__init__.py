"""Derivatives: the output dataset, written and read back."""
