"""Exchange: models for other programs, and back."""
