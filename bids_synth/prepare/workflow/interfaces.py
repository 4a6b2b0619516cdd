"""nipype shells: each hands its inputs to one step and its files to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_synth.core.units import conversion_of
from bids_synth.prepare.workflow import steps
from bids_synth.recipe.sections.preparation import GridPart, PreparationPart


class _AdmitInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    scans = traits.List(File(exists=True), mandatory=True)
    modalities = traits.List(traits.Str, mandatory=True)
    conversions = traits.List(traits.Str, mandatory=True, desc="from their units, JSON")


class _AdmitOutput(TraitedSpec):  # type: ignore[misc]
    admitted = File(exists=True)


class AdmitScans(SimpleInterface):  # type: ignore[misc]
    """All scans of a visit looked at before any of them is registered."""

    input_spec, output_spec = _AdmitInput, _AdmitOutput

    def _run_interface(self, runtime: Any) -> Any:
        paths = map(Path, self.inputs.scans)
        names = self.inputs.modalities
        scans = dict(zip(names, paths, strict=True))
        units = dict(zip(names, map(conversion_of, self.inputs.conversions), strict=True))
        self._results["admitted"] = str(steps.admit(scans, Path(runtime.cwd), units))
        return runtime


class _RegionInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    reference = File(exists=True, mandatory=True)
    modality = traits.Str(mandatory=True)
    parameters = traits.Str(mandatory=True, desc="preparation part of the recipe, JSON")
    option = traits.Str(mandatory=True, desc="--skull-strip")
    mask_file = File(exists=True, desc="mask of another pipeline")
    conversion = traits.Str(mandatory=True, desc="from its unit, JSON")
    seed = traits.Int(mandatory=True)
    admitted = File(exists=True, mandatory=True, desc="that the visit's scans can be read")


class _RegionOutput(TraitedSpec):  # type: ignore[misc]
    native_mask = File(exists=True)
    template = File(exists=True)
    known = File(exists=True)


class FindRegion(SimpleInterface):  # type: ignore[misc]
    """Mask of the reference and its affine to the template."""

    input_spec, output_spec = _RegionInput, _RegionOutput

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        part = PreparationPart.model_validate_json(inputs.parameters)
        mask = Path(inputs.mask_file) if isdefined(inputs.mask_file) else None
        where = {"mask_file": mask, "seed": inputs.seed, "folder": Path(runtime.cwd)}
        where["conversion"] = conversion_of(inputs.conversion)
        files = steps.find_region(
            Path(inputs.reference), inputs.modality, part, option=inputs.option, **where
        )
        names = ("native_mask", "template", "known")
        self._results.update(zip(names, map(str, files), strict=True))
        return runtime


class _PlaceInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    native_mask = File(exists=True, mandatory=True)
    grid = traits.Str(mandatory=True, desc="grid part of the recipe, JSON")


class _PlaceOutput(TraitedSpec):  # type: ignore[misc]
    mask = File(exists=True)


class PlaceMask(SimpleInterface):  # type: ignore[misc]
    """The mask on the prepared grid."""

    input_spec, output_spec = _PlaceInput, _PlaceOutput

    def _run_interface(self, runtime: Any) -> Any:
        part = GridPart.model_validate_json(self.inputs.grid)
        mask = steps.place_mask(Path(self.inputs.native_mask), part, Path(runtime.cwd))
        self._results["mask"] = str(mask)
        return runtime


class _RegisterInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    reference = File(exists=True, mandatory=True)
    reference_modality = traits.Str(mandatory=True)
    scan = File(exists=True, mandatory=True)
    modality = traits.Str(mandatory=True)
    native_mask = File(exists=True, mandatory=True)
    parameters = traits.Str(mandatory=True)
    conversions = traits.List(traits.Str, mandatory=True, desc="of reference and scan, JSON")
    seed = traits.Int(mandatory=True)


class _RegisterOutput(TraitedSpec):  # type: ignore[misc]
    transform = File(exists=True)


class RegisterScan(SimpleInterface):  # type: ignore[misc]
    """Rigid transform from the reference's space to a scan's."""

    input_spec, output_spec = _RegisterInput, _RegisterOutput

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        pairs = ((inputs.reference_modality, Path(inputs.reference)),
                 (inputs.modality, Path(inputs.scan)))  # fmt: skip
        part = PreparationPart.model_validate_json(inputs.parameters)
        one, other = map(conversion_of, inputs.conversions)
        transform = steps.register_scan(
            *pairs, Path(inputs.native_mask), part, seed=inputs.seed,
            folder=Path(runtime.cwd), conversions=(one, other),
        )  # fmt: skip
        self._results["transform"] = str(transform)
        return runtime


class _ResampleInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    scan = File(exists=True, mandatory=True)
    modality = traits.Str(mandatory=True)
    mask = File(exists=True, mandatory=True)
    transform = File(exists=True)
    template = File(exists=True, desc="where its tissues are looked for; where they scale it")
    parameters = traits.Str(mandatory=True)
    conversion = traits.Str(mandatory=True, desc="from its unit, JSON")


class _ResampleOutput(TraitedSpec):  # type: ignore[misc]
    image = File(exists=True)
    scale = File(exists=True)
    coverage = File(exists=True)


class ResampleScan(SimpleInterface):  # type: ignore[misc]
    """A scan on the prepared grid, its scale and its conversion."""

    input_spec, output_spec = _ResampleInput, _ResampleOutput

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        transform = Path(inputs.transform) if isdefined(inputs.transform) else None
        part = PreparationPart.model_validate_json(inputs.parameters)
        places = (Path(inputs.mask), transform, part, Path(runtime.cwd))
        unit = conversion_of(inputs.conversion)
        template = Path(inputs.template) if isdefined(inputs.template) else None
        files = steps.resample_scan(
            Path(inputs.scan), inputs.modality, *places, conversion=unit, template=template
        )
        self._results.update(zip(("image", "scale", "coverage"), map(str, files), strict=True))
        return runtime


class _PreparedInput(BaseInterfaceInputSpec):  # type: ignore[misc]
    key = traits.Str(mandatory=True)
    reference = traits.Str(mandatory=True)
    native = File(exists=True, mandatory=True)
    native_mask = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    template = File(exists=True, mandatory=True)
    region = File(exists=True, mandatory=True, desc="what is known of mask and affine, JSON")
    modalities = traits.List(traits.Str, mandatory=True)
    moving = traits.List(traits.Str, desc="modalities that were registered")
    images = traits.List(File(exists=True), mandatory=True)
    scales = traits.List(File(exists=True), mandatory=True)
    coverage = traits.List(File(exists=True), mandatory=True)
    transforms = traits.List(File(exists=True))
    admitted = File(exists=True, desc="what is odd about the scans, JSON")


class _PreparedOutput(TraitedSpec):  # type: ignore[misc]
    manifest = File(exists=True)


class CollectPrepared(SimpleInterface):  # type: ignore[misc]
    """The manifest of a prepared visit."""

    input_spec, output_spec = _PreparedInput, _PreparedOutput

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        names = ("native", "native_mask", "mask", "template", "region")
        moved = inputs.transforms if isdefined(inputs.transforms) else []
        manifest = steps.collect(
            key=inputs.key,
            reference=inputs.reference,
            **{name: Path(getattr(inputs, name)) for name in names},
            images=dict(zip(inputs.modalities, map(Path, inputs.images), strict=True)),
            scales=dict(zip(inputs.modalities, map(Path, inputs.scales), strict=True)),
            transforms=dict(zip(inputs.moving, map(Path, moved), strict=True)),
            coverage=dict(zip(inputs.modalities, map(Path, inputs.coverage), strict=True)),
            folder=Path(runtime.cwd),
            admitted=Path(inputs.admitted) if isdefined(inputs.admitted) else None,
        )
        self._results["manifest"] = str(manifest)
        return runtime
