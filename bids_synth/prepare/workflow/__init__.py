"""Workflow: the steps of preparation, from file to file, wired by nipype."""
