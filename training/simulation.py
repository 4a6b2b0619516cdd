"""Simulation: T1w, T2w, FLAIR and PDw of a head of which only the label map is real.

Teachers of what five participants lack: typical contrasts, and lesions of many kinds. Signals are
rendered tissue by tissue and mixed by share, for a mean of relaxation times would give fluid and
cortex a rim. What differs within a tissue is drawn in relaxation times, which contrasts share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from scipy.linalg import polar

from bids_synth.demo.scanner.signal import inversion_recovery, mprage, spin_echo
from bids_synth.segmentation.network import CLASSES
from training.anatomy import Anatomy
from training.drawing import draw
from training.scanner import Window, place, shares_of

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]
Signal = Callable[[Floats, Floats, Floats], Floats]
"""What a sequence measures of proton density, T1 and T2."""
CONTRASTS = ("T1w", "T2w", "FLAIR", "PDw")
WINDOW = Window((176, 208, 176), 1.0)
"""Wide enough for every brain: none is cut off."""
TIMES = {
    "white": (0.70, 0.65, 0.080),
    "grey": (0.82, 1.05, 0.090),
    "csf": (1.00, 4.00, 1.500),
    "cerebellar white": (0.71, 0.68, 0.082),
    "cerebellar cortex": (0.82, 1.05, 0.092),
    "brain stem": (0.73, 0.73, 0.085),
    "ventral diencephalon": (0.74, 0.75, 0.078),
    "thalamus": (0.78, 0.85, 0.083),
    "caudate": (0.81, 1.00, 0.087),
    "putamen": (0.80, 0.93, 0.080),
    "pallidum": (0.74, 0.75, 0.066),
    "hippocampus": (0.84, 1.10, 0.100),
    "amygdala": (0.83, 1.08, 0.096),
    "choroid plexus": (0.90, 1.80, 0.180),
    "vessels": (0.10, 1.50, 0.100),
    "lesion": (0.82, 1.10, 0.140),
}
"""Proton density, T1 and T2 in s at 1.5 T (Deoni 2005, doi:10.1002/mrm.20314; Stanisz 2005,
doi:10.1002/mrm.20605), T2 of grey matter such that FLAIR and T2w are like real ones."""
SPREAD = 0.03
"""SD of the logarithm of what a structure has of each of the three."""
TEXTURE = {"white": (0.03, 0.05), "grey": (0.04, 0.04)}
"""SD of the logarithms of T1 and T2 within a tissue; they rise together."""
CORRELATION = 0.7
"""Their correlation."""
CAPS = (0.12, 3.0)
"""Rise of T2 in white matter at a ventricle's wall, and the distance, mm, in which it fades."""
BLUR, NOISE = (0.35, 0.6), 0.04
"""SD of the scanner's blur, voxels, and largest of the noise, white matter 1."""
THICK = {"T1w": 0.2, "T2w": 0.6, "FLAIR": 0.6, "PDw": 0.6}
"""How often a contrast was scanned in slices."""
SLICES = (2.0, 4.0)
"""Their thickness, mm."""
SHIFT = 0.2
"""SD, mm, of what is left between contrasts along each axis after registration."""


@dataclass(frozen=True)
class Lesion:
    """A part of white or grey matter that is ill."""

    centre: tuple[int, int, int]
    radius: float
    """Voxels."""
    times: tuple[float, float, float]
    """Proton density, T1 and T2."""
    soft: float
    """Voxels in which it fades."""
    core: float
    """Share of the radius within which it is a cavity full of fluid."""
    seed: int


@dataclass(frozen=True, eq=False)
class Simulated:
    """The images of one visit, white matter 1, and where there is brain."""

    images: dict[str, Pixels]
    inside: npt.NDArray[np.bool_]
    lesions: Pixels
    """(I, J, K) share of a voxel that is ill."""


def simulate(anatomy: Anatomy, seed: int, window: Window = WINDOW) -> Simulated:
    """One visit of a new shape of this head; the same seed gives the same images."""
    rng = np.random.default_rng(seed)
    drawing = draw(rng, anatomy)
    drawing = replace(drawing, affine=upright(drawing.affine, anatomy))
    structures = place(drawing, anatomy, window, torch.device("cpu"))
    layers = shares_of(structures, anatomy).numpy()
    inside = _stripped(layers, rng)
    sequences = _sequences(rng)
    times = _times(anatomy, rng)
    fields = _fields(layers, rng)
    lesions = _draw_lesions(layers, rng)
    ill = [_extent(one, layers) for one in lesions]
    share = np.clip(sum(ill, np.zeros(inside.shape, np.float32)), 0, 1)
    blur, noise = rng.uniform(*BLUR), rng.uniform(0, NOISE)
    images = {}
    for contrast in CONTRASTS:
        signal = sequences[contrast]
        table = torch.as_tensor(signal(*times.T), dtype=torch.float32)
        image = torch.nn.functional.avg_pool3d(table[structures][None, None], 2)[0, 0].numpy()
        image = image * _textured(signal, fields, layers)
        for lesion, where in zip(lesions, ill, strict=True):
            image = image + where * (_ill(lesion, signal, where) - image)
        white = _value(signal, times[anatomy.names.index("white")])
        image = ndimage.gaussian_filter(np.abs(image) / white, blur)
        image = _scanned(image, contrast, rng)
        shaken = image + rng.normal(0, noise, image.shape)
        images[contrast] = (np.hypot(shaken, rng.normal(0, noise, image.shape)) * inside).astype(
            np.float32
        )
    return Simulated(images, inside, np.asarray(share * inside, np.float32))


def cropped(visit: Simulated, margin: int = 3) -> Simulated:
    """The visit within a box around its brain."""
    index = np.argwhere(visit.inside)
    start, stop = np.maximum(index.min(0) - margin, 0), index.max(0) + 1 + margin
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    images = {name: image[box] for name, image in visit.images.items()}
    return Simulated(images, visit.inside[box], visit.lesions[box])


def _scanned(image: Floats, contrast: str, rng: np.random.Generator) -> Floats:
    """An image in thick slices, a little off its place."""
    thick = float(rng.uniform(*SLICES)) if rng.random() < THICK[contrast] else 1.0
    image = ndimage.shift(image, rng.normal(0, SHIFT, 3), order=1, mode="nearest")
    if thick == 1.0:
        return np.asarray(image)
    axis = int(rng.choice(3, p=(0.15, 0.15, 0.7)))
    mean = ndimage.uniform_filter1d(image, round(thick), axis=axis)
    edges = np.arange(rng.uniform(0, thick), image.shape[axis], thick)
    slices = ndimage.map_coordinates(
        mean, _indices(image.shape, axis, edges), order=1, mode="nearest"
    )
    back = (np.arange(image.shape[axis]) - edges[0]) / thick
    return np.asarray(
        ndimage.map_coordinates(
            slices, _indices(slices.shape, axis, back), order=1, mode="nearest"
        )
    )


def _indices(shape: tuple[int, ...], axis: int, along: npt.NDArray[Any]) -> Floats:
    steps = [np.arange(n, dtype=np.float64) for n in shape]
    steps[axis] = along
    return np.stack(np.meshgrid(*steps, indexing="ij"))


def upright(affine: Pixels, anatomy: Anatomy) -> Pixels:
    """The drawn sizes and shears about the middle of the brain, without the turn.

    What surrounds a voxel hardly depends on how a head lies, and finding its levels does.
    """
    linear = affine[:, :3].astype(np.float64)
    _, stretch = polar(linear)
    mirror = np.diag([np.sign(np.linalg.det(linear)), 1.0, 1.0])
    return np.column_stack([mirror @ stretch, anatomy.centre]).astype(np.float32)


def _sequences(rng: np.random.Generator) -> dict[str, Signal]:
    """Contrast -> the signal of a protocol near a typical one."""

    def near(value: float, by: float = 0.06) -> float:
        return float(value * np.exp(rng.normal(0, by)))

    t2w, flair = {"tr": near(4.5), "te": near(0.09)}, {"tr": near(9.0), "te": near(0.10)}
    flair["ti"] = near(2.45, 0.03)
    pdw = {"tr": near(3.5), "te": near(0.025)}
    t1w = {"tr": near(2.0), "te": 0.003, "ti": near(0.95), "flip": near(9.0)}
    return {
        "T1w": lambda p, a, b: mprage(p, a, b, **t1w, spacing=0.007, pulses=160),
        "T2w": lambda p, a, b: spin_echo(p, a, b, **t2w),
        "FLAIR": lambda p, a, b: inversion_recovery(p, a, b, **flair),
        "PDw": lambda p, a, b: spin_echo(p, a, b, **pdw),
    }


def _times(anatomy: Anatomy, rng: np.random.Generator) -> Floats:
    """(structures, 3) density, T1 and T2; density 0 where there is no brain."""
    common = {kind: np.exp(rng.normal(0, SPREAD, 3)) for kind in ("white", "grey", "csf")}
    rows = []
    for name, tissue in zip(anatomy.names, anatomy.tissue, strict=True):
        kind = CLASSES[tissue]
        own = TIMES.get(name, TIMES.get(kind, (0.0, 1.0, 0.1)))
        rows.append(np.asarray(own) * common.get(kind, 1) * np.exp(rng.normal(0, SPREAD / 2, 3)))
    return np.array(rows)


def _fields(layers: Pixels, rng: np.random.Generator) -> Floats:
    """(2, I, J, K) logarithms by which T1 and T2 differ from those of their tissue."""
    shape = layers.shape[1:]
    raw = []
    for _ in range(2):
        smooth = ndimage.zoom(rng.normal(0, 1, [n // 8 for n in shape]), 8, order=1)
        fine = ndimage.gaussian_filter(rng.normal(0, 1, shape), 0.7)
        raw.append(0.7 * smooth / smooth.std() + 0.7 * fine / fine.std())
    second = CORRELATION * raw[0] + np.sqrt(1 - CORRELATION**2) * raw[1]
    white, grey = layers[4], layers[3]
    (w1, w2), (g1, g2) = TEXTURE["white"], TEXTURE["grey"]
    rise, far = CAPS
    distance = ndimage.distance_transform_edt(layers[2] < 0.5)
    caps = rise * rng.uniform(0, 2) * np.exp(-distance / (far * rng.uniform(0.7, 2))) * white
    return np.stack([raw[0] * (w1 * white + g1 * grey), second * (w2 * white + g2 * grey) + caps])


def _textured(signal: Signal, fields: Floats, layers: Pixels) -> Floats:
    """(I, J, K) factors: the slope of the logarithm of the signal times the fields."""
    factors = np.zeros(fields.shape[1:])
    for kind, share in (("white", layers[4]), ("grey", layers[3])):
        base = np.asarray(TIMES[kind])
        slopes = []
        for n in (1, 2):
            moved = base.copy()
            moved[n] *= np.exp(0.02)
            before, after = (abs(_value(signal, times)) for times in (base, moved))
            slopes.append((np.log(after) - np.log(before)) / 0.02)
        factors += share * (slopes[0] * fields[0] + slopes[1] * fields[1])
    return np.exp(factors)


def _draw_lesions(layers: Pixels, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """None, spots of white matter, a large one, a cavity, or several of these."""
    white = np.argwhere(layers[4] > 0.9)
    near = np.argwhere((ndimage.distance_transform_edt(layers[2] < 0.5) < 6) & (layers[4] > 0.8))
    found = []
    if rng.random() < 0.8:
        black = rng.uniform(0, 1)
        for _ in range(int(rng.integers(5, 70))):
            places = near if rng.random() < 0.6 and len(near) else white
            t2 = rng.uniform(0.105, 0.19)
            t1 = 0.7 + (t2 - 0.08) * rng.uniform(3, 9) * (0.4 + black)
            radius = float(np.exp(rng.uniform(0.3, 2.2)))
            found.append(_lesion(rng, places, radius, (0.62 + t2, t1, t2)))
    if rng.random() < 0.5:
        t2 = rng.uniform(0.12, 0.22)
        radius, core = rng.uniform(8, 26), rng.uniform(0, 0.7) * (rng.random() < 0.6)
        t1, soft = rng.uniform(1.0, 1.7), rng.uniform(1, 4)
        found.append(_lesion(rng, white, radius, (0.86, t1, t2), core=core, soft=soft))
    return tuple(found)


def _lesion(
    rng: np.random.Generator,
    places: npt.NDArray[np.int64],
    radius: float,
    times: tuple[float, float, float],
    *,
    core: float = 0.0,
    soft: float = 0.7,
) -> Lesion:
    """A lesion around one of these voxels."""
    i, j, k = (int(n) for n in places[rng.integers(len(places))])
    return Lesion((i, j, k), radius, times, soft, core, int(rng.integers(2**31)))


def _extent(lesion: Lesion, layers: Pixels) -> Pixels:
    """(I, J, K) share of a voxel that is ill."""
    rng = np.random.default_rng(lesion.seed)
    shape = layers.shape[1:]
    half = int(np.ceil(lesion.radius * 1.8 + 3 * lesion.soft + 2))
    box = tuple(
        slice(max(0, c - half), min(n, c + half + 1))
        for c, n in zip(lesion.centre, shape, strict=True)
    )
    steps = np.meshgrid(*[np.arange(s.start, s.stop) - c
                          for s, c in zip(box, lesion.centre, strict=True)],
                        indexing="ij")  # fmt: skip
    stretch = np.exp(rng.normal(0, 0.3, 3))
    distance = np.sqrt(sum((s / x) ** 2 for s, x in zip(steps, stretch, strict=True)))
    rough = ndimage.gaussian_filter(rng.normal(0, 1, distance.shape), max(1.0, lesion.radius / 4))
    radius = lesion.radius * (1 + 0.3 * rough / max(rough.std(), 1e-6))
    ill = 1 / (1 + np.exp(-(radius - distance) / lesion.soft * 2))
    matter = layers[4][box] + (layers[3][box] if lesion.radius > 8 else 0.3 * layers[3][box])
    result = np.zeros(shape, np.float32)
    result[box] = ill * matter
    return result


def _ill(lesion: Lesion, signal: Signal, where: Pixels) -> Floats | float:
    """What an image shows where tissue is ill, its cavity included."""
    own = _value(signal, lesion.times)
    if not lesion.core:
        return own
    fluid = _value(signal, TIMES["csf"])
    depth = ndimage.distance_transform_edt(where > 0.5)
    core = 1 / (1 + np.exp(-(depth - (1 - lesion.core) * lesion.radius)))
    return np.asarray(own + core * (fluid - own))


def _stripped(layers: Pixels, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The brain, closed, with more or less of the fluid on its surface."""
    matter = layers[2] + layers[3] + layers[4] > 0.5
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(matter, iterations=5))
    steps = int(rng.integers(0, 3))
    return np.asarray(ndimage.binary_dilation(closed, iterations=steps) if steps else closed)


def _value(signal: Signal, times: Sequence[float] | Floats) -> float:
    """The signal of one tissue."""
    return float(signal(*np.asarray(times, np.float64)[:, None])[0])
