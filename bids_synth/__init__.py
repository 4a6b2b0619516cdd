"""Synthesise the brain images that a BIDS dataset lacks, and say how far to trust them."""

__version__ = "0.1.0"
