"""Physics: formulas, and what they give for the maps of a visit."""
