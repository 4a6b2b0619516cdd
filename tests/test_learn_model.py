"""A model folder loads only when it is whole, unaltered and what its recipe says."""

from __future__ import annotations

import json
import shutil

import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split
from safetensors.torch import load_file, save_file

from bids_synth.errors import ModelError
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.card import CARD_FORMAT
from bids_synth.learn.model.model import load_model
from bids_synth.spatial.volume import sha256_of

WEIGHTS = "weights/fold-0_member-0.safetensors"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    people = [make_visit(folder, p, shape=(20, 20, 20)) for p in "abce"]
    return fit_model(
        toy_recipe(steps=1),
        people,
        toy_split("abc"),
        minus_error,
        folder=folder / "m",
        work=folder / "w",
        seed=1,
        device="cpu",
        dataset="toys",
        version="0.1",
        quiet=True,
    ).folder


@pytest.fixture
def folder(fitted, tmp_path):
    return shutil.copytree(fitted, tmp_path / "copy")


def edit_card(folder, change):
    card = json.loads((folder / "model.json").read_text())
    change(card)
    (folder / "model.json").write_text(json.dumps(card))


def reseal(folder, file=WEIGHTS):
    def change(card):
        card["weights"][0] |= {"file": file, "sha256": sha256_of(folder / file)}

    edit_card(folder, change)


def test_a_copied_folder_loads_and_says_what_it_is(folder):
    model = load_model(folder)
    assert model.card.format == CARD_FORMAT
    assert (model.card.dataset, model.card.version) == ("toys", "0.1")
    assert model.card.origins()[0].knows("a")
    assert not model.card.origins()[0].knows("z")
    assert "sub-a" not in (folder / "model.json").read_text()
    assert set(model.scales) == set(model.recipe.modalities)
    assert len(model.networks()) == 1


@pytest.mark.parametrize("file", ["model.json", "recipe.toml", WEIGHTS, "baselines.json"])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        load_model(folder)


def test_no_folder_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelError, match="fit one, or give --model"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("file", [WEIGHTS, "weights/baselines.safetensors", "baselines.json"])
def test_one_altered_byte_is_noticed(folder, file):
    data = bytearray((folder / file).read_bytes())
    data[-3] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(ModelError, match="altered"):
        load_model(folder)


def test_an_altered_recipe_is_noticed(folder):
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace("overlap = 0.5", "overlap = 0.25"))
    with pytest.raises(ModelError, match="sha256 differs"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(format=2), "format"),
        (lambda c: c.update(surprise=1), "surprise: unknown key"),
        (lambda c: c["weights"][0].update(extra=1), "weights.0.extra: unknown key"),
        (lambda c: c.pop("scales"), "scales"),
        (lambda c: c["scales"].pop("T1w"), "no scale for T1w"),
        (lambda c: c["scales"]["T1w"].update(gain=-1), "positive gain"),
        (lambda c: c["weights"].clear(), "weights"),
        (lambda c: c["network"].update(filters=16), "another network"),
        (lambda c: c["weights"][0].update(file="../x.safetensors"), "must lie inside"),
        (lambda c: c["weights"][0].update(file="/etc/passwd"), "must lie inside"),
    ],
)
def test_a_card_with_a_fault_is_refused(folder, change, told):
    edit_card(folder, change)
    with pytest.raises(ModelError, match=told):
        load_model(folder)


def test_a_recipe_of_an_unknown_version_is_refused(folder):
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace("version = 1", "version = 7"))
    with pytest.raises(ModelError, match="recipe is refused"):
        load_model(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.safetensors"
    (folder / WEIGHTS).rename(outside)
    (folder / WEIGHTS).symlink_to(outside)
    with pytest.raises(ModelError, match="leads outside"):
        load_model(folder)


@pytest.mark.parametrize("fault", ["renamed", "reshaped", "retyped", "added"])
def test_tensors_of_another_network_are_refused_before_loading(folder, fault):
    tensors = load_file(folder / WEIGHTS)
    name = "body.convInit.conv.weight"
    if fault == "renamed":
        tensors["body.other"] = tensors.pop(name)
    elif fault == "reshaped":
        tensors[name] = tensors[name][:4].clone()
    elif fault == "retyped":
        tensors[name] = tensors[name].double()
    else:
        tensors["extra"] = tensors[name].clone()
    save_file(tensors, folder / WEIGHTS)
    reseal(folder)
    with pytest.raises(ModelError, match="other tensors than expected"):
        load_model(folder)


def test_a_pickle_is_not_opened(folder):
    (folder / WEIGHTS).write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/never'\ntR.")
    reseal(folder)
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(folder)
