"""Model: a fitted recipe as one portable folder, written, checked and read."""
