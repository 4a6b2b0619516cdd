"""Synthesise the brain images that a BIDS dataset lacks, and say how far to trust them."""

import os

# Before any module can import nipype, which would ask a server for its newest version.
os.environ.setdefault("NO_ET", "1")

__version__ = "0.1.0"
