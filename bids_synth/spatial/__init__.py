"""Spatial: grids, volumes, transforms and resampling; geometry that everyone may use."""
