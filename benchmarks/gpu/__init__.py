"""The GPU run: one command that measures a CUDA machine with what `learn` needs and no more."""
