"""Volumes: the images of one target in 8 bits on one grid, as a script beside the page."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.report.figures.canvas import unit_words
from bids_synth.report.figures.planes import Window, extent
from bids_synth.report.figures.synthetic import ARBITRARY, Shown
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, json_text, write_text

FINEST = 1.0
"""Edge of the finest voxel that is packed, mm."""
MOST, MOST_OF_VISIT = 12_000_000, 24_000_000
"""Voxels of all images of one target and of all targets of a visit: some megabytes."""
MARGIN, HALO = 6.0, 10.0
"""What is kept around the box of the mask, and of acquired images around the mask, mm."""
BELOW, ABOVE = 0.15, 0.6
"""How far beyond its window an image is packed, in widths of the window."""
VERSION = 1
"""Of what the script holds."""
Levels = npt.NDArray[np.uint8]
Kind = Literal["source", "synthetic", "real", "doubt"]


@dataclass(frozen=True, eq=False)
class Layer:
    """One image of the viewer."""

    name: str
    """What a reader calls it: `T1w`, `synthetic T2w`."""
    kind: Kind
    """Its part; the error is made of `synthetic` and `real` by the viewer."""
    image: Volume
    """On any grid in the space of the mask."""
    window: Window
    """Values of the first and the last colour."""
    ends: Window
    """Values of levels 0 and 255; what lies beyond is packed as these."""
    unit: str
    """In words."""
    colours: str = "gray"
    """Name of a matplotlib colour map."""


def write_volumes(shown: Shown, path: Path, *, targets: int = 1) -> Path:
    """Write the script of one target, whose visit has so many `targets`; returns its path."""
    layers = layers_of(shown)
    grid = packed_grid(shown.mask, len(layers), most=min(MOST, MOST_OF_VISIT // targets))
    mask = on_grid(shown.mask, grid) >= 0.5
    near = ndimage.binary_dilation(mask, iterations=max(round(HALO / grid.spacing[0]), 1))
    content = {
        "version": VERSION,
        "shape": grid.shape,
        "affine": [[round(float(x), 5) for x in row] for row in grid.affine[:3]],
        "spacing": round(grid.spacing[0], 3),
        "reach": float(f"{shown.reach:.6g}"),
        "error": colour_map("berlin"),
        "layers": [_packed(layer, grid, mask, near) for layer in layers],
        "mask": _text(mask.astype(np.uint8)),
    }
    return write_text(script(path.stem, content), path)


def script(name: str, content: Any) -> str:
    """JavaScript that lays `content` down for the viewer; no text in it can end the script.

    >>> script("a", {"name": "</script>"})
    '(window.bidsSynth = window.bidsSynth || {})["a"] = {"name": "\\\\u003c/script>"};\\n'
    """
    key, value = (
        json_text(x, indent=None, ascii_only=True).replace("<", "\\u003c") for x in (name, content)
    )
    return f"(window.bidsSynth = window.bidsSynth || {{}})[{key}] = {value};\n"


def layers_of(shown: Shown) -> tuple[Layer, ...]:
    """Sources, synthetic image and, where there are any, the real one and the doubt."""
    synthetic = shown.synthetic
    layers = []
    for name, image in shown.sources.items():
        window = shown.source_windows[name]
        layers.append(
            Layer(name, "source", image, window, _beyond(window), unit_words(image.unit))
        )
    grays = (shown.window, _beyond(shown.window), shown.unit)
    layers.append(Layer(f"synthetic {synthetic.modality}", "synthetic", synthetic.image, *grays))
    if synthetic.real is not None:
        layers.append(Layer(f"real {synthetic.modality}", "real", synthetic.real, *grays))
    if synthetic.uncertainty is not None:
        reach = (0.0, shown.reach)
        unit = unit_words(synthetic.image.unit)
        if synthetic.image.unit == ARBITRARY:
            unit = shown.unit
        layers.append(
            Layer(shown.doubt, "doubt", synthetic.uncertainty, reach, reach, unit, "inferno")
        )
    return tuple(layers)


def packed_grid(mask: Volume, images: int, *, most: int = MOST) -> Grid:
    """An upright grid of cubes around the mask on which so many images are at most `most`."""
    upright = mask.canonical()
    low, high = extent(upright)
    spacing = np.asarray(upright.grid.spacing)
    reach = MARGIN / spacing
    size = (high - low + 1 + 2 * reach) * spacing
    edge = max(FINEST, float(spacing.min()), float(images * size.prod() / most) ** (1 / 3))
    while True:
        edge = np.ceil(edge * 20 - 1e-6) / 20
        shape = np.maximum(np.floor(size / edge), 1).astype(int)
        if images * shape.prod() <= max(most, images):
            break
        edge += 0.05
    step = edge / spacing
    centre = (low + high) / 2
    affine = upright.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * step
    affine[:3, 3] = upright.grid.to_mm(centre) - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def on_grid(volume: Volume, grid: Grid) -> npt.NDArray[np.float32]:
    """The image on a grid by linear interpolation; its lowest value outside its own."""
    way = np.linalg.inv(volume.grid.affine) @ grid.affine
    array: npt.NDArray[np.float32] = ndimage.affine_transform(
        volume.array, way[:3, :3], way[:3, 3], output_shape=grid.shape, output=np.float32,
        order=1, mode="constant", cval=float(volume.array.min()),
    )  # fmt: skip
    return array


def levels(values: npt.NDArray[np.float32], ends: Window) -> Levels:
    """Values as 0 to 255 between `ends`, what lies beyond as these.

    >>> levels(np.array([-1.0, 0.0, 1.0, 9.0], np.float32), (0.0, 2.0)).tolist()
    [0, 0, 128, 255]
    """
    share = (values - ends[0]) / (ends[1] - ends[0])
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


@cache
def colour_map(name: str) -> str:
    """The 256 colours of a map, three bytes each, in base64."""
    colours = mpl.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return base64.b64encode(colours.tobytes()).decode("ascii")


def _beyond(window: Window) -> Window:
    width = window[1] - window[0]
    return window[0] - BELOW * width, window[1] + ABOVE * width


def _packed(
    layer: Layer, grid: Grid, mask: npt.NDArray[np.bool_], near: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    kept = near if layer.kind in ("source", "real") else mask
    shades = np.where(kept, levels(on_grid(layer.image, grid), layer.ends), np.uint8(0))
    first, width = layer.ends[0], layer.ends[1] - layer.ends[0]
    return {
        "name": layer.name,
        "kind": layer.kind,
        "unit": layer.unit,
        "ends": [float(f"{end:.6g}") for end in layer.ends],
        "window": [round(255 * (end - first) / width, 2) for end in layer.window],
        "colours": colour_map(layer.colours),
        "levels": _text(shades),
    }


def _text(array: Levels) -> str:
    """Bytes, the first index fastest, compressed, as text."""
    return base64.b64encode(gzip.compress(array.tobytes(order="F"), 6, mtime=0)).decode("ascii")
