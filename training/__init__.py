"""Training: what the weights that come with the package were learned by; not in the wheel."""
