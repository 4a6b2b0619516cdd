"""Bundle: the networks of a model as MONAI lays them out, which needs no bids_synth to run."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.data.torchscript_utils import save_net_with_metadata

from bids_synth.learn.exchange.portable import (
    Stacked,
    description,
    example_of,
    portable_of,
    written_as,
)
from bids_synth.learn.model.model import Model

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
README = """# {name}

{task}. Written by bids_synth of the model folder in `bids_synth/`, which
`bids_synth import` takes out again.

## Images

Each visit is one 4D NIfTI file in `images/`: the scaled images of {input_names}, in this order
and 0 where one is absent or outside the mask, then for each of them a map of ones (it is there)
or of zeros. `bids_synth.load("bids_synth").prepare(...).scaled` gives them.

    python -m monai.bundle run --config_file configs/inference.json

writes {target_names} into `eval/`, in the unit of `configs/metadata.json`: the mean over
{networks} network(s). Values outside the mask mean nothing. The loader of
`monai.bundle.load(...)` gives the network alone: scaled numbers, network after network.

Windows of the edge of a volume lie elsewhere than those of bids_synth, and blend otherwise: where
a volume is larger than a window, values differ a little from its own.

Intended use: {intended_use}
"""


def write_bundle(model: Model, folder: Path) -> None:
    """Write configs, TorchScript, weights, README and LICENSE; ModelError where one cannot be."""
    about = description(model)
    for name in ("configs", "models", "docs", "images"):
        (folder / name).mkdir()
    metadata = _metadata(about)
    _write_json(metadata, folder / "configs/metadata.json")
    _write_json(_inference(about), folder / "configs/inference.json")
    with written_as("monai-bundle", model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Shapes are fixed in a graph, and so it is meant.
        images, available = example_of(model)
        maps = available[:, :, None, None, None].expand_as(images)
        stacked = Stacked(portable_of(model), len(about["inputs"]))
        script = torch.jit.trace(  # type: ignore[no-untyped-call]
            stacked, torch.cat([images, maps], dim=1), check_trace=False
        )
        save_net_with_metadata(script, str(folder / "models/model"), meta_values=metadata)
        torch.save(script.state_dict(), folder / "models/model.pt")
    words = {
        **about,
        "input_names": ", ".join(about["inputs"]),
        "target_names": ", ".join(about["targets"]),
    }
    (folder / "docs/README.md").write_text(README.format(**words), encoding="utf-8")


def _metadata(about: dict[str, Any]) -> dict[str, Any]:
    inputs, outputs = about["inputs"], about["targets"]
    maps = [f"{name} is there" for name in inputs]
    shape = about["window"]
    each = [f"{name}, network {n}" for n in range(about["networks"]) for name in outputs]
    common = {"type": "image", "num_channels": 0, "spatial_shape": shape, "dtype": "float32"}
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"written by bids_synth {version('bids_synth')}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "nibabel": version("nibabel"),
            "pytorch-ignite": "0.5.0",
        },
        "name": about["name"],
        "task": about["task"],
        "description": f"{about['task']}. {about['intended_use']}",
        "authors": "as the training dataset says",
        "copyright": about["licence"],
        "data_source": about["dataset"],
        "data_type": "nibabel",
        "intended_use": about["intended_use"],
        "network_data_format": {
            "inputs": {
                "image": {
                    **common,
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": 2 * len(inputs),
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": _numbered([*inputs, *maps]),
                }
            },
            "outputs": {
                "pred": {
                    **common,
                    "format": "image",
                    "num_channels": len(each),
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": _numbered(each),
                }
            },
        },
        "scales": about["scales"],
        "units": about["units"],
    }


def _numbered(names: list[str]) -> dict[str, str]:
    return {str(n): name for n, name in enumerate(names)}


def _inference(about: dict[str, Any]) -> dict[str, Any]:
    """What `monai.bundle run` does; every `$` is Python that MONAI evaluates."""
    scales = [about["scales"][name] for name in about["targets"]]
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "networks": about["networks"],
        "gains": [scale["gain"] for scale in scales],
        "offsets": [scale["offset"] for scale in scales],
        "logarithmic": [bool(scale["log"]) for scale in scales],
        "network_def": {
            "_target_": "torch.jit.load",
            "f": "$@bundle_root + '/models/model.ts'",
            "map_location": "@device",
        },
        "network": "$@network_def.to(@device)",
        "files": "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': file} for file in @files]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": about["window"],
            "sw_batch_size": 1,
            "overlap": about["overlap"],
            "mode": "gaussian",
            "sigma_scale": 0.125,
        },
        "in_unit": (
            "$lambda every: torch.stack([(torch.exp if log else lambda v: v)"
            "(every[n::len(@gains)] * gain + offset).mean(0) for n, (gain, offset, log) "
            "in enumerate(zip(@gains, @offsets, @logarithmic))])"
        ),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Lambdad", "keys": "pred", "func": "@in_unit"},
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "meta_keys": "pred_meta_dict",
                    "output_dir": "@output_dir",
                    "output_postfix": "synth",
                    "resample": False,
                    "separate_folder": False,
                    "print_log": False,
                },
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "initialize": ["$@network.eval()"],
        "run": ["$@evaluator.run()"],
    }


def _write_json(data: dict[str, Any], path: Path) -> None:
    text = json.dumps(data, indent=4, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
