"""Synthesize: the images of one head in, one synthetic image out, as a nipype interface."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import nibabel as nib
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_synth.api import Synthesis, load
from bids_synth.core.modality import MODALITIES
from bids_synth.core.settings import SkullStrip
from bids_synth.recipe.embedded import DEFAULT
from bids_synth.system.atomic import atomic_write

ANEW = "nipype looks at the file, and makes images anew where the model was fitted anew"


class _Input(BaseInterfaceInputSpec):  # type: ignore[misc]
    model = traits.Str(
        DEFAULT, usedefault=True, desc="a model that comes with the package, or a model folder"
    )
    card = File(exists=True, desc="model.json of a model folder, in place of `model`; " + ANEW)
    target = traits.Str(mandatory=True, desc="modality to make, e.g. T2w")
    mask = File(exists=True, desc="brain mask in the space of the reference; found where absent")
    skull_strip = traits.Enum(
        *get_args(SkullStrip), usedefault=True, desc="how the brain is found"
    )
    seed = traits.Int(1, usedefault=True, desc="of registrations")
    device = traits.Str("auto", usedefault=True, desc="auto, cpu, cuda or cuda:N")


class SynthesizeInputSpec(_Input):
    """The inputs above, and one file for each modality."""


for _name, _modality in MODALITIES.items():
    SynthesizeInputSpec.add_class_trait(
        _name, File(exists=True, desc=f"3D image of it, in {_modality.unit} units")
    )


class SynthesizeOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Files in the folder of the node."""

    image = File(exists=True, desc="synthetic image on the voxels of the reference")
    doubt = File(desc="half the width of the 90 % interval, same voxels; absent where not known")
    verdict = File(exists=True, desc="JSON: level (pass, review or fail), reasons and checks")
    level = traits.Str(desc="level of the verdict")


class Synthesize(SimpleInterface):  # type: ignore[misc]
    """Make `target` from the scans that are given by modality, e.g. T1w="sub-01_T1w.nii.gz".

    Scans may be in any orientation, each on its own grid. Raises what
    `bids_synth.LoadedModel.synthesize` raises, UsageError or VisitError.
    """

    input_spec, output_spec = SynthesizeInputSpec, SynthesizeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        given = self.inputs
        folder = Path(given.card).parent if isdefined(given.card) else given.model
        scans = {m: getattr(given, m) for m in MODALITIES if isdefined(getattr(given, m))}
        made = load(folder, device=given.device).synthesize(
            scans,
            given.target,
            mask=given.mask if isdefined(given.mask) else None,
            skull_strip=given.skull_strip,
            seed=given.seed,
        )
        self._results |= _written(made, Path(runtime.cwd), given.target)
        return runtime


def _written(made: Synthesis, folder: Path, target: str) -> dict[str, str]:
    """Output -> file."""
    results: dict[str, str] = {"level": made.verdict.level}
    for name, image in (("image", made.image), ("doubt", made.doubt)):
        if image is not None:
            path = folder / f"{target}_{name}.nii.gz"
            with atomic_write(path) as part:
                nib.save(image, part)
            results[name] = str(path)
    about = asdict(made.verdict)
    if not isfinite(about["strangeness"]):
        about["strangeness"] = None  # JSON knows no NaN.
    path = folder / f"{target}_verdict.json"
    with atomic_write(path) as part:
        part.write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return results | {"verdict": str(path)}
