"""Output: the derivative dataset itself, its description first and its shared files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from bids_synth.bids.derivatives.uris import dataset_link
from bids_synth.core.modality import MODALITIES
from bids_synth.errors import UsageError
from bids_synth.spatial.volume import json_text, read_json_object, write_text

BIDS_VERSION = "1.10.0"

_LOG = logging.getLogger(__name__)

_IGNORED = (
    *("*.html", "figures", "models", "ct", "*_xfm.txt", "*_uncertainty.nii.gz"),
    *("*_uncertainty.json", "*_oef.nii.gz", "*_oef.json", "verdicts.tsv", "verdicts.json"),
    *(
        f"*_{m.suffix}.{extension}"
        for m in MODALITIES.values()
        if m.datatype == "perf"
        for extension in ("nii.gz", "json")
    ),
)
"""Outputs that BIDS has no name for yet. Without trailing slash, which would hide the files of
a folder from the validator but not the folder."""

_DESCRIPTIONS = {
    "synth": "Synthetic image, made by a model from other images of the visit; not acquired",
    **{
        f"synth{name}": f"About the synthetic {name}: its uncertainty, in its unit"
        for name in MODALITIES
    },
    "closedform": "Computed from acquired maps by closed-form physics, without a network",
    "preproc": "Acquired image registered to the reference and resampled; its own intensities",
    "headpreproc": "The same, cropped around the head and not around the brain",
    "brain": "Brain mask",
    "head": "Head mask",
    **{f"{name}coverage": f"Where the {name} was acquired" for name in MODALITIES},
}

_README = """\
# Synthetic and prepared brain images

Made by bids_synth from the dataset that `dataset_description.json` links as `raw`.

- `*_desc-synth_*` are SYNTHETIC images: a model made them from other images of the same visit.
  They were not acquired. Their sidecars say from what, by which model, and how far to trust them
  (`Synthetic`, `Sources`, `SynthesisModel`, `Uncertainty`, `QualityVerdict`).
- `*_uncertainty.nii.gz` are maps of the doubt about them, in the unit of the image.
- `*_desc-closedform_*` are maps that physics alone computes from acquired maps; no network.
- `*_desc-preproc_*` and `*_desc-headpreproc_*` are acquired images registered to the reference
  (`space-`) and resampled (`res-`); `*_desc-brain_mask` or `*_desc-head_mask` say where models
  read and write.
- `*_from-A_to-B_mode-image_xfm.txt` are ITK transforms that bring images of A to the space of B.
- `ct/` follows the proposal BEP024; it, perfusion maps, transforms and uncertainty maps have no
  name in BIDS yet and are listed in `.bidsignore`.
- `index.html` lists every synthetic image with its verdict, `verdicts.tsv` the same as a table.
- `descriptions.tsv` explains every `desc-` label.
"""


def open_output(
    output: Path, *, dataset: Path, version: str, derivatives: Mapping[str, Path]
) -> None:
    """Make the output a derivative dataset, `dataset_description.json` before anything else.

    Several jobs may do so at once. A shared file of another user is left as it is, with a
    warning. Raises UsageError where the output is a raw dataset or lies among its scans.
    """
    refuse_raw_folder(output, dataset)
    existing = read_json_object(output / "dataset_description.json") or {}
    if existing.get("DatasetType", "derivative") != "derivative":
        message = (
            f"{output}: is a {existing['DatasetType']} dataset; expected a folder for derivatives"
        )
        raise UsageError(message)
    _warn_of_other_version(existing, version, output)
    description = _description(output, dataset, version, derivatives, existing)
    _share(output / "dataset_description.json", json_text(description, ascii_only=True) + "\n")
    _share(output / "README.md", _README, merge=lambda old, new: old or new)
    share_ignored(output)
    table = [f"desc-{label}\t{text}" for label, text in _DESCRIPTIONS.items()]
    _share(output / "descriptions.tsv", _lines(["desc_id\tdescription", *table]), merge=_union)


def share_ignored(output: Path) -> None:
    """List in `.bidsignore` what BIDS has no name for, beside what is listed there already."""
    _share(output / ".bidsignore", _lines(_IGNORED), merge=_union)


def refuse_raw_folder(output: Path, dataset: Path) -> None:
    """Raise UsageError where writing to `output` would write into the raw dataset."""
    resolved, raw = output.resolve(), dataset.resolve()
    if resolved.is_relative_to(raw) and resolved.relative_to(raw).parts[:1] != ("derivatives",):
        message = (
            f"{output}: lies in the raw dataset {dataset}; "
            f"choose a folder outside it or {dataset / 'derivatives' / 'bids_synth'}"
        )
        raise UsageError(message)


def _description(
    output: Path,
    dataset: Path,
    version: str,
    derivatives: Mapping[str, Path],
    existing: Mapping[str, Any],
) -> dict[str, Any]:
    raw = read_json_object(dataset / "dataset_description.json") or {}
    others = {name: dataset_link(path, output) for name, path in derivatives.items()}
    known = existing.get("DatasetLinks")
    links = {
        **(known if isinstance(known, dict) else {}),
        "raw": dataset_link(dataset, output),
        **others,
    }
    generator = {"Name": "bids_synth", "Version": version} | _code_url()
    source = {"URL": links["raw"]} | ({"DOI": raw["DatasetDOI"]} if "DatasetDOI" in raw else {})
    return {
        "Name": f"Synthetic and prepared images of {raw.get('Name', dataset.name)}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generator],
        "SourceDatasets": [source, *({"URL": link} for link in others.values())],
        "DatasetLinks": links,
    }


def _code_url() -> dict[str, str]:
    """The address of the code, as pyproject.toml has it; nothing where that is a placeholder."""
    try:
        lines = metadata("bids_synth").get_all("Project-URL") or []
    except PackageNotFoundError:
        lines = []
    urls = dict(line.split(", ", 1) for line in lines)
    code = urls.get("Repository", "")
    return {} if not code or "//example.org/" in code else {"CodeURL": code}


def _warn_of_other_version(existing: Mapping[str, Any], version: str, output: Path) -> None:
    makers = existing.get("GeneratedBy")
    known = [g for g in makers if isinstance(g, dict)] if isinstance(makers, list) else []
    ours = [g for g in known if g.get("Name") == "bids_synth"]
    if ours and ours[0].get("Version") != version:
        _LOG.warning(
            "%s: holds results of bids_synth %s, this is %s; use another folder or --overwrite",
            *(output, ours[0].get("Version"), version),
        )


def _share(
    path: Path, text: str, *, merge: Callable[[str, str], str] = lambda _, new: new
) -> None:
    """Write a file of the whole dataset unless it says so already; never fail for it."""
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = merge(old, text)
        if new != old:
            write_text(new, path)
    except OSError as error:
        _LOG.warning("%s: cannot be written (%s) and is left as it is", path, error.strerror)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _union(old: str, new: str) -> str:
    """The lines of both, those of the existing file first."""
    return _lines(list(dict.fromkeys([*old.splitlines(), *new.splitlines()])))
