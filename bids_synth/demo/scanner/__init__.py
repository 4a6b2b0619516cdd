"""Scanner: images of a digital head, as sequences would show it."""
