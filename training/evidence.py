"""Evidence: how far the model that comes with the package may be trusted, for its card.

    python -m training.evidence DATASET OUT

Measured by the same fits without one study each that `benchmarks quality --real` makes in OUT:
what taught, how far images of people left out are from the truth, what limits a verdict has, and
whether the images are better than plain answers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.real.people import everybody, prepare
from benchmarks.trust.left_out import evidence, left_out
from bids_synth.evaluate.trust.evidence import RULES
from bids_synth.learn.model.card import Card
from bids_synth.spatial.volume import write_text
from training.any_contrast import PACKAGE, dataset_of, ranges


def main() -> None:
    """Measure it and write it into the card in the package."""
    parser = argparse.ArgumentParser(prog="python -m training.evidence")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    people = prepare(chosen.dataset, chosen.out, "impute")
    taught = ranges(dataset_of(people, chosen.out / "bids"), chosen.out, everybody())
    found = evidence(left_out(people, chosen.out), chosen.dataset)
    place = PACKAGE / "model.json"
    card = Card.model_validate_json(place.read_text("utf-8"))
    update = {
        "ranges": {**taught, **found.ranges},
        "alarm": found.alarm,
        "intervals": found.intervals,
        "held_out": found.held_out,
        "evidence": RULES,
    }
    write_text(card.model_copy(update=update).text(), place)


if __name__ == "__main__":
    main()
