"""Durations: times in the two largest of their units."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(3.2), duration(75), duration(5000), duration(200_000)
    ('3 s', '1 min 15 s', '1 h 23 min', '2 d 8 h')
    """
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
