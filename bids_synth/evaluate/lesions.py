"""Lesions of test participants: kept, erased or invented, and how wide the interval is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.measure.lesions import SMALLEST, invented, lesion_scores
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask

DRAWN_ON = "T1w"
"""In whose space masks of lesions lie, where the visit has one."""
COLUMNS = (
    *("visit", "participant", "target", "sources", "lesions", "visible", "kept", "faded"),
    *("erased", "contrast", "invented", "invented_mm3", "wider"),
)


def lesions_on_native(path: Path | None, prepared: Prepared) -> npt.NDArray[np.bool_] | None:
    """A mask of lesions, in the space of the T1w, on the reference's native grid.

    None without one, and where a visit was prepared without its T1w, so that nobody knows how the
    mask lies.
    """
    if path is None:
        return None
    transform = None
    if prepared.reference != DRAWN_ON and DRAWN_ON in prepared.visit.scans:
        if DRAWN_ON not in prepared.transforms:
            return None
        transform = read_itk(prepared.transforms[DRAWN_ON])
    mask = resample(read_mask(path), prepared.native, transform=transform, order=0)
    return np.asarray(mask.array > 0)


def lesion_row(
    synthetic: Synthetic, prepared: Prepared, mask: Volume, lesions: npt.NDArray[np.bool_] | None
) -> pd.DataFrame:
    """One row of a scored image on the native grid; none where nobody drew a lesion.

    `visible` lesions are those that the real image shows; of these `kept`, `faded` and `erased`
    are told, and `contrast`, the median share of the real contrast. `invented` are blobs that
    only the synthetic image has; `wider` is the median ratio of the interval in visible lesions
    to that around them.
    """
    if lesions is None or synthetic.real is None or not lesions.any():
        return pd.DataFrame(columns=[*COLUMNS])
    inside, spacing = mask.array > 0, prepared.native.spacing
    real, made = synthetic.real.array, synthetic.image.array
    half = synthetic.interval.half_width.array if synthetic.interval else None
    every = lesion_scores(real, made, lesions, inside, spacing, half)
    shown = [one for one in every if one.visible]
    bright = float(np.median([one.real for one in shown])) > 0 if shown else True
    count, volume = invented(real, made, inside, spacing, bright=bright)
    fates = [one.fate for one in shown]
    row = {
        "visit": prepared.label,
        "participant": prepared.visit.participant,
        "target": synthetic.modality,
        "sources": "+".join(synthetic.sources),
        "lesions": len(every),
        "visible": len(shown),
        **{fate: fates.count(fate) for fate in ("kept", "faded", "erased")},
        "contrast": float(np.median([one.share for one in shown])) if shown else float("nan"),
        "invented": count,
        "invented_mm3": volume,
        "wider": float(np.median([one.wider for one in shown])) if shown else float("nan"),
    }
    return pd.DataFrame([row], columns=[*COLUMNS])


def lesion_sentence(rows: pd.DataFrame, target: str, sources: str) -> str:
    """What happened to lesions in held-out images of a target; empty where nobody knows."""
    if rows.empty:
        return ""
    own = rows[(rows["target"] == target) & (rows["sources"] == sources)]
    visible = int(own["visible"].sum()) if len(own) else 0
    if not visible:
        return ""
    kept, erased = int(own["kept"].sum()), int(own["erased"].sum())
    people = own["participant"].nunique()
    person = "person" if people == 1 else "people"
    return (
        f"Of {visible} lesions of {SMALLEST:g} mm3 or more that the real {target} of {people} "
        f"held-out {person} shows, {kept} were kept and {erased} erased in the {target} from "
        f"{sources.replace('+', ' + ')}"
    )
