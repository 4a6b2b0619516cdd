"""Boilerplate: the methods text of a run, for a paper, from its recipe and versions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel

import bids_synth
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import ContextPart
from bids_synth.recipe.sections.preparation import PreparationPart

_LIBRARIES = {
    "antspyx": "Registration [@avants2011]",
    "nipype": "Workflow [@gorgolewski2011]",
    "pybids": "Queries [@yarkoni2019]",
    "torch": "Networks [@paszke2019]",
    "monai": "Network blocks [@cardoso2022]",
    "nibabel": "Images [@brett]",
    "nilearn": "The MNI152 template [@fonov2011]",
}
_NETWORK = (
    "found by the tissue network of bids_synth, fitted on heads drawn from label maps, as "
    "SynthSeg is [@billot2023]"
)
_MASKS = {
    "auto": "taken from existing derivatives or from images without skull where there were such, "
    "and otherwise found with the MNI152 template",
    "network": _NETWORK,
    "template": "found with the MNI152 template",
    "synthstrip": "found by SynthStrip [@hoopes2022]",
    "hd-bet": "found by HD-BET [@isensee2019]",
    "skip": "the whole field of view of images without skull",
}

_CAUTION = (
    "Synthetic images are for research. They are not for diagnosis: a lesion may be missing "
    "from them or invented."
)


def boilerplate(recipe: Recipe, *, skull_strip: str, spaces: Sequence[str] = ()) -> str:
    """Markdown that says what was done, in words that may go into a paper, citations as `[@key]`.

    The same recipe, options and versions give the same text; `methods.formats` finishes it.
    """
    rows = [f"- {name} {_version(name)}. {why}." for name, why in _LIBRARIES.items()]
    own = f"- bids_synth {bids_synth.__version__} [@bids_synth]."
    software = "\n".join([own, *rows])
    blocks = ["# Methods", _what(recipe), _preparation(recipe, skull_strip), _model(recipe)]
    blocks += [_outputs(spaces), _CAUTION, "# Software", software]
    return "\n\n".join(blocks) + "\n"


def _what(recipe: Recipe) -> str:
    source = f" It follows: {recipe.source.rstrip('.')}." if recipe.source else ""
    return (
        "Missing brain images of a BIDS dataset [@gorgolewski2016] were synthesised with "
        f"*bids_synth* {bids_synth.__version__} [@bids_synth], recipe *{recipe.name}* "
        f"({recipe.task.rstrip('.')}). Sources: "
        f"{', '.join(recipe.sources)}. Targets: {', '.join(recipe.targets)}.{source}"
    )


def _preparation(recipe: Recipe, skull_strip: str) -> str:
    part = recipe.preparation
    bias = " after N4 bias correction [@tustison2010]" if part.bias_correction else ""
    return (
        f"The images of each visit were registered to a reference, the first available of "
        f"{', '.join(recipe.reference)}, by a rigid transform that maximises mutual information "
        f"at {part.registration_spacing / 2:g} mm, and resampled once{bias} to voxels of "
        f"{recipe.grid.spacing:g} mm. The {part.mask} mask was {_MASKS[skull_strip]}. Images in "
        f"arbitrary units were scaled linearly so that {scaled_to(part)}; quantitative images by "
        "the fixed window of their unit."
    )


def scaled_to(part: PreparationPart) -> str:
    """What becomes 0 and 1 in images of arbitrary unit, in words."""
    if part.scaling == "white-matter":
        return (
            "white matter, found by the tissue maps of the template and the image's own greys, "
            "became 1 and 0 stayed"
        )
    low, high = part.percentiles
    return f"percentiles {low:g} and {high:g} inside the mask became 0 and 1"


def _model(recipe: Recipe) -> str:
    fit = recipe.fit
    pieces = f"patches of {' x '.join(str(n) for n in fit.patch)} voxels"
    if isinstance(recipe.network, ContextPart):
        pieces = f"{recipe.network.sample:,} voxels drawn once and their surroundings"
    return (
        f"The model, a {_part(recipe.network)}, was fitted for {fit.steps} steps on "
        f"{pieces} with the objective {_part(recipe.objective)}; {fit.members} network(s) "
        "from different seeds were averaged. Participants, never scans, were divided into "
        "training, validation and test, and held-out participants were scored against plain "
        "baselines."
    )


def _part(part: BaseModel) -> str:
    """Name of a network or an objective with the parameters that it has switched on."""
    values = part.model_dump(mode="json")
    name = values.pop("name", type(part).__name__)
    lines = [
        f"{key.replace('_', ' ')} {'on' if value is True else value}"
        for key, value in values.items()
        if value and not isinstance(value, dict)
    ]
    return f"{name} ({', '.join(lines)})" if lines else str(name)


def _outputs(spaces: Sequence[str]) -> str:
    copies = (
        f" Copies were resampled to {', '.join(spaces)} by the affine transform of the visit."
        if spaces
        else ""
    )
    return (
        "Synthetic images were blended from overlapping patches and returned to the reference's "
        "native grid and the unit of the target. Around each voxel an interval meant to hold 90 % "
        "of the real values was calibrated on validation participants by split conformal scaling "
        f"[@lei2018], where there were any; else the spread over networks was kept.{copies}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
