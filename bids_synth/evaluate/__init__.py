"""Evaluate: what is withheld and scored, and how far an image is to be trusted."""
