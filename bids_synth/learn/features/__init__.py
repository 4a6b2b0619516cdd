"""Features: what other networks see in images, to compare them by."""
