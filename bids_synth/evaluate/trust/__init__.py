"""Trust: what is measured on held-out people, and what it says of one synthetic image."""
