"""Time and memory of every stage on this machine, beside the machine's own limits."""
