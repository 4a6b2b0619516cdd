"""`python scripts/picture.py DEMO OUT.png`: the README's picture, from a finished demo."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bids_synth.bids.raw.query import query
from bids_synth.core.settings import Settings
from bids_synth.core.split import read_split
from bids_synth.evaluate.score import score_withheld
from bids_synth.evaluate.trust.intervals import with_interval
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.recipe.recipe import load_recipe
from bids_synth.report.figures.canvas import styled
from bids_synth.report.figures.mosaic import draw_mosaic
from bids_synth.report.figures.planes import choose_planes
from bids_synth.report.figures.synthetic import Shown, comparison
from bids_synth.spatial.volume import read_mask, read_volume

TARGET = "T2w"


def main() -> None:
    """Draw the first test participant who has everything, its T2w withheld."""
    demo, picture = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    model = load_model(demo / "out" / "models" / "impute")
    recipe = load_recipe(model.folder / "recipe.toml")
    settings = Settings(demo / "bids", demo / "out", "participant", demo / "work", synth_only=True)
    tested = sorted(read_split(model.folder / "split.tsv").test)
    visits = query(settings.dataset, recipe, participants=tested).visits
    visit = next(v for v in visits if not v.missing(tuple(recipe.modalities)))
    (prepared,) = prepare_all([visit], recipe, settings)[0].values()
    made = load_synthesizer(model, "cpu").synthesize(prepared, TARGET)
    made = with_interval(made, prepared, model.card.intervals)
    scored = score_withheld(made, model, model.baselines(), prepared)
    mask = read_mask(prepared.native_mask)
    sources = {m: read_volume(prepared.images[m]) for m in made.sources}
    shown = Shown(scored.synthetic, sources, mask)
    planes = choose_planes(mask, axial=(0.58,), sagittal=(0.45,))
    with styled():
        figure = draw_mosaic(comparison(shown, planes, doubt=True))
        figure.savefig(picture, dpi=110, facecolor=figure.get_facecolor())
    row = scored.rows[scored.rows.method == "model"].iloc[0]
    print(json.dumps({"visit": visit.label, "psnr": row.psnr, "ssim": row.ssim}))


if __name__ == "__main__":
    main()
