"""Gif: how a synthetic image grew over the epochs of a fit, and the curves beside it."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bids_synth.errors import BidsSynthError, ModelError
from bids_synth.report.figures.canvas import NIGHT, PALE, REAL, SYNTHETIC, styled
from bids_synth.report.figures.group import draw_curves
from bids_synth.spatial.volume import write_text
from bids_synth.system.atomic import atomic_write

SIZE = (9.6, 3.8)
"""Inches of a frame."""
DPI = 80
MOMENT, END = 250, 2500
"""Milliseconds that a frame and the last one are shown."""
_ARRAYS = {"source", "synthetic", "epochs", "scores", "source_name", "target_name"}
Film = Mapping[str, npt.NDArray[Any]]


def write_gif(model_folder: Path, path: Path, *, member: str = "") -> Path:
    """Write an animation with one frame an epoch, and `curves.svg` beside it.

    `member` is a folder in the model's `logs`, as `fold-0_member-1`; without it the first one
    that has a preview. A fit without pairs shows no real image. Raises ModelError where there is
    no preview, or it is damaged.
    """
    film = _film(model_folder, member)
    frames = [_frame(film, number) for number in range(len(film["epochs"]))]
    times = [MOMENT] * (len(frames) - 1) + [END]
    with atomic_write(path) as part:
        frames[0].save(
            part, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0
        )
    _write_curves(model_folder / "training.tsv", path.with_name("curves.svg"))
    return path


def _film(model_folder: Path, member: str) -> Film:
    places = sorted((model_folder / "logs").glob(f"{member or '*'}/preview.npz"))
    if not places:
        message = (
            f"{model_folder}: logs/{member or '*'}/preview.npz is not there; expected a model "
            "folder that keeps a slice of every epoch (recipe: fit.preview = true)"
        )
        raise ModelError(message)
    try:
        with np.load(places[0], allow_pickle=False) as file:
            film = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        message = f"{places[0]}: cannot be read ({error}); fit the model again"
        raise ModelError(message) from error
    if not set(film) >= _ARRAYS or not len(film["epochs"]) == len(film["synthetic"]) > 0:
        message = f"{places[0]}: lacks slices or names; expected {', '.join(sorted(_ARRAYS))}"
        raise ModelError(message)
    return film


def _frame(film: Film, number: int) -> Image.Image:
    # The last epoch, where nothing is real, so that all epochs share one scale of greys.
    source, like = film["source"], film.get("real", film["synthetic"][-1])
    epoch, score = int(film["epochs"][number]) + 1, float(film["scores"][number])
    text = f"synthetic {film['target_name']}\nepoch {epoch}, validation score {score:.2f}"
    panels = [
        (source, f"{film['source_name']}\nsource", PALE, _white(source)),
        (film["synthetic"][number], text, SYNTHETIC, _white(like)),
    ]
    if "real" in film:
        panels.append((like, f"real {film['target_name']}\n", REAL, _white(like)))
    with styled():
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor=NIGHT, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        places = figure.subplots(1, len(panels))
        for axes, (image, title, colour, high) in zip(places, panels, strict=True):
            shown = np.asarray(image, np.float32).T
            axes.imshow(shown, cmap="gray", vmin=0, vmax=high, origin="lower")
            axes.set_title(title, color=colour)
            axes.set_axis_off()
        canvas.draw()
        return Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB").quantize(128)


def _white(image: npt.NDArray[Any]) -> float:
    """The value that is shown as white."""
    return float(np.percentile(image.astype(np.float32), 99.8)) or 1.0


def _write_curves(training: Path, path: Path) -> None:
    try:
        table = pd.read_csv(training, sep="\t", na_values=["n/a"])
    except (OSError, ValueError) as error:
        message = f"{training}: is not a readable table ({error}); fit the model again"
        raise ModelError(message) from error
    if len(table):
        write_text(draw_curves(table), path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the animation; 0 when done, 2 where the folder has none."""
    parser = argparse.ArgumentParser(
        prog="python -m bids_synth.report.figures.gif",
        description="An animation of a fit, one frame an epoch, and curves.svg beside it.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT.gif")
    parser.add_argument("--member", default="", metavar="NAME", help="as fold-0_member-1")
    options = parser.parse_args(arguments)
    try:
        path = write_gif(options.model, options.out, member=options.member)
    except BidsSynthError as error:
        print(f"bids_synth.report.figures.gif: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"{path} and {path.with_name('curves.svg')}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
