"""Pipeline: the paths of the two levels, and their steps."""
