"""Split: which participants fit, select and test a model."""
