"""Data: what a network is shown, from prepared visits."""
