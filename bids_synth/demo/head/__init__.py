"""Head: the anatomy of a digital participant."""
