"""Figures and pages that show what was made, from what, and how far to trust it."""
