"""Interfaces: the package as nodes of other people's nipype workflows."""

from bids_synth.interfaces.synthesize import Synthesize

__all__ = ["Synthesize"]
