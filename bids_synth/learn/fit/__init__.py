"""Fit: from prepared visits, a split and a recipe to weights."""
