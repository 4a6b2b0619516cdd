"""Baselines: the plain answers that a model must beat."""
