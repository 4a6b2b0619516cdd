"""Visit: one prepared visit from its tasks to files, scores and a page."""
