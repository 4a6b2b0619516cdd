"""Figures: what was made, from what, as SVG."""
