"""ONNX: the networks of a model as one graph that any ONNX runtime runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

from bids_synth.errors import UsageError
from bids_synth.learn.exchange.portable import description, portable_of, window_of, written_as
from bids_synth.learn.model.model import Model

NEEDED = ("onnx", "onnxscript")
"""What torch writes ONNX with."""
FILE = "model.onnx"
README = """# {name}, for ONNX runtimes

{task}. Written by bids_synth of the model folder in `bids_synth/`, which
`bids_synth import` takes out again.

`model.onnx` makes all {networks} network(s)' answers of one window:

- `images`, float32 (1, {inputs}, {window}): {input_names}, in this order, in scaled numbers,
  0 outside the mask. `bids_synth.load("bids_synth").prepare(...).scaled` gives them.
- `available`, float32 (1, {inputs}): 1 for each image that is there, 0 for the others, whose
  images are 0.
- `scaled`, float32 (1, {outputs}, {window}): network after network, each with {target_names}.

A volume that is larger than a window is cut into windows that share {overlap:g} of their length,
and the answers are blended by Gaussian weights (standard deviation: an eighth of the window).

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime

about = json.loads(Path("export.json").read_text("utf-8"))
images = np.zeros((1, len(about["inputs"]), *about["window"]), np.float32)  # Yours, scaled.
available = np.zeros((1, len(about["inputs"])), np.float32)
available[0, about["inputs"].index("{source}")] = 1
session = onnxruntime.InferenceSession("model.onnx")
(scaled,) = session.run(["scaled"], {{"images": images, "available": available}})
every = scaled.reshape(about["networks"], len(about["targets"]), *about["window"])
scale = about["scales"]["{target}"]
values = every[:, about["targets"].index("{target}")] * scale["gain"] + scale["offset"]
if scale["log"]:
    values = np.exp(values)
image, spread = values.mean(axis=0), values.std(axis=0)
```

Intended use: {intended_use}
"""


def write_onnx(model: Model, folder: Path) -> None:
    """Write `model.onnx` and `README.md`; ModelError where a graph cannot hold the networks.

    Raises UsageError where what writes it is not installed.
    """
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        message = f"--to onnx: needs {' and '.join(lacking)}: pip install 'bids_synth[export]'"
        raise UsageError(message)
    about = description(model)
    with written_as("onnx", model), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        program = torch.onnx.export(
            portable_of(model),
            window_of(model),
            input_names=["images", "available"],
            output_names=["scaled"],
            dynamo=True,
            verbose=False,
        )
        if program is None:
            message = "torch gave no graph"
            raise RuntimeError(message)
        program.model.metadata_props["bids_synth"] = json.dumps(about)
        program.save(folder / FILE, external_data=False)
    words = {
        **about,
        "window": ", ".join(map(str, about["window"])),
        "inputs": len(about["inputs"]),
        "input_names": ", ".join(about["inputs"]),
        "outputs": about["networks"] * len(about["targets"]),
        "target_names": ", ".join(about["targets"]),
        "source": next(n for n in about["inputs"] if n != about["targets"][-1]),
        "target": about["targets"][-1],
    }
    (folder / "README.md").write_text(README.format(**words), encoding="utf-8")


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Without what libraries say to those who write exporters."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
