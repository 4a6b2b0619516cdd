"""An output dataset of sidecars alone, as runs leave them, with figures that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHECKS = {
    "mask_volume": ("volume of the mask", "{:.0f} ml", "900 to 1900 ml"),
    "noise_T1w": ("noise of the T1w", "{:.1f}", "at most 9.0"),
}


def sidecar(
    target: str = "T2w",
    sources: Sequence[str] = ("T1w",),
    *,
    level: str = "pass",
    reasons: Sequence[str] = (),
    strangeness: float | None = 2.0,
    doubt: float | None = 20.0,
    scores: dict[str, float] | None = None,
    checks: dict[str, tuple[float, str]] | None = None,
    key: str = "k",
) -> dict[str, Any]:
    """What `write_synthetic` says of an image; `checks` are name -> value and result."""
    told = []
    for name, (value, result) in (checks or {}).items():
        words, shown, expected = CHECKS[name]
        told.append(
            {"Name": name, "Description": words, "Value": shown.format(value),
             "Expected": expected, "Result": result}
        )  # fmt: skip
    return {
        "Description": f"SYNTHETIC {target}, made from {', '.join(sources)}; not acquired",
        "Units": "arbitrary",
        "Synthetic": True,
        "SynthesisModel": {"Name": "toy", "WeightsSHA256": "ab", "SourceModalities": [*sources]},
        "PreparationKey": key,
        "Uncertainty": {"Map": None}
        if doubt is None
        else {"Map": "bids::x", "Level": 0.9, "MeanInMask": doubt + 1, "MedianInMask": doubt},
        "QualityVerdict": {"Level": level, "Reasons": [*reasons], "Strangeness": strangeness,
                           "Checks": told},
        **({"Scores": [{"protocol": "masked3d", **scores}]} if scores else {}),
    }  # fmt: skip


def put(output: Path, name: str, content: object, *, page: bool = True) -> Path:
    """A sidecar by its file name, below its participant and session, and the page of these."""
    entities = dict(pair.split("-", 1) for pair in name.split("_") if "-" in pair)
    folder = output / f"sub-{entities['sub']}"
    if "ses" in entities:
        folder /= f"ses-{entities['ses']}"
    path = folder / "anat" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if page:
        (output / f"sub-{entities['sub']}.html").write_text("<!doctype html><p>report</p>")
    return path


def fill(output: Path) -> None:
    """Six images of four participants, one with sessions, and what is no image of them."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "dataset_description.json").write_text(
        json.dumps({"Name": "toys <1>", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
                    "GeneratedBy": [{"Name": "bids_synth"}]})
    )  # fmt: skip
    usual = {"mask_volume": (1400.0, "pass"), "noise_T1w": (3.0, "pass")}
    put(
        output,
        "sub-01_space-T1w_desc-synth_T2w.json",
        sidecar(
            checks=usual, scores={"psnr": 25.25, "ssim": 0.9, "coverage": 0.91}, strangeness=1.5
        ),
    )
    put(
        output,
        "sub-01_space-T1w_desc-synth_FLAIR.json",
        sidecar(
            "FLAIR",
            ("T1w", "T2w"),
            level="review",
            reasons=["Nobody has measured this"],
            checks=usual,
            doubt=None,
            strangeness=None,
        ),
    )
    put(
        output,
        "sub-02_space-T1w_desc-synth_T2w.json",
        sidecar(
            level="fail",
            reasons=["The mask is small: 300 ml", "The T1w is noisy"],
            strangeness=9.25,
            checks={"mask_volume": (300.0, "fail"), "noise_T1w": (12.0, "review")},
        ),
    )
    for session in "AB":
        put(
            output,
            f"sub-10_ses-{session}_space-T1w_desc-synth_T2w.json",
            sidecar(
                checks=usual | {"mask_volume": (1300.0 + ord(session), "pass")}, strangeness=2.75
            ),
        )
    put(
        output,
        "sub-10_ses-B_ce-gadolinium_space-T1w_desc-synth_T1w.json",
        sidecar("T1wGd", ("T1w", "T2w"), checks=usual),
        page=False,
    )
    put(output, "sub-01_space-MNI152NLin2009aSym_res-2_desc-synth_T2w.json", sidecar())
    put(output, "sub-03_space-T1w_res-1mm_desc-preproc_T2w.json", {})
    put(output, "sub-04_space-T1w_desc-synth_T2w.json", "{ broken")
