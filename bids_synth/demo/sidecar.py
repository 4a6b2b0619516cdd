"""Sidecar: the metadata that BIDS wants beside each image and of the dataset."""

from __future__ import annotations

import json
from typing import Any

from bids_synth import __version__
from bids_synth.core.modality import MODALITIES
from bids_synth.demo.head.individual import SITES, Individual
from bids_synth.demo.scanner.sequence import SEQUENCES

TRACER = "PBR28"
NOTE = "Digital phantom: computed, no human being was scanned."

README = """# Digital head phantoms

Every participant here is computed; no human being was scanned. Anatomy: the MNI152 template
(ICBM 152 nonlinear symmetric 2009a, Fonov and others 2011) under a random smooth invertible
deformation, with skull, scalp, face and lesions added. Images: signal equations of each sequence
with tissue values drawn per participant, a coil profile and noise.

Some visits lack an image and some participants have two sessions. `derivatives/truth` holds what
nobody knows of a real visit: brain mask, tissues, the position of each scan, and the noiseless
version of every image that was withheld.

`_from-X_to-T1w_mode-image_xfm.txt` are ITK rigid transforms: they map points of the T1w's space to
points of the space of scan X (what resampling X on the T1w's grid needs); LPS inside the file.

CT and perfusion maps have no place in BIDS yet (BEP024 for CT) and are listed in `.bidsignore`.
CMRO2 follows from CBF, CBV, T2, T2*, Hct and O2sat by the closed form of multiparametric qBOLD.
"""

IGNORED = "ct\n*_cbf.nii.gz\n*_cbf.json\n*_cbv.nii.gz\n*_cbv.json\n*_cmro2.nii.gz\n*_cmro2.json\n"


def dump(content: dict[str, Any]) -> str:
    """JSON as it is written everywhere in the demo."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def dataset_description(*, seed: int, resolution: float) -> dict[str, Any]:
    """Of the raw dataset."""
    return {
        "Name": "bids_synth demo: digital head phantoms",
        "BIDSVersion": "1.10.0",
        "DatasetType": "raw",
        "License": "CC0",
        "Authors": ["The bids_synth developers"],
        "Acknowledgements": f"{NOTE} Anatomy after the MNI152 template, Fonov and others 2011.",
        "GeneratedBy": [
            {
                "Name": "bids_synth.demo",
                "Version": __version__,
                "Description": f"seed {seed}, resolution {resolution:g} mm",
            }
        ],
    }


def truth_description() -> dict[str, Any]:
    """Of the derivative dataset that holds the truth."""
    return {
        "Name": "bids_synth demo: ground truth",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": "CC0",
        "GeneratedBy": [{"Name": "bids_synth.demo", "Version": __version__}],
        "SourceDatasets": [{"URL": "../.."}],
        "DatasetLinks": {"raw": "../.."},
    }


def participants_description() -> dict[str, Any]:
    """Columns of participants.tsv."""
    return {
        "age": {"Description": "Age", "Units": "year"},
        "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
        "site": {
            "Description": "Scanner",
            "Levels": {name: f"{field:g} T" for name, field in SITES.items()},
        },
        "rs6971": {
            "Description": "Affinity for second-generation TSPO tracers by rs6971 genotype",
            "Levels": {"HAB": "C/C, high", "MAB": "C/T, mixed", "LAB": "T/T, low"},
        },
        "Hct": {"Description": "Haematocrit", "Units": "%"},
        "O2sat": {"Description": "Arterial oxygen saturation", "Units": "%"},
    }


def sidecar(modality: str, individual: Individual) -> dict[str, Any]:
    """Of one scan."""
    if modality == "pet":
        return {**_pet(), "ImageComments": NOTE}
    if modality == "ct":
        return {"Modality": "CT", "Units": "HU", "KVP": 120, "ImageComments": NOTE}
    if not MODALITIES[modality].arbitrary:
        return {"Units": MODALITIES[modality].unit, "ImageComments": NOTE}
    settings = SEQUENCES[modality].settings
    keys = {"tr": "RepetitionTime", "te": "EchoTime", "ti": "InversionTime", "flip": "FlipAngle"}
    return {
        "Modality": "MR",
        "Manufacturer": "bids_synth",
        "ManufacturersModelName": f"phantom {individual.site}",
        "MagneticFieldStrength": individual.field,
        "PulseSequenceType": _KIND[modality],
        **{key: settings[name] for name, key in keys.items() if name in settings},
        "ImageComments": NOTE,
    }


_KIND = {
    "T1w": "MPRAGE",
    "T2w": "Spin echo",
    "PDw": "Spin echo",
    "FLAIR": "Inversion recovery spin echo",
}


def _pet() -> dict[str, Any]:
    return {
        "Modality": "PT",
        "Manufacturer": "bids_synth",
        "ManufacturersModelName": "phantom",
        "BodyPart": "brain",
        "Units": "SUV",
        "TracerName": "PBR28",
        "TracerRadionuclide": "C11",
        "InjectedRadioactivity": 500,
        "InjectedRadioactivityUnits": "MBq",
        "InjectedMass": 2.5,
        "InjectedMassUnits": "ug",
        "SpecificRadioactivity": 200000,
        "SpecificRadioactivityUnits": "MBq/umol",
        "ModeOfAdministration": "bolus",
        "TimeZero": "10:00:00",
        "ScanStart": 3600,
        "InjectionStart": 0,
        "FrameTimesStart": [3600],
        "FrameDuration": [1800],
        "AcquisitionMode": "list mode",
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": 0,
        "ReconMethodName": "OSEM",
        "ReconMethodParameterLabels": ["subsets", "iterations"],
        "ReconMethodParameterUnits": ["none", "none"],
        "ReconMethodParameterValues": [21, 4],
        "ReconFilterType": "Gaussian",
        "ReconFilterSize": 5,
        "AttenuationCorrection": "transmission scan",
    }
