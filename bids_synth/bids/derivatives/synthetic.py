"""Derivatives: synthetic images with sidecars that say what they are and whence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from bids_synth.bids.derivatives.file_names import OutputNames, Region
from bids_synth.bids.derivatives.sidecars import (
    held_block,
    native_block,
    read_sidecar,
    refuse_shadow,
    withdraw,
    write_sidecar,
)
from bids_synth.bids.names import parse_name
from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared, Visit
from bids_synth.spatial.volume import hold_to_bounds, write_volume

_IN_MASK = ("Map", "MeanInMask", "MedianInMask")
"""What the sidecar of an image says of its uncertainty, and that of the map itself does not."""


def write_synthetic(
    synthetic: Synthetic,
    prepared: Prepared,
    output: Path,
    *,
    dataset: Path,
    model: Mapping[str, Any],
    region: Region = "brain",
    units: str = "",
    scores: Sequence[Mapping[str, Any]] = (),
) -> list[Path]:
    """Write a synthetic image, its uncertainty map and their sidecars, sidecars first.

    The image lies on `prepared.native` in the modality's unit; `model` is the block
    `SynthesisModel` of the sidecar (with `Tracer` it names the `trc-` of a PET image).
    `units` is what the sidecar says of the unit where it knows more than the modality's own,
    `scores` how it did against a real image, one mapping a protocol.
    Returns the paths, the image first. Raises VisitError rather than touch or imitate raw data.
    """
    verdict = synthetic.verdict
    if verdict is None:
        message = f"the synthetic {synthetic.modality} has no verdict; judge it first"
        raise ValueError(message)
    modality = MODALITIES[synthetic.modality]
    if synthetic.image.unit != "SUVR" or modality.datatype != "pet":
        synthetic.image.require_unit(modality.unit)
    if not synthetic.image.grid.matches(prepared.native):
        message = f"the synthetic {modality.name} is not on the reference's native grid"
        raise ValueError(message)
    names = OutputNames(prepared.visit, prepared.reference)
    tracer = model.get("Tracer")
    image = names.synthetic(modality.name, tracer=tracer)
    doubt = names.uncertainty(modality.name, tracer=tracer)
    for path in (image, doubt):
        refuse_shadow(path, prepared.visit, output, dataset)
    unit = synthetic.image.unit
    common = native_block(
        prepared, synthetic.sources, units or unit, output, dataset=dataset, region=region
    ) | {"Synthetic": True}
    uncertainty = _uncertainty(synthetic, prepared, f"bids::{doubt}", model)
    block = {
        "Description": f"SYNTHETIC {modality.name}, made from {', '.join(synthetic.sources)}; "
        "not acquired",
        **common,
        "SynthesisModel": dict(model),
        "PreparationKey": prepared.key,
        **_coverage(synthetic, prepared),
        **held_block(synthetic.held, unit),
        **_calibration(synthetic),
        "Uncertainty": uncertainty,
        "QualityVerdict": _verdict(verdict),
        **({"Scores": [dict(one) for one in scores]} if scores else {}),
    }
    written = []
    withdraw(image, block, output)
    if (volume := synthetic.uncertainty) is not None:
        about = {"Description": f"Uncertainty of the synthetic {modality.name}", **common}
        about |= {"Sources": [f"bids::{image}"]}
        about |= {k: v for k, v in uncertainty.items() if k not in _IN_MASK}
        withdraw(doubt, about, output)
        sidecar = write_sidecar(doubt, about, output)
        written = [write_volume(volume.with_array(np.maximum(volume.array, 0)), output / doubt)]
        written.append(sidecar)
    sidecar = write_sidecar(image, block, output)
    bounded = hold_to_bounds(synthetic.image)[0]  # Interpolation rounds.
    return [write_volume(bounded, output / image), sidecar, *written]


def written_synthetic(
    visit: Visit, reference: Prepared | str, target: str, output: Path
) -> tuple[Path, dict[str, Any]] | None:
    """The synthetic image of a target that the output holds, with its sidecar; else None."""
    if isinstance(reference, Prepared):
        reference = reference.reference
    expected = OutputNames(visit, reference).synthetic(target)
    ending = f"_desc-synth_{MODALITIES[target].suffix}.nii.gz"
    for path in sorted((output / expected.parent).glob(f"*{ending}")):
        sidecar = read_sidecar(path)
        if _but_tracer(path) == _but_tracer(expected) and (sidecar or {}).get("Synthetic") is True:
            return path, dict(sidecar or {})
    return None


def _but_tracer(path: PurePath) -> dict[str, str]:
    """Entities without the tracer, which a model may have named."""
    return {key: label for key, label in parse_name(path).entities.items() if key != "trc"}


def is_current(sidecar: Mapping[str, Any], *, key: str, model: Mapping[str, Any]) -> bool:
    """Whether a synthetic image was made by these weights from this preparation.

    The sidecar of the image against `Prepared.key` and the `SynthesisModel` block.
    """
    block = sidecar.get("SynthesisModel")
    if not isinstance(block, dict):
        return False
    compared = ("WeightsSHA256", "SourceModalities", "EvidenceSHA256")
    now = json.loads(json.dumps({name: model.get(name) for name in compared}))
    same = all(block.get(name) == now[name] for name in compared)
    return same and sidecar.get("PreparationKey") == key


def _coverage(synthetic: Synthetic, prepared: Prepared) -> dict[str, Any]:
    """The shares of the mask that each source covers and that was made, where one is partial."""
    shares = {m: prepared.quality.get(f"coverage_{m}", 1.0) for m in synthetic.sources}
    if synthetic.made_in is None and not prepared.coverage.keys() & shares.keys():
        return {}
    synthesised = 1.0
    if synthetic.made_in is not None:
        inside = prepared.native_mask_image.array > 0
        synthesised = float((synthetic.made_in.array[inside] > 0).mean())
    rounded = {m: round(share, 4) for m, share in shares.items()}
    return {"Coverage": {"Synthesised": round(synthesised, 4), "Sources": rounded}}


def _calibration(synthetic: Synthetic) -> dict[str, Any]:
    """Whose scans gave the image its brightness; nothing where nobody's did."""
    if not synthetic.donors:
        return {}
    text = (
        f"multiplied so that white matter lies at its median level in the {synthetic.modality} of "
        "these participants"
    )
    people = [f"sub-{donor}" for donor in synthetic.donors]
    return {"Calibration": {"Participants": people, "Description": text}}


def _uncertainty(
    synthetic: Synthetic, prepared: Prepared, uri: str, model: Mapping[str, Any]
) -> dict[str, Any]:
    """What the map of the uncertainty is, and by whom it was calibrated."""
    if synthetic.uncertainty is None:
        method = "none: the model is a single network, and nobody validated it"
        return {"Map": None, "Method": method}
    mask = (synthetic.made_in or prepared.native_mask_image).array.astype(bool)
    inside = synthetic.uncertainty.array[mask]
    middle: dict[str, float | None] = dict.fromkeys(("MeanInMask", "MedianInMask"))
    if inside.size:
        mean = float(np.mean(inside, dtype=np.float64))
        middle = {"MeanInMask": mean, "MedianInMask": float(np.median(inside))}
    members = {"Members": model["Members"]} if "Members" in model else {}
    interval = synthetic.interval
    if interval is None:
        method = "standard deviation over the networks of the ensemble, not calibrated"
        return {"Map": uri, "Method": method, **members, **middle}
    method = (
        f"half the width of the {100 * interval.level:.0f} % interval: split conformal scaling of "
        "a width by value, depth, edges and spread on the errors of validation participants, each "
        "of whom weighs the same; never below what the unit can be"
    )
    held = [round(share, 4) for share in interval.coverage]
    return {
        "Map": uri,
        "Method": method,
        "Level": interval.level,
        "Participants": interval.participants,
        "HeldOutCoverage": held,
        **members,
        **middle,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """The verdict with everything that was looked at."""
    far = verdict.strangeness
    return {
        "Level": verdict.level,
        "Reasons": list(verdict.reasons),
        "Strangeness": None if np.isnan(far) else round(far, 3),
        "Checks": [
            {
                "Name": check.name,
                "Description": check.words,
                "Value": check.value,
                "Expected": check.expected,
                "Result": check.level,
            }
            for check in verdict.checks
        ],
    }
