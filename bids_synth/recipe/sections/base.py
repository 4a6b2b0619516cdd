"""Part: what every section of a recipe has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def one_line(text: str) -> str:
    """The text; ValueError where it would steer a terminal or break a line."""
    if not text.isprintable():
        message = "expected one line of printable text"
        raise ValueError(message)
    return text


Line = Annotated[str, Field(max_length=500), AfterValidator(one_line)]
"""Words that are shown to people: one line, nothing that a terminal would obey."""
MOST_NAMES = 32
"""Longest list of names: more than there are modalities."""


class Part(BaseModel):
    """Base of every section of a recipe: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
