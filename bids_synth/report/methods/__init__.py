"""The methods text of a run: its words, the papers behind it, and its formats."""
