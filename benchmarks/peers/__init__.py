"""Samples a second beside what others would write, by turns, on the same heads and machine."""
