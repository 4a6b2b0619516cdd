"""Items of a fit made one by one with numpy: what batches of tensors must equal."""

from __future__ import annotations

import numpy as np

from bids_synth.learn.data.augment import KNOTS
from bids_synth.learn.data.auxiliary_inputs import auxiliary_names
from bids_synth.learn.data.patches import cut
from bids_synth.learn.networks.blocks.surroundings import SHARES, VALUES, mirrored


def mirror(array, change):
    return np.ascontiguousarray(np.flip(array, axis=-3)) if change.flip else array


def amplify(sources, gains):
    factors = np.asarray(gains, dtype=np.float32)[:, None, None, None]
    return np.asarray(sources, dtype=np.float32) * factors


def bent(image, bend, inside):
    values = np.asarray(image, np.float32)
    if bend.become:
        values = np.sign(values) * np.interp(np.abs(values), KNOTS, bend.become)
    if bend.noise:
        drawn = np.random.default_rng(bend.seed).standard_normal(values.shape, np.float32)
        values = values + bend.noise * drawn
    return np.asarray(values * (inside > 0), np.float32)


def patch_item(patches, draw):
    """Of `Patches`."""
    recipe, visit = patches.recipe, patches.visits[draw.visit]
    patch = recipe.fit.patch

    def stack(names, kept):
        result = np.zeros((len(names), *patch), dtype=np.float32)
        for n, name in enumerate(names):
            if name in kept:
                result[n] = cut(visit.images[name], draw.start, patch)
        return mirror(result, draw.change)

    inputs, scored = draw.scenario.sources, draw.scenario.scored
    extras = auxiliary_names(recipe, inputs)
    mask = mirror(cut(visit.mask, draw.start, patch), draw.change).astype(np.float32)
    sources = amplify(stack(recipe.sources, inputs), draw.change.gains)
    for n, bend in enumerate(draw.change.bends):
        if recipe.sources[n] in inputs:
            sources[n] = bent(sources[n], bend, mask)
    shown = np.zeros((len(recipe.inputs) - len(sources), *patch), dtype=np.float32)
    for name in extras:
        values = cut(visit.extras[name], draw.start, patch)
        shown[recipe.inputs.index(name) - len(sources)] = mirror(values, draw.change)
    known = {*inputs, *extras}
    return {
        "sources": np.concatenate([sources, shown]),
        "available": np.array([float(name in known) for name in recipe.inputs], np.float32),
        "real": stack(recipe.targets, scored),
        "scored": np.array([m in scored for m in recipe.targets]),
        "mask": mask[None],
    }


def unpaired_item(patches, halves):
    """Of `UnpairedPatches`."""
    patch, images, masks = patches.recipe.fit.patch, [], []
    for row, half in enumerate(halves):
        visit = patches.visits[half.visit]
        image = cut(visit.images[patches.recipe.sources[row]], half.start, patch)
        louder = amplify(image[None], [half.change.gains[row]])[0]
        images.append(mirror(louder, half.change))
        masks.append(mirror(cut(visit.mask, half.start, patch).astype(np.float32), half.change))
    return {"sources": np.stack(images), "mask": np.stack(masks)}


def point_item(points, draw):
    """Of `Points`."""
    recipe, read = points.recipe, points.read[draw.visit][draw.copy]
    rows, count = np.asarray(draw.rows), len(recipe.inputs)
    sources = read.values[rows].astype(np.float32)
    values = sources[:, :-SHARES].reshape(len(rows), VALUES, count)
    if draw.change.flip:
        values = values[:, mirrored().numpy()]
    gains = np.ones(count, np.float32)
    gains[: len(recipe.sources)] = draw.change.gains
    sources = np.concatenate([(values * gains).reshape(len(rows), -1), sources[:, -SHARES:]], 1)
    inputs, scored = draw.scenario.sources, draw.scenario.scored
    known = {*inputs, *auxiliary_names(recipe, inputs)}
    return {
        "sources": sources,
        "available": np.array([float(name in known) for name in recipe.inputs], np.float32),
        "real": np.asarray(read.real[rows], np.float32).T[..., None, None],
        "scored": np.array([m in scored for m in recipe.targets]),
        "mask": np.ones((1, len(rows), 1, 1), np.float32),
    }
