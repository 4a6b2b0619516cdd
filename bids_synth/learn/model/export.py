"""Export: gather the fitted members into one model folder, which appears whole."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bids_synth.core.fingerprint import fingerprints
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import SUVR, Scale, median_scale
from bids_synth.core.split import Split
from bids_synth.core.visit import Prepared
from bids_synth.errors import UsageError
from bids_synth.learn.baselines.baselines import Baselines
from bids_synth.learn.data.training_statistics import figures, training_ranges
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.preview import FILE
from bids_synth.learn.fit.record import rows_to_tsv
from bids_synth.learn.model.card import (
    Card,
    FileEntry,
    StartEntry,
    WeightsEntry,
    hash_label,
    hash_scan,
    library_versions,
)
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.networks import network_parameters
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import sha256_of, write_text
from bids_synth.system.atomic import part_of

ATTEMPTS = 20
"""Times that a folder is swapped while other jobs swap it too."""


def member_name(fold: int, number: int) -> str:
    """What the files of a member are called.

    >>> member_name(0, 1)
    'fold-0_member-1'
    """
    return f"fold-{fold}_member-{number}"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything that goes into a model folder."""

    recipe: Recipe
    split: Split
    key: str
    """Digest of all that decides the fit."""
    members: Sequence[Member]
    """The finished ones."""
    training: Sequence[Prepared]
    """Visits of training participants of any fold."""
    baselines: Baselines
    dataset: str
    version: str
    seen: Sequence[Prepared] = ()
    """Visits of training and validation participants: all that the weights have seen."""
    start: Card | None = None
    """Of the model that the fit began from."""


def population_scales(recipe: Recipe, training: Sequence[Prepared]) -> dict[str, Scale]:
    """Median scale of each modality; UsageError where no training visit has one of them."""
    by_modality = {m: [p.scales[m] for p in training if m in p.scales] for m in recipe.modalities}
    if lacking := [m for m, scales in by_modality.items() if not scales]:
        have = [m for m in recipe.modalities if m not in lacking]
        message = (
            f"no training participant has a {' or a '.join(lacking)}; limit the recipe to what "
            f"the dataset has: --modalities {' '.join(have)}"
        )
        raise UsageError(message)
    medians = {m: median_scale(scales) for m, scales in by_modality.items()}
    # What is written is the ratio itself, in which the mean of the region is 1.
    return {m: Scale(0.0, SUVR) if recipe.unit(m) == "SUVR" else s for m, s in medians.items()}


def tracer_of(recipe: Recipe, training: Sequence[Prepared]) -> str:
    """The tracer of the PETs that the recipe makes, where all training visits have the same."""
    pets = [m for m in recipe.targets if MODALITIES[m].datatype == "pet"]
    scans = [p.visit.scans[m] for p in training for m in pets if m in p.visit.scans]
    tracers = {scan.entities.get("trc", "") for scan in scans}
    return tracers.pop() if len(tracers) == 1 else ""


def export(fitted: Fitted, folder: Path) -> Model:
    """Write the folder beside its place, open it, then put it there by rename."""
    with part_of(folder, folder=True) as part:
        _fill(fitted, part, folder.name)
        model = load_model(part)
        _put(part, folder)
        return replace(model, folder=folder)


def _put(part: Path, folder: Path) -> None:
    """Swap the folders; other folds may be put there by other jobs at the same moment."""
    for attempt in range(ATTEMPTS):
        old = part / f"old-{attempt}"
        with suppress(FileNotFoundError):
            folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
        try:
            part.rename(folder)
        except OSError as error:
            if attempt + 1 == ATTEMPTS or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return


def _fill(fitted: Fitted, folder: Path, name: str) -> None:
    write_text(fitted.recipe.to_toml(), folder / "recipe.toml")
    write_text(fitted.split.to_tsv(), folder / "split.tsv")
    fitted.baselines.save(folder)
    entries, starts, rows = [], [], []
    for member in fitted.members:
        data = member.fitted()
        if data is not None:
            file = f"weights/{member_name(member.fold, member.number)}.safetensors"
            shutil.copyfile(member.weights, folder / file)
            rows += data["rows"]
            entries.append(_entry(folder, file, member, data["score"], data["epoch"]))
            if member.start.is_file():
                starts.append(_start(folder, member))
    write_text(rows_to_tsv(rows), folder / "training.tsv")
    _copy_logs(fitted, folder / "logs")
    card = _card(fitted, folder, name, entries, starts)
    write_text(card.text(), folder / "model.json")


def _entry(
    folder: Path, file: str, member: Member, score: float | None, epoch: int
) -> WeightsEntry:
    digest = sha256_of(folder / file)
    return WeightsEntry(
        file=file, sha256=digest, fold=member.fold, member=member.number, score=score, epoch=epoch
    )


def _start(folder: Path, member: Member) -> StartEntry:
    file = f"weights/start_{member_name(member.fold, member.number)}.safetensors"
    shutil.copyfile(member.start, folder / file)
    digest = sha256_of(folder / file)
    return StartEntry(file=file, sha256=digest, fold=member.fold, member=member.number)


def _card(
    fitted: Fitted,
    folder: Path,
    name: str,
    weights: list[WeightsEntry],
    starts: list[StartEntry],
) -> Card:
    salt = hashlib.sha256(f"salt:{fitted.key}".encode()).hexdigest()[:32]
    training = frozenset().union(*(f.training for f in fitted.split.folds))
    validation = frozenset().union(*(f.validation for f in fitted.split.folds))
    seen = [figures(p, tuple(fitted.recipe.modalities)) for p in fitted.training]
    return Card(
        name=name,
        version=fitted.version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=fitted.dataset,
        tracer=tracer_of(fitted.recipe, fitted.training),
        recipe=sha256_of(folder / "recipe.toml"),
        fit=fitted.key,
        network=network_parameters(fitted.recipe),
        scales=population_scales(fitted.recipe, fitted.training),
        weights=weights,
        start=starts,
        baselines=[
            FileEntry(file=f, sha256=sha256_of(folder / f))
            for f in ("baselines.json", "weights/baselines.safetensors")
        ],
        salt=salt,
        training=sorted(hash_label(salt, p) for p in training),
        validation=sorted(hash_label(salt, p) for p in validation),
        scans=_scans(fitted.seen, salt),
        ancestors=list(fitted.start.origins()) if fitted.start else [],
        ranges=training_ranges(seen),
        libraries=library_versions(),
    )


def _scans(seen: Sequence[Prepared], salt: str) -> list[str]:
    return sorted({hash_scan(salt, content) for p in seen for content in fingerprints(p).values()})


def _copy_logs(fitted: Fitted, folder: Path) -> None:
    for member in fitted.members:
        events = sorted(member.events.glob("events.out.tfevents.*"))
        place = folder / member_name(member.fold, member.number)
        place.mkdir(parents=True, exist_ok=True)
        if (member.place / FILE).is_file():
            shutil.copyfile(member.place / FILE, place / FILE)
        for number, path in enumerate(events):
            # The original name holds the name of the computer, which is nobody's business.
            shutil.copyfile(
                path, place / f"events.out.tfevents.{path.name.split('.')[3]}.{number}"
            )
