"""Fingerprint: what tells that two files hold the same scan, whatever they are called."""

from __future__ import annotations

import hashlib

import numpy as np

from bids_synth.core.visit import Prepared
from bids_synth.spatial.volume import Volume, read_volume

MOST = 2**20
"""Voxels, evenly spread, that a fingerprint looks at."""


def fingerprint(volume: Volume) -> str:
    """sha256 of the shape in RAS order and of the order of the values.

    The same for every copy of a scan with another name, header text, compression, order of
    storage, voxel type or linear scaling (of positive slope): only ranks count. Other for a
    copy that was resampled, cropped or otherwise edited.
    """
    array = np.ascontiguousarray(volume.canonical().array, dtype=np.float32)
    some = array.reshape(-1)[:: -(-array.size // MOST)]
    _, ranks = np.unique(some, return_inverse=True)
    digest = hashlib.sha256(np.asarray(array.shape, "<i8").tobytes())
    digest.update(ranks.astype("<u4").tobytes())
    return digest.hexdigest()


def fingerprints(prepared: Prepared) -> dict[str, str]:
    """Modality -> fingerprint of every scan of a visit that was prepared.

    Those that the preparation has kept; others are read. VisitError for an unreadable scan.
    """
    scans = prepared.visit.scans
    return {
        m: prepared.contents.get(m) or fingerprint(read_volume(scans[m].path))
        for m in prepared.images
        if m in scans
    }
