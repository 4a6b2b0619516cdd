"""`python -m bids_synth.recipe`: the JSON schema of a recipe, for editors and other programs."""

from __future__ import annotations

import json
import sys

from bids_synth.recipe.recipe import Recipe


def main() -> None:
    """Write the schema to standard output."""
    text = json.dumps(Recipe.model_json_schema(), indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
