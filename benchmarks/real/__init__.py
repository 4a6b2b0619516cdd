"""Real images: each study left out in turn, every line of a table and a page of pictures."""
