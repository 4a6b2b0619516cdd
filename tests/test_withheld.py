"""A withheld scan is truth alone: it gives neither grid, nor mask, nor registration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_toys import make_visit as make_toy
from learn_toys import minus_error, small_unet
from prepare_phantom import make_scan, make_visit, motion, rms_error, truth_mask

from bids_synth.core.settings import Settings
from bids_synth.core.split import Fold, Split
from bids_synth.core.visit import Prepared, Visit
from bids_synth.evaluate.scenarios import scenarios
from bids_synth.evaluate.score import on_native, score_withheld
from bids_synth.learn.baselines.baselines import load_baselines
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.model import Model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.measure.table import read_rows
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.pipeline.score import score_and_report
from bids_synth.pipeline.visit.synthesize import VisitSynthesis
from bids_synth.pipeline.visit.withheld import Withheld
from bids_synth.recipe.recipe import Recipe, validate_recipe
from bids_synth.recipe.tasks import Task
from bids_synth.spatial.grid import Grid, inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask, read_volume, write_volume

SPACING = 4.0
MOVED = motion((4.0, -3.0, 2.0), (3.0, -2.0, 4.0))
MODALITIES = ("T1w", "T2w", "PDw")


def recipe_of(*modalities: str, **evaluation: object) -> Recipe:
    data = small_unet(modalities)
    data["grid"]["spacing"] = data["preparation"]["registration_spacing"] = SPACING
    data["objective"]["ssim"] = 0
    data["fit"] |= {"steps": 2, "steps_per_epoch": 2, "members": 1}
    data["evaluation"] |= {"bootstrap": 100, **evaluation}
    return validate_recipe(data, origin="toy")


def phantom(folder: Path, person: str) -> Visit:
    seed = 10 * ord(person)
    scans = {
        "T1w": make_scan("T1w", spacing=SPACING, seed=seed),
        "T2w": make_scan("T2w", spacing=SPACING, moved=MOVED, seed=seed + 1),
    }
    return make_visit(folder, scans, person)


class House:
    """A model fitted on two phantoms, and a third that is tested."""

    def __init__(self, place: Path) -> None:
        self.recipe = recipe_of("T1w", "T2w")
        self.settings = Settings(
            dataset=place / "bids", output=place / "out", level="group", work=place / "work",
            device="cpu", evaluate=True, run_id="run",
        )  # fmt: skip
        self.visits = {p: phantom(place / "bids", p) for p in "abt"}
        found, problems = prepare_all(list(self.visits.values()), self.recipe, self.settings)
        assert problems == ()
        self.prepared = {p: found[f"sub-{p}"] for p in "abt"}
        split = Split(frozenset("t"), (Fold(frozenset("a"), frozenset("b")),))
        self.model: Model = fit_model(
            self.recipe, list(found.values()), split, minus_error,
            folder=place / "out" / "models" / "impute", work=place / "work", seed=1,
            device="cpu", quiet=True,
        )  # fmt: skip

    def left(self, prepared: Prepared, target: str, *sources: str) -> Prepared:
        task = Task(target, sources, real=True)
        found = Withheld(self.recipe, self.settings).of(prepared, task)
        assert found is not None
        return found

    def prepare(self, visit: Visit, name: str) -> Prepared:
        """A visit prepared as any, in an output of its own."""
        settings = replace(self.settings, output=self.settings.output.with_name(name))
        found, problems = prepare_all([visit], self.recipe, settings)
        assert problems == ()
        return found[visit.label]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("withheld"))


def bytes_of(prepared: Prepared) -> tuple[bytes, ...]:
    """What decides where an image is made and what it is made from."""
    images = [prepared.images[m] for m in sorted(prepared.images) if m not in prepared.truths]
    arrays = [read_volume(path).array.tobytes() for path in (*images, prepared.mask)]
    grids = (prepared.grid, prepared.native)
    places = [g.affine.tobytes() + str(g.shape).encode() for g in grids]
    return (*arrays, *places, prepared.template.read_bytes())


def changed(visit: Visit, folder: Path, how: str) -> Visit:
    """The same visit with another T1w."""
    scan = visit.scans["T1w"]
    volume = read_volume(scan.path)
    if how == "noise":
        rng = np.random.default_rng(5)
        head = volume.array > 0
        volume = volume.with_array(
            (volume.array + head * rng.normal(0, 20, head.shape)).astype(np.float32)
        )
    elif how == "holes":
        array = volume.array.copy()
        array[: array.shape[0] // 3] = 0
        volume = volume.with_array(array)
    else:
        affine = volume.grid.affine.copy()
        affine[:3, 3] += [3.3, -2.1, 1.7]
        volume = Volume(volume.array, Grid(volume.grid.shape, affine), volume.unit)
    folder.mkdir(exist_ok=True)
    other = replace(scan, path=write_volume(volume, folder / scan.path.name))
    return replace(visit, scans={**visit.scans, "T1w": other})


@pytest.mark.slow
@pytest.mark.parametrize("how", ["noise", "holes", "shift"])
def test_the_withheld_scan_decides_nothing_but_the_truth(
    house: House, tmp_path: Path, how: str
) -> None:
    made = load_synthesizer(house.model, "cpu")
    plain = house.left(house.prepared["t"], "T1w", "T2w")
    other = house.prepare(changed(house.visits["t"], tmp_path / "bids", how), f"out-{how}")
    left = house.left(other, "T1w", "T2w")
    assert left.reference == "T2w"
    assert bytes_of(left) == bytes_of(plain)
    one, two = (made.synthesize(p, "T1w", sources=["T2w"]).image for p in (plain, left))
    assert one.array.tobytes() == two.array.tobytes()


@pytest.mark.slow
def test_it_is_the_image_of_a_visit_that_truly_lacks_the_scan(house: House) -> None:
    visit = house.visits["t"]
    lacking = replace(visit, scans={"T2w": visit.scans["T2w"]})
    truly = house.prepare(lacking, "out-lacking")
    left = house.left(house.prepared["t"], "T1w", "T2w")
    made = load_synthesizer(house.model, "cpu")
    wanted = on_native(made.synthesize(truly, "T1w"), truly)
    found = on_native(made.synthesize(left, "T1w"), left)
    assert found.sources == wanted.sources == ("T2w",)
    assert found.image.grid.matches(wanted.image.grid)
    assert found.image.array.tobytes() == wanted.image.array.tobytes()
    one, two = (read_mask(p.native_mask).array for p in (left, truly))
    assert one.tobytes() == two.tobytes()


@pytest.mark.slow
def test_the_truth_lies_where_the_new_reference_does(house: House) -> None:
    left = house.left(house.prepared["t"], "T1w", "T2w")
    found = read_itk(left.transforms["T1w"])
    assert rms_error(found, inverse(MOVED), truth_mask(SPACING)) < 1.0
    made = load_synthesizer(house.model, "cpu").synthesize(left, "T1w", sources=["T2w"])
    scored = score_withheld(made, house.model, load_baselines(house.model.folder), left)
    inside = read_mask(left.native_mask).array > 0
    still = make_scan("T1w", spacing=SPACING, moved=MOVED, noise=0.0, bias=0.0)
    assert scored.real.grid.matches(left.native)
    # The moved phantom has air blended into its rim, which the truth rightly has not.
    whole = Volume(truth_mask(SPACING).array.astype(np.float32), still.grid)
    share = resample(whole, still.grid, transform=inverse(MOVED)).array
    wanted = still.array / np.maximum(share, 0.01)
    inside &= share > 0.01
    assert np.corrcoef(scored.real.array[inside], wanted[inside])[0, 1] > 0.9


@pytest.mark.slow
def test_only_what_the_truth_covers_is_scored(house: House, tmp_path: Path) -> None:
    visit = house.visits["t"]
    volume = read_volume(visit.scans["T1w"].path)
    i, j, k = volume.grid.shape
    start, stop = (0, 0, k // 2), (i, j, k)
    slab = Volume(volume.array[:, :, k // 2 :], volume.grid.crop(start, stop))
    path = write_volume(slab, tmp_path / visit.scans["T1w"].path.name)
    cut = replace(visit, scans={**visit.scans, "T1w": replace(visit.scans["T1w"], path=path)})
    left = house.left(house.prepare(cut, "out-cut"), "T1w", "T2w")
    plain = house.left(house.prepared["t"], "T1w", "T2w")
    whole, covered = (read_mask(p.native_mask).array > 0 for p in (plain, left))
    assert 0.2 < covered.sum() / whole.sum() < 0.9
    assert not (covered & ~whole).any()
    assert bytes_of(left) == bytes_of(plain)


@pytest.mark.slow
def test_what_keeps_its_reference_is_what_it_was(house: House) -> None:
    prepared = house.prepared["t"]
    assert house.left(prepared, "T2w", "T1w") is prepared


def dates(output: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in output.glob("sub-*/**/*") if p.is_file()}


@pytest.mark.slow
def test_group_scores_every_target_and_touches_no_derivative(house: House) -> None:
    before = dates(house.settings.output)
    score_and_report(house.model, [house.prepared["t"]], house.settings)
    assert dates(house.settings.output) == before
    rows = read_rows(house.model.folder / "metrics.tsv")
    pairs = set(zip(rows["target"], rows["sources"], strict=True))
    assert pairs == {("T1w", "T2w"), ("T2w", "T1w")}
    assert rows["psnr"].notna().all()


@pytest.mark.slow
def test_evaluate_writes_it_in_the_space_of_what_is_left(house: House, tmp_path: Path) -> None:
    output = tmp_path / "out"
    settings = replace(house.settings, output=output)
    (output / "logs").mkdir(parents=True)
    found, _ = prepare_all([house.visits["t"]], house.recipe, settings)
    synthesis = VisitSynthesis(house.model.folder, house.recipe, settings, [])
    synthesis.withhold(found.values())
    result = synthesis.synthesize(found["sub-t"])
    assert result.rows is not None
    assert set(result.rows["target"]) == {"T1w", "T2w"}
    path = output / "sub-t/anat/sub-t_space-T2w_desc-synth_T1w.nii.gz"
    left = house.left(house.prepared["t"], "T1w", "T2w")
    made = on_native(load_synthesizer(house.model, "cpu").synthesize(left, "T1w"), left)
    np.testing.assert_array_equal(read_volume(path).array, made.image.array)
    sidecar = json.loads(path.with_name("sub-t_space-T2w_desc-synth_T1w.json").read_text())
    assert str(house.settings.work) not in json.dumps(sidecar)
    names = {p.name for p in output.glob("sub-t/anat/*_space-T2w_*")}
    assert not [name for name in names if "mask" in name or "preproc" in name]
    assert list(output.glob("sub-t/figures/*desc-synth_T1w.svg"))


@pytest.mark.slow
def test_a_visit_that_cannot_be_prepared_without_it_loses_its_row_by_name(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    data = house.recipe.model_dump(mode="json")
    data["preparation"]["reference"] = ["T1w"]
    recipe = validate_recipe(data, origin="toy")
    table, _ = score_and_report(
        replace(house.model, recipe=recipe), [house.prepared["t"]], house.settings
    )
    rows = read_rows(house.model.folder / "metrics.tsv")
    assert set(rows["target"]) == {"T2w"}
    for told in (table, caplog.text):
        assert "sub-t: T1w from T2w is not scored: without its T1w" in told


def test_sources_that_are_withheld_give_no_reference_either(tmp_path: Path) -> None:
    """Every subset of sources, and every set that is ablated."""
    recipe = recipe_of(*MODALITIES, scenarios="all", ablate=[["T1w"]])
    prepared = make_toy(tmp_path, "a", modalities=MODALITIES, shape=(8, 8, 8))
    asked: list[Visit] = []

    def note(visits: list[Visit], *_: object) -> tuple[dict[str, Prepared], tuple[()]]:
        asked.extend(visits)
        return {v.label: replace(prepared, visit=v) for v in visits}, ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bids_synth.pipeline.visit.withheld.prepare_reduced", note)
        withheld = Withheld(recipe, Settings(tmp_path, tmp_path, "group", tmp_path))
        withheld.prepare((prepared, task) for task in scenarios(prepared, recipe))
    kept = {tuple(v.scans) for v in asked}
    assert kept == {("T2w",), ("PDw",), ("T2w", "PDw")}
    assert len(asked) == len(kept)
