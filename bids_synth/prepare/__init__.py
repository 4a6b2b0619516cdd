"""Prepare: a visit's scans become images on one grid, with a mask, and the exact way back."""
