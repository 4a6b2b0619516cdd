"""Site: a dataset's own scans say how bright tissues are, each but the participant's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from ready_dataset import MODALITIES, make_ready

from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError
from bids_synth.pipeline.visit import site as module
from bids_synth.pipeline.visit.site import FILE, SiteLevels
from bids_synth.recipe.recipe import load_recipe

RECIPE = load_recipe("impute").limited_to(MODALITIES)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    dataset, output = make_ready(tmp_path)
    work = tmp_path / "work"
    return Settings(dataset, output, "participant", work, seed=1)


def refuse(*_: object) -> None:
    message = "nothing may be prepared"
    raise UsageError(message)


def test_nobody_is_a_donor_of_its_own_image(settings: Settings) -> None:
    site = SiteLevels(RECIPE, settings).of("T2w", "b")
    assert site is not None
    assert site.donors == ("a", "c")
    everybody = SiteLevels(RECIPE, settings).of("T2w", "stranger")
    assert everybody is not None
    assert everybody.donors == ("a", "b", "c")


def test_what_one_job_has_found_the_next_takes_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SiteLevels(RECIPE, settings).of("T2w", "b")
    assert (settings.output / "logs" / FILE).is_file()
    monkeypatch.setattr(module, "prepare_reduced", refuse)
    monkeypatch.setattr(module, "earlier", refuse)
    assert SiteLevels(RECIPE, settings).of("T2w", "b") == first


def test_a_modality_that_nobody_has_and_a_quantity_have_no_site(settings: Settings) -> None:
    assert SiteLevels(load_recipe("impute"), settings).of("FLAIR", "a") is None
    assert SiteLevels(load_recipe("cmro2"), settings).of("cmro2", "a") is None
