"""Trust: how far from the truth a synthetic voxel may be, and what a held-out score says."""
