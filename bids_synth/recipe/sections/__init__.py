"""Sections of a recipe: validated data, one file for each thing that a recipe decides."""
