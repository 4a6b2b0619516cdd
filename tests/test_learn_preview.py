"""Previews: the slice that was scored, one an epoch, whatever a kill left behind."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from learn_objective_toys import toy_of
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.preview import add_preview, middle_slice, read_preview
from bids_synth.learn.fit.selection import selection_of
from bids_synth.learn.fit.unpaired_score import ProxySelection, choose_selection
from bids_synth.learn.model.model import load_model


def look(value):
    names = {"source_name": np.array("T1w"), "target_name": np.array("T2w")}
    one = np.full((5, 6), value, np.float16)
    return {"source": one, "real": one, "synthetic": one, **names}


class Half(torch.nn.Module):
    """Answers 0.5 everywhere."""

    def forward(self, window, available):
        return torch.full_like(window, 0.5)


def test_a_resumed_fit_replaces_what_came_after_its_state(tmp_path):
    path = tmp_path / "preview.npz"
    for epoch in (0, 1, 2, 3):
        add_preview(look(epoch), path, epoch, 20.0 + epoch)
    for epoch in (2, 3, 4):
        add_preview(look(10 + epoch), path, epoch, 30.0 + epoch)
    found = read_preview(path)
    assert found["epochs"].tolist() == [0, 1, 2, 3, 4]
    assert found["scores"].tolist() == [20, 21, 32, 33, 34]
    assert found["synthetic"][:, 0, 0].tolist() == [0, 1, 12, 13, 14]
    assert found["synthetic"].dtype == np.float16
    assert [p.name for p in tmp_path.iterdir()] == ["preview.npz"]
    add_preview(look(5), path, 0, 1.0)
    assert read_preview(path)["epochs"].tolist() == [0]


def test_a_damaged_file_stops_no_fit(tmp_path):
    path = tmp_path / "preview.npz"
    path.write_bytes(b"PK\x03\x04 cut off")
    add_preview(look(1), path, 7, 1.0)
    assert read_preview(path)["epochs"].tolist() == [7]


def test_slices_are_small_and_from_the_middle():
    image = np.zeros((200, 260, 11))
    image[:, :, 5] = np.arange(200)[:, None]
    found = middle_slice(image)
    assert found.shape == (67, 87)
    assert found[1, 0] == 3


def test_the_selection_keeps_the_slice_that_it_scored(tmp_path):
    recipe = toy_recipe()
    store = open_store([make_visit(tmp_path, "e")], tuple(recipe.modalities), tmp_path / "work")
    scored = []

    def score(real, synthetic, mask):
        scored.append((real, synthetic))
        return minus_error(real, synthetic, mask)

    selection = selection_of(recipe, store, score, torch.device("cpu"))
    assert selection.look == {}
    selection(Half())
    assert len(scored) == len(selection.tasks) > 1
    real, synthetic = scored[0]
    kept = selection.look
    np.testing.assert_array_equal(kept["real"], middle_slice(real))
    np.testing.assert_array_equal(kept["synthetic"], middle_slice(synthetic))
    assert kept["synthetic"].max() == 0.5
    task = selection.tasks[0][1]
    assert str(kept["target_name"]) == task.target
    source = store[0].images[task.sources[0]]
    np.testing.assert_array_equal(kept["source"], middle_slice(source))


def test_without_pairs_source_and_synthetic_are_kept_and_nothing_real(tmp_path):
    recipe = toy_of("cycle-gan")
    visits = [
        make_visit(tmp_path, "a", modalities=("T1w",)),
        make_visit(tmp_path, "b", modalities=("T2w",)),
    ]
    store = open_store(visits, ("T1w", "T2w"), tmp_path / "work")
    selection = choose_selection(recipe, store, store, minus_error, torch.device("cpu"))
    assert isinstance(selection, ProxySelection)
    assert selection.look == {}
    selection(Half())
    kept = selection.look
    assert {*kept} == {"source", "synthetic", "source_name", "target_name"}
    visit, source = selection.tasks[0]
    assert str(kept["source_name"]) == source
    assert {source, str(kept["target_name"])} == {"T1w", "T2w"}
    np.testing.assert_array_equal(kept["source"], middle_slice(visit.images[source]))
    np.testing.assert_array_equal(kept["synthetic"], middle_slice(0.5 * (visit.mask > 0)))
    add_preview(kept, tmp_path / "preview.npz", 0, 1.0)
    assert "real" not in read_preview(tmp_path / "preview.npz")


@pytest.mark.parametrize("objective", ["regression", "cycle-gan"])
def test_a_recipe_can_leave_it_out(tmp_path, objective):
    recipe = toy_of(objective, preview=False)
    if objective == "cycle-gan":
        visits = [
            make_visit(tmp_path, n, modalities=(m,)) for n, m in (("a", "T1w"), ("b", "T2w"))
        ]
    else:
        visits = [make_visit(tmp_path, "a")]
    store = open_store(visits, tuple(recipe.modalities), tmp_path / "work")
    selection = choose_selection(recipe, store, store, minus_error, torch.device("cpu"))
    selection(Half())
    assert selection.look == {}


def test_a_model_is_whole_without_what_tells_of_participants(tmp_path):
    people = [make_visit(tmp_path / "data", p) for p in "abcde"]
    folder = tmp_path / "models" / "toy"
    model = fit_model(
        toy_recipe(steps=1, steps_per_epoch=1, members=1), people, toy_split(), minus_error,
        folder=folder, work=tmp_path / "work", seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    (folder / "split.tsv").unlink()
    shutil.rmtree(folder / "logs")
    again = load_model(folder)
    assert again.sha256 == model.sha256
    assert again.card.origins()[0].knows("a")
    assert again.baselines()
    assert len(again.networks()) == 1


def test_the_model_folder_has_one_slice_an_epoch(tmp_path):
    people = [make_visit(tmp_path / "data", p) for p in "abcde"]
    recipe = toy_recipe(steps=4, steps_per_epoch=2)
    folder = tmp_path / "models" / "toy"
    fit_model(
        recipe, people, toy_split(), minus_error, folder=folder, work=tmp_path / "work",
        seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    found = read_preview(folder / "logs" / "fold-0_member-0" / "preview.npz")
    assert found["epochs"].tolist() == [0, 1]
    lines = (folder / "training.tsv").read_text().splitlines()
    column = lines[0].split("\t").index("validation_score")
    scores = [float(line.split("\t")[column]) for line in lines[1:]]
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5)
    assert not np.array_equal(found["synthetic"][0], found["synthetic"][1])
