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
    "antspyx": "Registration (Avants et al., 2011, NeuroImage 54:2033)",
    "nipype": "Workflow (Gorgolewski et al., 2011, Front Neuroinform 5:13)",
    "pybids": "Queries (Yarkoni et al., 2019, JOSS 4:1294)",
    "torch": "Networks (Paszke et al., 2019, NeurIPS 32)",
    "monai": "Network blocks (Cardoso et al., 2022, arXiv 2211.02701)",
    "nibabel": "Images (Brett et al., doi:10.5281/zenodo.591597)",
    "nilearn": "The MNI152 template (Fonov et al., 2011, NeuroImage 54:313)",
}
_NETWORK = (
    "found by the tissue network of bids_synth, fitted on heads drawn from label maps (after "
    "Billot et al., 2023, Med Image Anal 86:102789)"
)
_MASKS = {
    "auto": "taken from existing derivatives or from images without skull where there were such, "
    "and otherwise found with the MNI152 template",
    "network": _NETWORK,
    "template": "found with the MNI152 template",
    "synthstrip": "found by SynthStrip (Hoopes et al., 2022, NeuroImage 260:119474)",
    "hd-bet": "found by HD-BET (Isensee et al., 2019, Hum Brain Mapp 40:4952)",
    "skip": "the whole field of view of images without skull",
}

_CAUTION = (
    "Synthetic images are for research. They are not for diagnosis: a lesion may be missing "
    "from them or invented."
)


def boilerplate(recipe: Recipe, *, skull_strip: str, spaces: Sequence[str] = ()) -> str:
    """Markdown that says what was done, in words that may go into a paper.

    The same recipe, options and versions give the same text.
    """
    rows = [f"- {name} {_version(name)}. {why}." for name, why in _LIBRARIES.items()]
    software = "\n".join([f"- bids_synth {bids_synth.__version__}.", *rows])
    blocks = ["# Methods", _what(recipe), _preparation(recipe, skull_strip), _model(recipe)]
    blocks += [_outputs(spaces), _CAUTION, "# Software", software]
    return "\n\n".join(blocks) + "\n"


def _what(recipe: Recipe) -> str:
    source = f" It follows: {recipe.source.rstrip('.')}." if recipe.source else ""
    return (
        f"Missing brain images were synthesised with *bids_synth* {bids_synth.__version__}, "
        f"recipe *{recipe.name}* ({recipe.task.rstrip('.')}). Sources: "
        f"{', '.join(recipe.sources)}. Targets: {', '.join(recipe.targets)}.{source}"
    )


def _preparation(recipe: Recipe, skull_strip: str) -> str:
    part = recipe.preparation
    bias = " after N4 bias correction (Tustison et al., 2010)" if part.bias_correction else ""
    return (
        f"The images of each visit were registered to a reference, the first available of "
        f"{', '.join(recipe.reference)}, by a rigid transform that maximises mutual information "
        f"at {part.registration_spacing:g} mm, and resampled once{bias} to voxels of "
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
        f"native grid and the unit of the target; the spread over networks was kept.{copies}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
