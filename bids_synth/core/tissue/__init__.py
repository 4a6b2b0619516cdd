"""Tissue: how bright white matter, grey matter and fluid are, in a scan and at a site."""
