"""Terminal: what a run says there and in its log."""
