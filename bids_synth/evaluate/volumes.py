"""Volumes of tissue from a synthetic image against those from the real one, by one network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.segmentation.tissues import Tissues, tissues_of
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

TISSUES = {"csf": "fluid", "grey": "grey matter", "white": "white matter"}
"""Class of the network -> tissue, in words."""
COLUMNS = (
    *("visit", "participant", "target", "sources", "method", "region"),
    *("real", "synthetic", "bias", "percent_bias", "dice"),
)


def volume_rows(synthetic: Synthetic, prepared: Prepared, mask: Volume) -> pd.DataFrame:
    """One row a tissue of a scored image of arbitrary unit on the native grid; else none.

    `real` and `synthetic` are volumes, ml, by the tissue network of the package from the image
    inside the mask, `bias` their difference, `dice` the overlap of the most likely tissue.
    """
    real = synthetic.real
    if real is None or not MODALITIES[synthetic.modality].arbitrary:
        return pd.DataFrame(columns=[*COLUMNS])
    inside = mask.array > 0
    one, other = (tissues_of(v.with_array(v.array * inside)) for v in (real, synthetic.image))
    keys = {
        "visit": prepared.label,
        "participant": prepared.visit.participant,
        "target": synthetic.modality,
        "sources": "+".join(synthetic.sources),
        "method": "model",
    }
    rows = []
    labels = [_most_likely(maps, one) for maps in (one, other)]
    for number, (name, words) in enumerate(TISSUES.items()):
        first, second = (_millilitres(maps, name) for maps in (one, other))
        both = [label == number for label in labels]
        total = int(both[0].sum() + both[1].sum())
        rows.append(
            {
                **keys,
                "region": words,
                "real": first,
                "synthetic": second,
                "bias": second - first,
                "percent_bias": 100 * (second - first) / first if first else float("nan"),
                "dice": 2 * int((both[0] & both[1]).sum()) / total if total else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=[*COLUMNS])


def _millilitres(maps: Tissues, name: str) -> float:
    volume = maps.of(name)
    voxel = float(abs(np.linalg.det(volume.grid.affine[:3, :3])))
    return float(volume.array.sum(dtype=np.float64)) * voxel / 1000


def _most_likely(maps: Tissues, where: Tissues) -> npt.NDArray[np.int64]:
    """Number of the most likely of `TISSUES` on the grid of `where`, -1 where none is."""
    shares = np.stack([resample(maps.of(name), where.grid).array for name in TISSUES])
    return np.where(shares.sum(0) > 0.5, shares.argmax(0), -1)
