"""A model folder from a stranger executes nothing, reads nothing outside, and fills no memory."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from learn_toys import make_visit, minus_error, toy_recipe, toy_split
from safetensors.numpy import load_file, save_file

from bids_synth.errors import ModelError, RecipeError
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.integrity import LARGEST_TEXT
from bids_synth.learn.model.model import load_model
from bids_synth.learn.model.size_limits import MOST_KEPT, MOST_WEIGHTS, size_problems, tensors_of
from bids_synth.learn.networks import build_network
from bids_synth.recipe.recipe import load_recipe, recipe_names, validate_recipe
from bids_synth.spatial.volume import sha256_of

WEIGHTS = "weights/fold-0_member-0.safetensors"
BASELINES = "weights/baselines.safetensors"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    people = [make_visit(folder, p, shape=(20, 20, 20)) for p in "abce"]
    places = {"folder": folder / "m", "work": folder / "w"}
    options = {"seed": 1, "device": "cpu", "quiet": True, **places}
    return fit_model(toy_recipe(steps=1), people, toy_split("abc"), minus_error, **options).folder


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted, tmp_path / "copy")


def sealed_anew(folder, change=lambda card: None):
    """Let the card agree with the files as they are now: a stranger can."""
    card = json.loads((folder / "model.json").read_text())
    card["recipe"] = hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()
    for entry in (*card["weights"], *card["baselines"]):
        if (folder / entry["file"]).is_file():
            entry["sha256"] = sha256_of(folder / entry["file"])
    change(card)
    (folder / "model.json").write_text(json.dumps(card))


def with_recipe(folder, **sections):
    """The recipe with other values, and a card that agrees."""
    data = load_recipe(folder / "recipe.toml").model_dump(mode="json")
    for section, values in sections.items():
        data[section] |= values
    recipe = validate_recipe(data, origin="test")
    (folder / "recipe.toml").write_text(recipe.to_toml())
    own = recipe.network.model_dump(mode="json", exclude={"name"})
    network = {"sources": len(recipe.inputs), "targets": len(recipe.targets), **own}
    sealed_anew(folder, lambda card: card.update(network=network))


def refused(folder, told):
    """The one line with which the folder is refused, in little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=told) as error:
        load_model(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
    return str(error.value)


@pytest.mark.parametrize("name", ["model.json", "recipe.toml", "baselines.json"])
def test_a_text_that_is_a_link_elsewhere_is_not_read(folder, tmp_path, name):
    (tmp_path / "secret").write_text((folder / name).read_text())
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret")
    refused(folder, "leads outside the model folder")


@pytest.mark.parametrize("name", ["weights", "weights/.."])
def test_a_folder_of_weights_that_is_a_link_is_not_read(folder, tmp_path, name):
    shutil.move(folder / "weights", tmp_path / "elsewhere")
    (folder / "weights").symlink_to(tmp_path / "elsewhere")
    refused(folder, "leads outside the model folder")


@pytest.mark.parametrize("name", ["model.json", "recipe.toml", WEIGHTS])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, "is missing")


@pytest.mark.parametrize("name", ["model.json", "recipe.toml"])
def test_a_huge_text_is_not_read(folder, name):
    with (folder / name).open("r+b") as file:
        file.truncate(LARGEST_TEXT + 1)
    refused(folder, "is larger than 16 MiB")


@pytest.mark.parametrize(
    "file", ["../../x", "/etc/passwd", "weights/../../x", "a\\..\\b", "x\n", "~/x", ""]
)
def test_a_name_that_leads_elsewhere_is_refused(folder, file):
    sealed_anew(folder, lambda card: card["weights"][0].update(file=file))
    refused(folder, "must lie inside|is missing")


@pytest.mark.parametrize("name", ["../../evil", "a/b", "<b>", "x\n", "", ".hidden", "a" * 101])
def test_a_name_of_a_model_is_a_plain_word(folder, name):
    sealed_anew(folder, lambda card: card.update(name=name))
    refused(folder, "name: ")


@pytest.mark.parametrize("key", ["dataset", "licence", "intended_use", "version", "created"])
def test_words_of_a_card_cannot_steer_a_terminal(folder, key):
    sealed_anew(folder, lambda card: card.update({key: "\x1b]0;owned\x07"}))
    assert "\x1b" not in refused(folder, f"{key}: expected one line")


def test_one_file_is_not_loaded_four_hundred_times(folder):
    def repeat(card):
        card["weights"] = [card["weights"][0] | {"member": n} for n in range(400)]

    sealed_anew(folder, repeat)
    refused(folder, "listed twice")


def test_more_networks_than_memory_are_refused(folder):
    recipe = load_recipe("pix2pix-ct").with_values({"network.filters": 128})
    one = sum(int(np.prod(shape)) for shape, _ in tensors_of(recipe).values())
    assert one < MOST_WEIGHTS
    assert size_problems(recipe) == []
    assert "networks would keep" in size_problems(recipe, networks=MOST_KEPT // one + 1)[0]


def test_a_network_too_large_is_refused_before_it_is_made(folder):
    with_recipe(folder, network={"filters": 128, "blocks": [8, 8, 8, 8, 8]})
    told = refused(folder, "is too large to use: its network would keep .* GiB, at most 1")
    assert "fewer filters" in told


def test_maps_too_large_are_refused_before_they_are_made(folder):
    with_recipe(folder, network={"filters": 128}, fit={"patch": [200, 200, 200]})
    refused(folder, r"1 patch\(es\) at a time would make .* GiB, at most 32")


def test_a_linear_table_too_large_is_refused(folder):
    columns = "".join(f"[extras.scalars.c{n}]\na = 1.0\n" for n in range(14))
    text = (folder / "recipe.toml").read_text()
    assert "[extras.scalars]\n" in text
    (folder / "recipe.toml").write_text(text.replace("[extras.scalars]\n", columns))
    sealed_anew(folder)
    refused(folder, "residual-unet takes at most 16 sources and extras, got 17")


def test_every_recipe_that_is_shipped_is_within_the_budget():
    for name in recipe_names():
        assert size_problems(load_recipe(name), networks=20) == []


def test_the_size_that_is_told_is_the_size_that_is_made():
    for name in ("impute", "ct", "mmgan", "cyclegan-structure", "mri2pet"):
        recipe = load_recipe(name)
        state = build_network(recipe).state_dict()
        assert tensors_of(recipe) == {
            n: (list(t.shape), "I64" if t.dtype == torch.int64 else "F32")
            for n, t in state.items()
        }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network.width", 10**9), ("network.layers", 10**9), ("network.voxels", 10**9),
        ("network.sample", 10**12),
        ("fit.patch", [4096, 4096, 4096]), ("fit.batch", 10**9), ("fit.members", 10**9),
        ("fit.steps", 10**18), ("fit.steps_per_epoch", 10**18), ("evaluation.bootstrap", 10**12),
        ("grid.spacing", 1e-6), ("grid.margin", 1e9), ("synthesis.overlap", 0.9999),
        ("preparation.registration_spacing", 1e-3), ("fit.learning_rate", float("inf")),
        ("evaluation.protocols", ["masked3d"] * 1000), ("name", "a" * 300), ("name", "../x"),
        ("extras.scalars", {"../../x": {"a": 1.0}}), ("extras.scalars", {"a/b": {"a": 1.0}}),
        ("task", "two\nlines"), ("source", "\x1b[2J"),
    ],
)  # fmt: skip
def test_a_size_or_name_beyond_reason_is_refused(key, value):
    with pytest.raises(RecipeError, match=key.rpartition(".")[2]):
        load_recipe("impute").with_values({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network.filters", 10**9), ("network.blocks", [10**9]), ("network.blocks", [1] * 40),
    ],
)  # fmt: skip
def test_a_convolutional_network_beyond_reason_is_refused(key, value):
    with pytest.raises(RecipeError, match=key.rpartition(".")[2]):
        load_recipe("ct").with_values({key: value})


def test_attention_over_too_many_voxels_is_refused():
    values = {"network.levels": 2, "fit.patch": [128, 128, 128]}
    with pytest.raises(RecipeError, match="attention would span 262144 voxels"):
        load_recipe("mri2pet").with_values(values)


@pytest.mark.parametrize("fault", ["added", "reshaped", "retyped", "lost"])
def test_baselines_of_other_tensors_are_refused_before_loading(folder, fault):
    tensors = load_file(folder / BASELINES)
    if fault == "added":
        tensors["image.other"] = np.zeros((4, 4, 4), np.float32)
    elif fault == "reshaped":
        tensors["image.T1w"] = np.zeros((300, 300, 30), np.float32)
    elif fault == "retyped":
        tensors["gram.0"] = tensors["gram.0"].astype(np.float32)
    else:
        del tensors["gram.0"]
    save_file(tensors, folder / BASELINES)
    sealed_anew(folder)
    refused(folder, "baselines.safetensors has other tensors than expected")


def test_a_mean_image_larger_than_memory_is_refused(folder):
    data = json.loads((folder / "baselines.json").read_text())
    data["grid"]["shape"] = [100_000, 100_000, 100_000]
    (folder / "baselines.json").write_text(json.dumps(data))
    sealed_anew(folder)
    refused(folder, "does not describe baselines")


def test_baselines_that_the_card_does_not_seal_are_refused(folder):
    sealed_anew(folder, lambda card: card["baselines"].clear())
    refused(folder, "must name the baselines")


def test_deep_nesting_is_a_fault_of_the_file(folder):
    (folder / "baselines.json").write_text("[" * 200_000)
    sealed_anew(folder)
    refused(folder, "does not describe baselines")
    (folder / "recipe.toml").write_text("a = " + "[" * 200_000)
    refused(folder, "is not valid TOML")
    (folder / "model.json").write_text("[" * 200_000)
    refused(folder, "is not a card")


def test_a_header_that_promises_more_than_there_is_is_refused(folder):
    """A safetensors file says its own sizes first; nothing is set aside for what it says."""
    data = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    first = next(n for n in header if n != "__metadata__")
    header[first] |= {"shape": [2**40], "data_offsets": [0, 2**42]}
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    sealed_anew(folder)
    tracemalloc.start()
    refused(folder, "is not a safetensors file")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
