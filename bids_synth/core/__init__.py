"""Core: the nouns of the program: modality, scale, unit, visit, split, settings."""
