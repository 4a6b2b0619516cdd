"""Sidecar units: what JSON files tell of the unit of every scan, by the rules of inheritance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_synth.bids.raw.columns import body_weight
from bids_synth.core.modality import MODALITIES, Modality
from bids_synth.core.units import Conversion, told_conversion
from bids_synth.core.visit import Scan, Visit
from bids_synth.physics.uptake import suv_per_bq
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import read_json_object

Entries = dict[str, tuple[Any, Path]]


class UnitReader:
    """Reads the sidecars of a dataset, each at most once, for the recipe's quantities."""

    def __init__(self, dataset: Path, recipe: Recipe) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self._names: dict[Path, list[str]] = {}
        self._content: dict[Path, dict[str, Any]] = {}
        self._done: dict[tuple[str, str], list[Path]] = {}

    def add_to(self, visit: Visit) -> tuple[Visit, list[str]]:
        """The visit with the conversion of each scan, and reasons to refuse it.

        Scans in arbitrary units are left alone, and nothing is read for them.
        """
        scans, faults = dict(visit.scans), []
        for name, scan in visit.scans.items():
            if MODALITIES[name].arbitrary:
                continue
            try:
                conversion = self._conversion(scan, MODALITIES[name], visit.traits)
            except ValueError as error:
                faults.append(str(error))
                continue
            scans[name] = replace(scan, conversion=conversion)
            if conversion.factor != 1.0 or conversion.remark:
                self._remember(name, conversion, scan.path)
        return replace(visit, scans=scans), faults

    @property
    def notes(self) -> list[str]:
        """What is converted, one line for all scans of a modality that share a unit."""
        return [f"{paths[0]}: {words}{_more(paths)}" for (_, words), paths in self._done.items()]

    def entries_of(self, image: Path) -> Entries:
        """Key -> value and the JSON that says so: of those that apply to an image the closest.

        One applies where it lies in a folder above the image (up to the dataset), has its
        suffix, and no entity that the image has not. What cannot be read is passed over.
        """
        entries: Entries = {}
        for folder in self._folders(image):
            for name in sorted(self._listed(folder), key=lambda n: (n.count("_"), n)):
                if applies_to(name, image.name):
                    path = folder / name
                    entries |= {key: (value, path) for key, value in self._read(path).items()}
        return entries

    def _conversion(self, scan: Scan, modality: Modality, traits: Mapping[str, str]) -> Conversion:
        entries = self.entries_of(scan.path)
        key = next((k for k in ("Units", "units", "Unit", "unit") if k in entries), None)
        ratio = modality.datatype == "pet" and self.recipe.preparation.suvr != "none"
        if key is None:
            return told_conversion("", modality, by="", ratio=ratio)
        value, path = entries[key]
        try:
            if not isinstance(value, str):
                value = json.dumps(value)
            conversion = told_conversion(value, modality, by=path.name, ratio=ratio)
            needs_dose = bool(conversion.unit) and not conversion.becomes
            return self._uptake(conversion, entries, traits) if needs_dose else conversion
        except ValueError as error:
            message = f"{path}: Units of {scan.path.name}: {error}"
            raise ValueError(message) from error

    def _uptake(
        self, conversion: Conversion, entries: Entries, traits: Mapping[str, str]
    ) -> Conversion:
        """From activity in a volume to SUV."""
        sidecar = {key: value for key, (value, _) in entries.items()}
        try:
            each, words = suv_per_bq(sidecar, grams=body_weight(traits))
        except ValueError as error:
            message = (
                f"to convert {conversion.unit} to SUV it lacks {error}; add it to the sidecar"
            )
            raise ValueError(message) from error
        return replace(conversion, factor=conversion.factor * each, becomes="SUV", remark=words)

    def _remember(self, name: str, conversion: Conversion, path: Path) -> None:
        words = conversion.remark
        if conversion.factor != 1.0:
            words = f"its unit {conversion.words}"
        if name == "pet" and conversion.becomes == "SUV" and conversion.factor != 1.0:
            words = f"its unit {conversion.unit} is converted to SUV by dose, weight and decay"
        self._done.setdefault((name, words), []).append(path)

    def _folders(self, image: Path) -> list[Path]:
        """From the dataset down to the image's folder."""
        if not image.is_relative_to(self.dataset):
            return [image.parent]
        parents = [*image.parents]
        return parents[: parents.index(self.dataset) + 1][::-1]

    def _listed(self, folder: Path) -> list[str]:
        if folder not in self._names:
            try:
                with os.scandir(folder) as entries:
                    names = [e.name for e in entries if e.name.lower().endswith(".json")]
            except OSError:
                names = []
            self._names[folder] = names
        return self._names[folder]

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._content:
            self._content[path] = read_json_object(path) or {}
        return self._content[path]


def applies_to(sidecar: str, image: str) -> bool:
    """True where a JSON of this name speaks of an image of that name, wherever above it.

    >>> applies_to("T2map.json", "sub-01_run-1_T2map.nii.gz")
    True
    >>> applies_to("run-2_T2map.json", "sub-01_run-1_T2map.nii.gz")
    False
    """
    *entities, suffix = sidecar[: -len(".json")].split("_")
    *own, kind = image.split(".", 1)[0].split("_")
    return suffix.lower() == kind.lower() and set(entities) <= set(own)


def _more(paths: Sequence[Path]) -> str:
    return f" (and of {len(paths) - 1} scans like it)" if len(paths) > 1 else ""
