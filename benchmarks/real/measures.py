"""Measures: error, structure, sharpness and lesions of an image beside the scan as acquired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.visit import Prepared
from bids_synth.measure.protocols.affine_free import best_affine
from bids_synth.measure.protocols.masked3d import masked3d
from bids_synth.prepare.workflow.steps import scan_on_grid
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask

Array = npt.NDArray[np.float64]
FINE = (0.25, 0.5)
"""Spatial frequencies that count as sharpness, of the sampling rate."""
RIM, SOFT = 4, 2.0
"""Voxels of the mask's edge that the spectrum leaves out, and how softly it does."""
AROUND = 3
"""Voxels around a lesion that it is compared with."""


def truth(person: Prepared, target: str) -> Volume:
    """The scan as acquired, its shading in it, on the prepared grid."""
    scan, matrix = person.visit.scans[target], person.transforms.get(target)
    transform = read_itk(matrix) if matrix is not None else None
    return scan_on_grid(scan.path, target, person.mask_image, transform, scan.conversion)


def lesions(person: Prepared, dataset: Path) -> npt.NDArray[np.bool_] | None:
    """Drawn by experts, on the prepared grid; None where nobody has drawn any."""
    label = person.visit.label
    path = dataset / f"derivatives/lesions/{label}/anat/{label}_label-lesion_mask.nii.gz"
    if not path.is_file():
        return None
    return resample(read_mask(path), person.grid, order=0).array > 0


def measured(
    real: Volume, made: Volume, mask: Volume, marked: npt.NDArray[np.bool_] | None
) -> dict[str, float]:
    """All figures of one image; the last three after brightness and contrast were fitted."""
    inside = mask.array > 0
    fitted = made.with_array(best_affine(real.array, made.array, inside).astype(np.float32))
    plain, free = masked3d(real, made, mask), masked3d(real, fitted, mask)
    figures = {
        "masked3d_psnr": plain["psnr"],
        "masked3d_ssim": plain["ssim"],
        "affine_free_psnr": free["psnr"],
        "affine_free_ssim": free["ssim"],
        "sharpness": power(fitted.array, inside) / power(real.array, inside),
    }
    if marked is not None:
        shown, there = (contrast(v.array, marked, inside) for v in (fitted, real))
        figures["lesions"] = shown / there
    return figures


def power(image: npt.NDArray[np.floating], inside: npt.NDArray[np.bool_]) -> float:
    """Power at the FINE frequencies, deep enough in the mask that its edge is not seen."""
    deep = ndimage.binary_erosion(inside, iterations=RIM).astype(np.float64)
    window = ndimage.gaussian_filter(deep, SOFT)
    shown = (image - image[inside].mean()) * window
    axes = [np.fft.fftfreq(n) for n in image.shape[:2]] + [np.fft.rfftfreq(image.shape[2])]
    rates = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    spectrum = np.abs(np.fft.rfftn(shown)) ** 2
    return float(spectrum[(rates >= FINE[0]) & (rates <= FINE[1])].sum())


def contrast(
    image: npt.NDArray[np.floating],
    marked: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
) -> float:
    """Mean of what is marked less that of what lies around it."""
    wide = ndimage.binary_dilation(marked, iterations=AROUND)
    return float(image[marked & inside].mean() - image[wide & ~marked & inside].mean())
