"""A fitted model under another evaluation: nothing is fitted anew and nothing finished goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.split import Fold, Split
from bids_synth.errors import RecipeError
from bids_synth.learn.fit import renew
from bids_synth.learn.fit.fit import fit_key, fit_model
from bids_synth.learn.model.model import Model, load_model
from bids_synth.recipe.recipe import Recipe, load_recipe, recipe_names, validate_recipe
from bids_synth.recipe.sections.taught import UNTAUGHT

PEOPLE = "abce"
OTHER = {
    "evaluation.protocols": ["masked3d", "slices"],
    "evaluation.bootstrap": 123,
    "synthesis.overlap": 0.3,
    "fit.preview": False,
    "fit.test": 0.3,
    "fit.validation": 0.3,
    "fit.stratify": ["site"],
    "task": "other words",
    "source": "another paper",
    "name": "renamed",
}


def fit(folder: Path, recipe: Recipe, split: Split | None = None, **options) -> Model:
    people = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    return fit_model(
        recipe,
        people,
        split or toy_split("abc"),
        minus_error,
        folder=folder / "models" / "toy",
        work=folder / "work",
        seed=5,
        device="cpu",
        quiet=True,
        **options,
    )


def fitted_files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of all that a fit has made."""
    kept = {"training.tsv", "baselines.json"}
    files = [p for p in folder.rglob("*") if p.is_file()]
    fitted = [p for p in files if p.name in kept or p.suffix == ".safetensors"]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in fitted}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    fit(folder, toy_recipe(steps=2, steps_per_epoch=2))
    return folder


def test_another_evaluation_takes_no_step_and_is_what_the_folder_says(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(first / "models" / "toy")
    before = fitted_files(first)

    def never(*_: object, **__: object) -> None:
        pytest.fail("fitted again")

    monkeypatch.setattr("bids_synth.learn.fit.fit.fit_member", never)
    changed = model.recipe.with_values(OTHER)
    split = Split(frozenset("yz"), (Fold(frozenset("abc"), frozenset("e")),))
    again = fit(first, changed, split)
    assert fitted_files(first) == before
    assert again.recipe == changed == load_model(again.folder).recipe
    assert (again.folder / "split.tsv").read_text() == split.to_tsv()
    assert again.card.model_copy(update={"recipe": model.card.recipe}) == model.card
    assert sorted(p.name for p in (first / "models").iterdir()) == ["toy"]


def test_a_kill_between_any_two_of_its_files_leaves_a_whole_model(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(first / "models" / "toy")
    write = renew.write_text
    for allowed in range(4):
        left = [allowed]

        def killed(text: str, path: Path, left: list[int] = left) -> Path:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return write(text, path)

        changed = model.recipe.with_values({"task": f"words {allowed}"})
        split = Split(frozenset(str(allowed)), (Fold(frozenset("abc"), frozenset("e")),))
        with monkeypatch.context() as patch:
            patch.setattr(renew, "write_text", killed)
            with pytest.raises(KeyboardInterrupt):
                fit(first, changed, split)
        assert load_model(model.folder).sha256 == model.sha256
        assert fit(first, changed, split).recipe == changed
        assert load_model(model.folder).card.earlier == []


def test_every_key_of_every_recipe_is_of_the_key_unless_it_is_declared(first: Path) -> None:
    """Change one leaf at a time: the key of the fit changes where, and only where, it teaches."""
    people = [make_visit(first / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]

    def key(recipe: Recipe) -> str:
        return fit_key(recipe, people, toy_split("abc"), seed=5)

    looked = set()
    for name in recipe_names():
        recipe = load_recipe(name)
        for dotted, value in leaves(recipe.model_dump(mode="json", exclude={"tune"})):
            other = changed_leaf(recipe, dotted, value)
            if other is None:
                continue
            silent = any(dotted == k or dotted.startswith(f"{k}.") for k in UNTAUGHT)
            assert (key(other) == key(recipe)) is silent, (name, dotted)
            looked.add(dotted)
    assert {"evaluation.protocols", "synthesis.overlap", "fit.preview", "fit.steps"} <= looked


def leaves(data: dict, prefix: str = "") -> list[tuple[str, object]]:
    found = []
    for name, value in data.items():
        if isinstance(value, dict):
            found += leaves(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def changed_leaf(recipe: Recipe, dotted: str, value: object) -> Recipe | None:
    """The recipe with some other allowed value of a key; None where none was found."""
    tried: list[object] = []
    if isinstance(value, bool):
        tried = [not value]
    elif isinstance(value, int | float):
        tried = [value + 1, value * 2, value / 2, value * 0.9, value + 0.01, value - 1]
    elif dotted == "evaluation.protocols":
        tried = [["slices"], ["masked3d"]]
    elif isinstance(value, str):
        tried = ["other", "linear", "constant", "head", "brain", "mask", "none", "all"]
    elif isinstance(value, list) and value:
        tried = [[v * 2 for v in value] if not isinstance(value[0], str | list) else value[1:]]
    for one in tried:
        if one != value:
            try:
                return recipe.with_values({dotted: one})
            except RecipeError:
                continue
    return None


def test_the_order_of_modalities_is_of_the_key() -> None:
    data = load_recipe("impute").model_dump(mode="json")
    turned = data | {"modalities": dict(reversed(data["modalities"].items()))}
    one, other = (validate_recipe(d, origin="test") for d in (data, turned))
    assert one.taught() != other.taught()


def test_who_is_only_tested_or_could_not_be_prepared_is_not_of_the_key(first: Path) -> None:
    people = [make_visit(first / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    keys = {
        fit_key(toy_recipe(), people, Split(frozenset(test), (fold,)), seed=5)
        for test in ("", "z", "xyz")
        for fold in (
            Fold(frozenset("abc"), frozenset("e")),
            Fold(frozenset("abcq"), frozenset("e")),
        )
    }
    assert len(keys) == 1


def test_another_fit_moves_the_finished_one_aside_with_all_that_is_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = fit(tmp_path, toy_recipe(steps=1, steps_per_epoch=1))
    (old.folder / "metrics.tsv").write_text("scores of the first")
    files = {p.relative_to(old.folder): p.read_bytes() for p in old.folder.rglob("*.*")
             if p.is_file()}  # fmt: skip
    new = fit(tmp_path, toy_recipe(steps=2, steps_per_epoch=2))
    aside = tmp_path / "models" / f"toy-{old.card.fit[:8]}"
    assert str(aside) in caplog.text
    assert {p.relative_to(aside): p.read_bytes() for p in aside.rglob("*.*")
            if p.is_file()} == files  # fmt: skip
    assert load_model(aside).sha256 == old.sha256
    assert new.folder == old.folder
    assert not (new.folder / "metrics.tsv").exists()
    back = fit(tmp_path, toy_recipe(steps=1, steps_per_epoch=1))
    assert back.sha256 == old.sha256
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == sorted(
        ["toy", aside.name, f"toy-{new.card.fit[:8]}"]
    )
    fit(tmp_path, toy_recipe(steps=2, steps_per_epoch=2), overwrite=True, resume=False)
    assert len(list((tmp_path / "models").iterdir())) == 3


def test_a_model_can_go_on_from_the_one_that_it_moves_aside(tmp_path: Path) -> None:
    old = fit(tmp_path, toy_recipe(steps=1, steps_per_epoch=1))
    new = fit(tmp_path, toy_recipe(steps=1, steps_per_epoch=1), init_from=old.folder)
    assert new.card.fit != old.card.fit


def test_cards_of_before_are_read(first: Path) -> None:
    path = first / "models" / "toy" / "model.json"
    card = json.loads(path.read_text())
    del card["earlier"]
    path.write_text(json.dumps(card))
    assert load_model(path.parent).card.earlier == []
