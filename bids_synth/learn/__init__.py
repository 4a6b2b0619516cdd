"""Learn: from prepared visits to a model, and from a model to synthetic images."""
