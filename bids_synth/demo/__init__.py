"""Digital phantoms with exact ground truth: the embedded demo dataset."""
