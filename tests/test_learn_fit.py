"""Fitting: resumed to the bit, done once, blind to test participants, tidy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from learn_kill import PEOPLE, curve, fit_toys
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.scale import median_scale
from bids_synth.core.split import Fold, Split
from bids_synth.errors import ModelError, UsageError
from bids_synth.learn.fit.fit import fit_key, fit_model, fitting_visits
from bids_synth.learn.model.model import load_model
from bids_synth.spatial.volume import sha256_of

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, fit_toys(folder)


def weights_of(model):
    return [w.sha256 for w in model.card.weights]


def killed(folder, how, number):
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, str(TESTS / "learn_kill.py"), str(folder), how, str(number)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_killed_twice_it_ends_at_the_same_bits(undisturbed, tmp_path):
    """First inside a step of epoch 2, then while the next state is half written."""
    _, model = undisturbed
    killed(tmp_path, "step", 6)
    assert list(tmp_path.glob("work/fit/toy-*/fold-0_member-0/state.ckpt"))
    killed(tmp_path, "write", 2)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(tmp_path / "models" / "toy")
    resumed = fit_toys(tmp_path)
    assert weights_of(resumed) == weights_of(model)
    assert curve(resumed.folder) == curve(model.folder)
    assert len(curve(resumed.folder)) == 1 + 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "number"), [("rename", 1), ("rename", 4), ("write", 6), ("step", 13)]
)
def test_killed_anywhere_it_ends_at_the_same_bits(undisturbed, tmp_path, how, number):
    _, model = undisturbed
    killed(tmp_path, how, number)
    resumed = fit_toys(tmp_path)
    assert weights_of(resumed) == weights_of(model)
    assert curve(resumed.folder) == curve(model.folder)


def test_the_same_call_again_fits_nothing(undisturbed, monkeypatch):
    folder, model = undisturbed

    def never(*_, **__):
        pytest.fail("fitted again")

    monkeypatch.setattr("bids_synth.learn.fit.fit.fit_member", never)
    monkeypatch.setattr("bids_synth.learn.fit.fit.fit_baselines", never)
    again = fit_toys(folder)
    assert again.card == model.card


def test_a_changed_seed_starts_afresh_and_replaces_the_folder(tmp_path):
    prepared = [make_visit(tmp_path / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    options = {"folder": tmp_path / "m", "work": tmp_path / "w", "device": "cpu", "quiet": True}
    recipe = toy_recipe(steps=4)
    first = fit_model(recipe, prepared, toy_split("abc"), minus_error, seed=1, **options)
    (first.folder / "metrics.tsv").write_text("stale")
    other = fit_model(recipe, prepared, toy_split("abc"), minus_error, seed=2, **options)
    assert weights_of(first) != weights_of(other)
    assert not (other.folder / "metrics.tsv").exists()
    assert not list(tmp_path.glob(".part-*"))
    changed = [replace(p, key="0" * 64) for p in prepared]
    keys = {
        fit_key(recipe, prepared, toy_split("abc"), seed=1),
        fit_key(recipe, prepared, toy_split("abc"), seed=2),
        fit_key(recipe, changed, toy_split("abc"), seed=1),
        fit_key(recipe, prepared, toy_split("ab", "ce"), seed=1),
        fit_key(toy_recipe(steps=5), prepared, toy_split("abc"), seed=1),
    }
    assert len(keys) == 5


def test_initial_weights_and_patches_come_from_the_seed_alone(undisturbed, tmp_path):
    import torch

    torch.manual_seed(12345)
    torch.rand(17)
    assert weights_of(fit_toys(tmp_path)) == weights_of(undisturbed[1])


def test_test_participants_are_never_opened(undisturbed, tmp_path):
    """Their files do not exist: any look at them would fail. So would a stranger's."""
    prepared = [make_visit(tmp_path / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    nowhere = tmp_path / "nowhere"
    ghosts = []
    for label in ("z", "stranger"):
        visit = make_visit(tmp_path / "gone", label, shape=(20, 20, 20))
        ghosts.append(
            replace(
                visit,
                images={m: nowhere / f"{m}.nii.gz" for m in visit.images},
                mask=nowhere / "mask.nii.gz",
                template=nowhere / "template.txt",
                scales={m: replace(s, gain=s.gain * 1000) for m, s in visit.scales.items()},
            )
        )
    model = fit_model(
        toy_recipe(members=2),
        [*ghosts, *prepared],
        toy_split(training="abc"),
        minus_error,
        folder=tmp_path / "models" / "toy",
        work=tmp_path / "work",
        seed=5,
        device="cpu",
        quiet=True,
    )
    assert weights_of(model) == weights_of(undisturbed[1])
    assert not model.card.origins()[0].knows("z")
    assert not model.card.origins()[0].knows("stranger")
    assert fitting_visits(ghosts, toy_split()) == []


def test_scales_are_those_of_training_participants(undisturbed):
    folder, model = undisturbed
    training = [make_visit(folder / "again", p, shape=(20, 20, 20)) for p in "abc"]
    for modality in model.recipe.modalities:
        assert model.scales[modality] == median_scale([p.scales[modality] for p in training])
    assert [model.card.origins()[0].knows(p) for p in "abce"] == [True] * 4
    assert len(model.card.training) == 3


def test_nothing_lands_elsewhere(tmp_path, monkeypatch, capfd):
    here = tmp_path / "cwd"
    here.mkdir()
    monkeypatch.chdir(here)
    model = fit_toys(tmp_path / "run")
    assert not list(here.iterdir())
    out, err = capfd.readouterr()
    assert not out
    assert not err
    found = {str(p.relative_to(model.folder)) for p in model.folder.rglob("*") if p.is_file()}
    names = {n for n in found if not n.startswith("logs/")}
    assert names == {
        "model.json",
        "recipe.toml",
        "split.tsv",
        "training.tsv",
        "baselines.json",
        "weights/baselines.safetensors",
        "weights/fold-0_member-0.safetensors",
        "weights/fold-0_member-1.safetensors",
        "weights/start_fold-0_member-0.safetensors",
        "weights/start_fold-0_member-1.safetensors",
    }
    assert {Path(n).name.split(".")[0] for n in found - names} == {"events", "preview"}
    assert len(found - names) == 4
    text = "".join((model.folder / n).read_text() for n in names if "weights" not in n)
    assert str(tmp_path) not in text


def test_folds_fitted_one_by_one_are_those_fitted_together(tmp_path):
    prepared = [make_visit(tmp_path / "prepared", p, shape=(20, 20, 20)) for p in "abcd"]
    folds = tuple(Fold(frozenset(set("abcd") - {held}), frozenset(held)) for held in "ab")
    split = Split(frozenset(), folds)

    def fit(name, **options):
        return fit_model(
            toy_recipe(steps=2, steps_per_epoch=2),
            prepared,
            split,
            minus_error,
            folder=tmp_path / name / "m",
            work=tmp_path / name / "w",
            seed=1,
            device="cpu",
            quiet=True,
            **options,
        )

    together = fit("together")
    assert [(w.fold, w.member) for w in together.card.weights] == [(0, 0), (1, 0)]
    assert [w.fold for w in fit("apart", fold=1).card.weights] == [1]
    apart = fit("apart", fold=0)
    assert weights_of(apart) == weights_of(together)
    assert sha256_of(apart.folder / "split.tsv") == sha256_of(together.folder / "split.tsv")
    with pytest.raises(UsageError, match="--fold 2"):
        fit("apart", fold=2)


def test_a_model_can_be_the_start_of_another(undisturbed, tmp_path):
    _, model = undisturbed
    prepared = [make_visit(tmp_path / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    options = {
        "folder": tmp_path / "m",
        "work": tmp_path / "w",
        "seed": 1,
        "device": "cpu",
        "quiet": True,
    }
    recipe = toy_recipe(steps=1, learning_rate=1e-12, members=2)
    again = fit_model(
        recipe, prepared, toy_split("abc"), minus_error, init_from=model.folder, **options
    )
    for one, other in zip(model.networks(), again.networks(), strict=True):
        for old, new in zip(one.parameters(), other.parameters(), strict=True):
            assert (old - new).abs().max() < 1e-6
    wider = recipe.model_copy(update={"network": recipe.network.model_copy(update={"filters": 4})})
    with pytest.raises(ModelError, match="--init-from"):
        fit_model(
            wider, prepared, toy_split("abc"), minus_error, init_from=model.folder, **options
        )


def test_a_dataset_without_a_modality_is_an_error_that_names_the_way_out(tmp_path):
    prepared = [
        make_visit(tmp_path, p, shape=(20, 20, 20), modalities=("T1w", "T2w")) for p in "abce"
    ]
    with pytest.raises(UsageError, match=r"has a PDw; limit .* --modalities T1w T2w"):
        fit_model(
            toy_recipe(),
            prepared,
            toy_split("abc"),
            minus_error,
            folder=tmp_path / "m",
            work=tmp_path / "w",
            seed=1,
            device="cpu",
        )
