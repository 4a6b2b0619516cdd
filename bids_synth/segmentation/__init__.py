"""Segmentation: the tissues of a head, in any contrast, by a network."""
