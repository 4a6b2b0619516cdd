"""Score a model and the baselines on visits whose target exists but was withheld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.evaluate.scenarios import scored_mask
from bids_synth.evaluate.truth import real_on_native
from bids_synth.learn.baselines.baselines import Baselines
from bids_synth.learn.features.supplied import LEAST, FeatureNetwork, load_features, views_of
from bids_synth.learn.model.model import Model
from bids_synth.measure.features import Seen, perceptual_distance
from bids_synth.measure.protocol import PROTOCOLS, applies
from bids_synth.measure.protocols.masked3d import real_scale
from bids_synth.measure.table import COLUMNS, MODEL, START, TRUST
from bids_synth.physics.visit_maps import compute
from bids_synth.prepare.native import part_on_native, to_native
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import Volume

Vectors = npt.NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """One withheld target of a visit: what was made of it, the real scan and the scores."""

    synthetic: Synthetic
    """On the reference's native grid, with the real scan."""
    real: Volume
    """The withheld scan on the same grid."""
    rows: pd.DataFrame
    """Tidy scores of the model and of every baseline."""
    seen: Seen | None = None
    """Feature vectors of all methods, where the recipe gives a network for them."""
    mask: Volume | None = None
    """uint8 on the native grid: where it was scored; None where that is the whole mask."""

    def where(self, prepared: Prepared) -> Volume:
        """uint8 on the native grid: the voxels that were scored."""
        return self.mask or prepared.native_mask_image


def score_withheld(
    synthetic: Synthetic,
    model: Model,
    baselines: Baselines | None,
    prepared: Prepared,
    features: FeatureNetwork | None = None,
    *,
    start: Synthetic | None = None,
    scale: Scale | None = None,
) -> Scored:
    """Score what a model made of a withheld target, beside every baseline where they are given.

    `prepared` is what `Withheld.of` gives: a preparation to which the target gave nothing.
    `synthetic` lies on the prepared grid in `scale`, or where None in the model's own. In that
    lies `start`, the answer that its fit began from, which has a row of its own where there is
    one. The gain of an image in arbitrary units cannot be known from other images: there, and
    only there, answers are brought to the real scan's own scale, model and baselines alike, and
    so are uptake ratios.
    """
    modality = MODALITIES[synthetic.modality]
    wanted = prepared.scales[synthetic.modality]
    typical = model.scales[synthetic.modality]
    own = scale or typical
    inside = (synthetic.made_in or prepared.mask_image).array > 0
    answers = {MODEL: _rescaled(synthetic.image, synthetic.modality, own, wanted, inside)}
    if start is not None:
        answers[START] = _rescaled(start.image, synthetic.modality, typical, wanted, inside)
    if baselines is not None:
        for name in baselines.names(synthetic.modality, synthetic.sources):
            answers[name] = baselines.estimate(
                name, prepared, synthetic.modality, sources=synthetic.sources, scale=wanted
            )
    corrected = model.recipe.preparation.bias_correction
    real = real_on_native(prepared, synthetic.modality, corrected=corrected)
    mask = scored_mask(synthetic, prepared)
    native = {
        name: to_native(image, prepared, background=modality.background, part=synthetic.made_in)
        for name, image in answers.items()
    }
    # Scales differ where the unit is arbitrary or a ratio, and there they are linear.
    matched = synthetic.in_unit(answers[MODEL], wanted.gain / own.gain)
    native_image = on_native(matched, prepared, image=native[MODEL])
    native_image = replace(native_image, real=real, scale=wanted)
    trust = _trust(native_image, mask)
    rows = [
        {
            "visit": prepared.label,
            "participant": prepared.visit.participant,
            "target": synthetic.modality,
            "sources": "+".join(synthetic.sources),
            "method": name,
            "protocol": protocol,
            **PROTOCOLS[protocol](real, image, mask),
            **(trust if name == MODEL else {}),
        }
        for protocol in model.recipe.evaluation.protocols
        if applies(protocol, modality.unit)
        for name, image in native.items()
    ]
    seen = None
    if features is not None:
        distances, vectors = compare_features(features, real, native, mask)
        for row in rows:
            row["perceptual"] = distances[str(row["method"])]
        sources = "+".join(synthetic.sources)
        seen = Seen(prepared.visit.participant, synthetic.modality, sources, vectors)
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    return Scored(native_image, real, table, seen, mask)


def _trust(synthetic: Synthetic, mask: Volume) -> dict[str, object]:
    """What the model says of the image itself, and whether it held."""
    verdict, interval, real = synthetic.verdict, synthetic.interval, synthetic.real
    values: list[object] = [
        verdict.level if verdict else None,
        verdict.strangeness if verdict else float("nan"),
        float("nan"),
        float("nan"),
    ]
    if interval is not None and real is not None:
        inside = mask.array > 0
        half = interval.half_width.array[inside]
        error = np.abs(synthetic.image.array - real.array)[inside]
        values[2:] = [float(np.mean(error <= half)), float(np.mean(half, dtype=np.float64))]
    return dict(zip(TRUST, values, strict=True))


def evaluation_features(recipe: Recipe) -> FeatureNetwork | None:
    """The network of `evaluation.features_from`; ModelError where the file cannot be used."""
    path = recipe.evaluation.features_from
    return load_features(Path(path)) if path else None


def compare_features(
    features: FeatureNetwork, real: Volume, images: Mapping[str, Volume], mask: Volume
) -> tuple[dict[str, float], dict[str, tuple[Vectors, Vectors]]]:
    """Method -> perceptual distance and -> vectors (N, F), the last maps' means over positions.

    VGG16 gives a vector and a distance, of which the mean is taken, to each of N axial slices;
    MedicalNet to the whole volume, of which it was taught to see all sides: N is 1, and FID is of
    visits. The real image's percentiles inside the mask are 0 and 1 for all, and MedicalNet
    standardises all by its mean and SD. VisitError where the mask is too small for the network.
    """
    inside = real.array[mask.array > 0]
    scale = real_scale(inside)
    network = features.standardised(np.clip(scale.apply(inside), 0, 1))
    views = [views_of(v, mask, scale, volumes=network.volumes) for v in (real, *images.values())]
    if min(views[0].shape[1:]) < LEAST:
        message = (
            f"{views[0].shape[1:]} voxels are too few for the network of "
            f"evaluation.features_from; it needs {LEAST} a side"
        )
        raise VisitError(message)
    distances, vectors = [], []
    for shown in zip(*views, strict=True):
        truth, *answers = (network.maps(image) for image in shown)
        distances.append([perceptual_distance(truth, a, network.linear) for a in answers])
        vectors.append([maps[-1].reshape(len(maps[-1]), -1).mean(1) for maps in (truth, *answers)])
    wanted, *others = np.asarray(vectors, np.float64).swapaxes(0, 1)
    means = np.mean(distances, axis=0).tolist()
    return (
        dict(zip(images, means, strict=True)),
        {method: (wanted, own) for method, own in zip(images, others, strict=True)},
    )


def on_native(
    synthetic: Synthetic, prepared: Prepared, *, image: Volume | None = None
) -> Synthetic:
    """An image, its spread and interval, from the prepared to the reference's native grid.

    `image` is the image itself there, where it has been brought there before.
    """
    background = MODALITIES[synthetic.modality].background
    part = synthetic.made_in
    if image is None:
        image = to_native(synthetic.image, prepared, background=background, part=part)
    spread, interval, made_in = synthetic.spread, synthetic.interval, None
    if spread is not None:
        spread = to_native(spread, prepared, order=1, part=part)
    if interval is not None:
        half = to_native(interval.half_width, prepared, order=1, part=part)
        interval = replace(interval, half_width=half)
    if part is not None:
        known = part_on_native(part, prepared)
        made_in = image.with_array(known.astype(np.uint8))
    return replace(synthetic, image=image, spread=spread, interval=interval, made_in=made_in)


def closed_form_image(quantity: str, prepared: Prepared) -> Volume:
    """CMRO2 or OEF of a visit by physics alone, on the prepared grid, as it comes out."""
    values = compute(quantity, prepared, prepared.mask_image.array)
    unit = MODALITIES[quantity].unit if quantity in MODALITIES else "fraction"
    return Volume(values, prepared.grid, unit)


def _rescaled(
    image: Volume, modality: str, old: Scale, new: Scale, inside: npt.NDArray[np.bool_]
) -> Volume:
    """The same answer in another scale, inside the mask; the background stays."""
    array = np.where(inside, new.invert(old.apply(image.array)), image.array)
    return Volume(array, image.grid, MODALITIES[modality].unit)
