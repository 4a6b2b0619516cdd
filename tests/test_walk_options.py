"""Every option changes what a run does: one demonstration each, and none without."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bids_fixtures import make_dataset
from faults_house import LACKING, light_region, light_steps, make_house
from ready_dataset import MODALITIES, fit_options, make_ready

import bids_synth
from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.settings import Settings
from bids_synth.errors import VisitError
from bids_synth.learn.model.model import load_model
from bids_synth.pipeline import learnable
from bids_synth.pipeline.choose_recipe import chosen_recipe
from bids_synth.pipeline.discover import discover
from bids_synth.recipe.recipe import load_recipe

PACKAGE = Path(bids_synth.__file__).parent
PLANNED = (
    *("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz", "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz"),
    *("sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"),
    *("sub-02/anat/sub-02_FLAIR.nii.gz", "sub-03/anat/sub-03_T1w.nii.gz"),
)
Pair = tuple[Any, Any]
"""What was seen without the option, and with it."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """What a user sees of a run."""

    code: int
    out: str
    err: str


class Place:
    """A folder of its own with whatever a demonstration asks for, and runs of the program."""

    def __init__(self, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.models, self.patch = folder, models, monkeypatch
        monkeypatch.chdir(folder)

    def dataset(self, *paths: str, name: str = "bids") -> Path:
        return make_dataset(self.folder / name, *(paths or PLANNED))

    def house(self, name: str = "house") -> Path:
        return shutil.copytree(self.models, self.folder / name)

    def run(self, *words: object) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command([str(word) for word in words])
        return Ended(code, out.getvalue(), err.getvalue())

    def plan(self, *words: object, level: str = "participant", dataset: str = "bids") -> str:
        """The printed plan of a dry run."""
        if not (self.folder / dataset).exists():
            self.dataset(name=dataset)
        ended = self.run(dataset, "out", level, "--dry-run", *words)
        assert ended.code == 0, ended
        return ended.out

    def fill(self, house: Path, *words: object, people: tuple[str, ...] = ("z",)) -> Ended:
        """`participant` in a house, with preparation that needs no ANTs."""
        usual = {"--nprocs": "1", "--device": "cpu", "-w": house / "work"}
        more = [word for pair in usual.items() if pair[0] not in words for word in pair]
        places = [house / "bids", house / "out", "participant", "--participant-label", *people]
        return self.run(*places, *more, *words)

    def fit(self, dataset: Path, output: Path, *words: object) -> Ended:
        more = ["-w", output.parent / "work", *fit_options(steps=2, preview="false"), *words]
        return self.run(dataset, output, "group", *more)

    def settings(self, *words: object, level: str = "participant") -> Settings:
        if not (self.folder / "bids").exists():
            self.dataset()
        line = ["bids", "out", level, *map(str, words)]
        return resolve(build_parser().parse_args(line))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_house(tmp_path_factory.mktemp("models") / "house")


@pytest.fixture
def place(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    threads = torch.get_num_threads()
    with light_steps():
        yield Place(tmp_path, models, monkeypatch)
    torch.set_num_threads(threads)


def files(folder: Path, pattern: str) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(pattern))


def text_of(place: Place, *words: object, level: str = "participant") -> str:
    """The methods text of a run."""
    name = f"methods-{len(list(place.folder.iterdir()))}"
    place.dataset()
    assert place.run("bids", name, level, "--boilerplate-only", *words).code == 0
    return (place.folder / name / "logs/CITATION.md").read_text()


def planned(*words: object, level: str = "participant") -> Callable[[Place], Pair]:
    """Shows that the plan is another."""
    return lambda place: (place.plan(level=level), place.plan(*words, level=level))


def said(*words: object) -> Callable[[Place], Pair]:
    """Shows that the run says something more."""

    def show(place: Place) -> Pair:
        place.dataset()
        line = ("bids", "out", "participant", "--dry-run")
        return place.run(*line).err, place.run(*line, *words).err

    return show


def printed(word: str) -> Callable[[Place], Pair]:
    return lambda place: ("", place.run(word).out)


def other_dataset(place: Place) -> Pair:
    place.dataset("sub-09/anat/sub-09_T1w.nii.gz", name="other")
    return place.plan(), place.plan(dataset="other")


def other_output(place: Place) -> Pair:
    place.dataset()
    seen = []
    for name in ("out", "elsewhere"):
        place.run("bids", name, "participant", "--boilerplate-only", "-w", "work")
        seen.append((place.folder / name).is_dir())
        shutil.rmtree(place.folder / "out", ignore_errors=True)
    return seen[0], (place.folder / "out").is_dir()


def filtered(place: Place) -> Pair:
    place.dataset()
    Path("f.json").write_text(json.dumps({"T1w": {"session": "a"}}))
    usual, chosen = (
        discover(place.settings(*words), load_recipe("impute"))
        for words in ((), ("--bids-filter-file", "f.json"))
    )
    return [sorted(v.scans) for v in usual.visits], [sorted(v.scans) for v in chosen.visits]


def masks_of_others(place: Place) -> Pair:
    place.dataset("sub-01/anat/sub-01_T1w.nii.gz")
    name = "deriv/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    make_dataset(Path("deriv"), name.removeprefix("deriv/"))
    about = {"Name": "d", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    Path("deriv/dataset_description.json").write_text(json.dumps(about))
    usual, given = (
        discover(place.settings(*words), load_recipe("impute")).visits[0].brain_mask
        for words in ((), ("-d", "other=deriv"))
    )
    return usual, given


def index_kept(place: Place) -> Pair:
    place.plan()
    before = files(place.folder, "*.sqlite")
    place.plan("--bids-database-dir", "index")
    return before, files(place.folder, "*.sqlite")


def index_anew(place: Place) -> Pair:
    place.plan("--bids-database-dir", "index")
    place.dataset("sub-04/anat/sub-04_T1w.nii.gz")
    line = ("bids", "out", "participant", "--dry-run", "--bids-database-dir", "index")
    return [
        "has other images" in place.run(*line, *w).err for w in ((), ("--bids-database-wipe",))
    ]


def other_model(place: Place) -> Pair:
    folder = place.folder / "out/models/other"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(load_recipe("impute", {"minimum": "2"}).to_toml())
    return place.plan(), place.plan("--model", "other")


def copies(place: Place) -> Pair:
    house = place.house()
    place.fill(house)
    before = files(house / "out", "*space-*synth_T2w.nii.gz")
    ended = place.fill(house, "--output-spaces", "MNI152NLin2009aSym:res-2")
    assert ended.code == 0
    return before, files(house / "out", "*space-*synth_T2w.nii.gz")


def nothing_written(place: Place) -> Pair:
    seen = []
    for words in (("--preproc-only",), ("--preproc-only", "--dry-run")):
        house = place.house(f"house-{len(words)}")
        assert place.fill(house, *words).code == 0
        seen.append(files(house / "out", "sub-*.nii.gz"))
    return seen[0], seen[1]


def for_machines(place: Place) -> Pair:
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(place.plan())
    return None, json.loads(place.plan("--json"))["recipe"]


def only_prepared(place: Place) -> Pair:
    seen = []
    for words in ((), ("--preproc-only",)):
        house = place.house(f"house-{len(words)}")
        assert place.fill(house, *words).code == 0
        assert files(house / "out", "*desc-preproc*.nii.gz")
        seen.append(files(house / "out", "*desc-synth_*.nii.gz"))
    return seen[0], seen[1]


def only_synthesised(place: Place) -> Pair:
    one, two = place.house("one"), place.house("two")
    ends = place.fill(one), place.fill(two, "--synth-only")
    assert "is not prepared" in ends[1].out + ends[1].err
    return ends[0].code, ends[1].code


def only_pages(place: Place) -> Pair:
    seen = []
    for words in ((), ("--reports-only",)):
        house = place.house(f"house-{len(words)}")
        (house / "out/sub-z/figures").mkdir(parents=True)
        assert place.fill(house, *words).code == 0
        assert files(house / "out", "sub-z.html")
        seen.append(files(house / "out", "*.nii.gz"))
    return seen[0], seen[1]


def only_the_index(place: Place) -> Pair:
    seen = []
    for words in ((), ("--index-only",)):
        house = place.house(f"house-{len(words)}")
        assert place.fill(house, *words).code == 0
        assert files(house / "out", "index.html")
        seen.append(files(house / "out", "*.nii.gz"))
    return seen[0], seen[1]


def made_again(place: Place) -> Pair:
    house = place.house()
    place.fill(house)
    return ["up to date" in place.fill(house, *w).out for w in ((), ("--overwrite",))]


def only_methods(place: Place) -> Pair:
    house = place.house()
    place.fill(house, "--boilerplate-only")
    few = files(house / "out", "*.nii.gz")
    place.fill(house)
    return files(house / "out", "*.nii.gz"), few


def pages_of_sessions(place: Place) -> Pair:
    house = place.house()
    folder = house / "out/sub-z/figures"
    folder.mkdir(parents=True)
    for session in "AB":
        (folder / f"sub-z_ses-{session}_desc-summary_T1w.html").write_text("<p>words</p>")
    seen = []
    for words in ((), ("--aggregate-session-reports", 1)):
        place.fill(house, "--reports-only", *words)
        seen.append(files(house / "out", "sub-z_ses-*.html"))
    return seen[0], seen[1]


def one_file(place: Place) -> Pair:
    house = place.house()
    folder = house / "out/sub-z/figures"
    folder.mkdir(parents=True)
    (folder / "sub-z_desc-scans_T1w.svg").write_text('<?xml version="1.0"?><svg></svg>')
    seen = []
    for words in ((), ("--report-embed",)):
        place.fill(house, "--reports-only", *words)
        page = (house / "out/sub-z.html").read_text()
        seen.append(("./sub-z/figures" in page, "data:image/svg+xml;base64," in page))
    assert seen == [(True, False), (False, True)]
    return seen[0], seen[1]


def split_of(place: Place, *words: object) -> object:
    paths = [f"sub-{n:02}/anat/sub-{n:02}_{m}.nii.gz" for n in range(12) for m in ("T1w", "T2w")]
    place.dataset(*paths)
    settings = place.settings(*words, level="group")
    recipe = chosen_recipe(settings)
    return learnable.dataset_split(recipe, discover(settings, recipe), settings)[0]


def divided(*words: object) -> Callable[[Place], Pair]:
    return lambda place: (split_of(place), split_of(place, *words))


def divided_by_file(place: Place) -> Pair:
    rows = [f"sub-{n:02}\t{('training', 'validation', 'test')[n % 3]}\n" for n in range(12)]
    Path("s.tsv").write_text("participant_id\tpart\n" + "".join(rows))
    return split_of(place), split_of(place, "--split-file", "s.tsv")


def one_fold(place: Place) -> Pair:
    dataset, output = make_ready(place.folder / "ready")
    seen = []
    for words in (("--fold", 1), ()):
        assert place.fit(dataset, output, "--folds", 2, *words).code == 0
        seen.append([w.fold for w in load_model(output / "models/impute").card.weights])
    return seen[1], seen[0]


def from_the_start(place: Place) -> Pair:
    dataset, output = make_ready(place.folder / "ready")
    assert place.fit(dataset, output).code == 0
    fitted = []
    original = torch.optim.AdamW.step
    place.patch.setattr(
        torch.optim.AdamW, "step", lambda *a, **k: fitted.append(1) or original(*a, **k)
    )
    seen = []
    for words in ((), ("--no-resume",)):
        assert place.fit(dataset, output, *words).code == 0
        seen.append(len(fitted))
    return seen[0], seen[1]


def from_other_weights(place: Place) -> Pair:
    dataset, output = make_ready(place.folder / "ready")
    for name, (one, two) in {"before": "ce", "now": "ab"}.items():
        others = dict(zip(sorted({*"abce"} - {one, two}), ("validation", "test"), strict=True))
        parts = {one: "training", two: "training", **others}
        rows = "".join(f"sub-{p}\t{part}\n" for p, part in parts.items())
        Path(f"{name}.tsv").write_text(f"participant_id\tpart\n{rows}")
    assert place.fit(dataset, output, "--split-file", "before.tsv").code == 0
    shutil.move(output / "models/impute", place.folder / "before")
    seen, now = [], ("--split-file", "now.tsv")
    for words in (now, (*now, "--init-from", place.folder / "before")):
        assert place.fit(dataset, output, "--set", "fit.learning_rate=1e-9", *words).code == 0
        seen.append([w.sha256 for w in load_model(output / "models/impute").card.weights])
    return seen[0], seen[1]


def in_minutes(place: Place) -> Pair:
    dataset, output = make_ready(place.folder / "ready")
    steps = []
    for count, words in ((2, ()), (None, ("--fit-minutes", 0.05))):
        given = ["-w", output.parent / "work", *fit_options(steps=count, preview="false"), *words]
        assert place.run(dataset, output, "group", *given).code == 0
        steps.append(load_model(output / "models/impute").recipe.fit.steps)
    return steps[0], steps[1]


def searched(place: Place) -> Pair:
    dataset, output = make_ready(place.folder / "ready")
    space = ("--set", "tune={'fit.ema' = {choices = [0.5, 0.9]}}")
    assert place.fit(dataset, output, *space).code == 0
    before = files(output, "trials.tsv")
    assert place.fit(dataset, output, *space, "--tune", 1).code == 0
    return before, files(output, "trials.tsv")


def without_a_card(place: Place) -> Pair:
    house = place.house()
    return place.fill(house).code, place.fill(house, "--device", "cuda:99").code


def together(place: Place) -> Pair:
    place.dataset()
    line = ("bids", "out", "group", "-w", "work")
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        place.patch.delenv(name, raising=False)
    return place.run(*line).err, place.run(*line, "--distributed").err


def where_steps_run(place: Place, *words: object) -> bool:
    """Whether the steps of preparation run in this process."""
    house, note = place.house(f"house-{len(words)}"), place.folder / "pid"

    def region(*given: Any, **options: Any) -> Any:
        note.write_text(str(os.getpid()))
        return light_region(*given, **options)

    with light_steps(region):
        assert place.fill(house, "--preproc-only", *words).code == 0
    return note.read_text() == str(os.getpid())


def several_processes(place: Place) -> Pair:
    return where_steps_run(place), where_steps_run(place, "--nprocs", 2)


def other_plugin(place: Place) -> Pair:
    Path("p.yml").write_text("plugin: Linear\n")
    asked = ("--nprocs", 2)
    return where_steps_run(place, *asked), where_steps_run(place, *asked, "--use-plugin", "p.yml")


def threads_of_networks(place: Place) -> Pair:
    seen = []
    for words in ((), ("--omp-nthreads", 2)):
        torch.set_num_threads(1)
        place.fill(place.house(f"house-{len(words)}"), "--synth-only", "--nprocs", 3, *words)
        seen.append(torch.get_num_threads())
    assert seen[1] == 2
    return seen[0], seen[1]


def side_by_side(place: Place, *words: object, patience: float) -> bool:
    """Whether a step of one visit begins while that of another runs."""
    house = place.house(f"house-{len(words)}")
    notes = place.folder / f"notes-{len(words)}"
    notes.mkdir()

    def region(reference: Path, *given: Any, **options: Any) -> Any:
        (notes / reference.parent.parent.name).touch()
        stop = time.monotonic() + patience
        while len(list(notes.glob("sub-*"))) < 2 and time.monotonic() < stop:
            time.sleep(0.02)
        if len(list(notes.glob("sub-*"))) == 2:
            (notes / f"met-{os.getpid()}").touch()
        else:
            (notes / reference.parent.parent.name).unlink()
        return light_region(reference, *given, **options)

    with light_steps(region):
        ended = place.fill(house, "--preproc-only", "--nprocs", 2, *words, people=LACKING)
    assert ended.code == 0, ended
    return bool(list(notes.glob("met-*")))


def with_little_memory(*words: object) -> Callable[[Place], Pair]:
    return lambda place: (
        side_by_side(place, patience=60),
        side_by_side(place, *words, patience=1),
    )


def resources_told(place: Place) -> Pair:
    house = place.house()
    place.fill(house, "--preproc-only")
    before = files(house / "out", "resources.tsv")
    place.fill(house, "--preproc-only", "--resource-monitor", "--overwrite", "-w", "other")
    return before, [Path(p).name for p in files(house / "out", "resources.tsv")]


def quick_and_coarse(place: Place) -> Pair:
    return text_of(place, level="group"), text_of(place, "--sloppy", level="group")


def caches_elsewhere(place: Place) -> Pair:
    place.dataset()
    line = ("bids", "out", "participant", "--boilerplate-only")
    place.run(*line)
    before = files(place.folder, "elsewhere")
    place.run(*line, "-w", "elsewhere")
    return before, files(place.folder, "elsewhere")


def options_of_a_file(place: Place) -> Pair:
    Path("o.toml").write_text("[execution]\nparticipant_label = ['02']\n")
    return place.plan(), place.plan("--config-file", "o.toml")


def emptied(place: Place) -> Pair:
    place.dataset()
    seen = []
    for words in ((), ("--clean-workdir",)):
        Path("work").mkdir(exist_ok=True)
        Path("work/mine").touch()
        place.run("bids", "out", "participant", "--boilerplate-only", *words)
        seen.append(Path("work/mine").exists())
    return seen[0], seen[1]


def visits_begun(place: Place, *words: object) -> int:
    """How many visits were begun where every one fails."""
    begun: list[str] = []

    def region(reference: Path, *_: Any, **__: Any) -> Any:
        begun.append(reference.name)
        message = "planted"
        raise VisitError(message)

    with light_steps(region):
        ended = place.fill(
            place.house(f"house-{len(words)}"), "--preproc-only", *words, people=LACKING
        )
    assert ended.code == 1
    return len(begun)


def stopped_early(place: Place) -> Pair:
    return visits_begun(place), visits_begun(place, "--stop-on-first-crash")


def drawn(place: Place) -> Pair:
    seen = []
    for words in ((), ("--write-graph",)):
        house = place.house(f"house-{len(words)}")
        place.fill(house, "--preproc-only", *words)
        seen.append([Path(p).name for p in files(house / "out/logs", "graph.dot")])
    return seen[0], seen[1]


def debugged(place: Place) -> Pair:
    calls: list[object] = []
    place.patch.setattr("pdb.post_mortem", lambda _: calls.append(1))
    counts = []
    for words in ((), ("--debug", "pdb")):
        visits_begun(place, *words)
        counts.append(len(calls))
    return counts[0], counts[1]


def more_words(place: Place) -> Pair:
    def planted(*_: object) -> None:
        message = "planted"
        raise ZeroDivisionError(message)

    place.dataset()
    place.patch.setattr("bids_synth.cli.main._start", planted)
    line = ("bids", "out", "participant", "-w", "work")
    return tuple("Traceback" in place.run(*line, *words).err for words in ((), ("-v",)))


def fewer_words(place: Place) -> Pair:
    house = place.house()
    seen = [place.fill(house, "--overwrite", *words) for words in ((), ("--quiet",))]
    assert [ended.code for ended in seen] == [0, 0]
    return seen[0].err, seen[1].err


def networks_of_others(place: Place) -> Pair:
    place.dataset()
    line = ("bids", "out", "participant", "--boilerplate-only", "-w", "work")
    return tuple(place.run(*line, *words).code for words in ((), ("--own-network", "nowhere:No")))


def levels(place: Place) -> Pair:
    place.dataset(*(f"sub-0{n}/anat/sub-0{n}_{m}.nii.gz" for n in range(4) for m in MODALITIES))
    return place.plan(), place.plan(level="group")


SHOWN: dict[str, Callable[[Place], Pair]] = {
    "help": printed("--help"),
    "version": printed("--version"),
    "list_recipes": printed("--list-recipes"),
    "list_models": printed("--list-models"),
    "bids_dir": other_dataset,
    "output_dir": other_output,
    "analysis_level": levels,
    "participant_label": planned("--participant-label", "02"),
    "session_label": planned("--session-label", "b"),
    "modalities": planned("-m", "T1w", "T2w"),
    "bids_filter_file": filtered,
    "derivatives": masks_of_others,
    "bids_database_dir": index_kept,
    "bids_database_wipe": index_anew,
    "skip_bids_validation": said("--skip-bids-validation"),
    "notrack": said("--notrack"),
    "recipe": lambda place: (text_of(place), text_of(place, "--recipe", "mmgan", level="group")),
    "set": lambda place: (text_of(place), text_of(place, "--set", "minimum=2", level="group")),
    "model": other_model,
    "own_network": networks_of_others,
    "skull_strip": lambda place: (text_of(place), text_of(place, "--skull-strip", "template")),
    "output_spaces": copies,
    "dry_run": nothing_written,
    "json": for_machines,
    "preproc_only": only_prepared,
    "synth_only": only_synthesised,
    "reports_only": only_pages,
    "index_only": only_the_index,
    "evaluate": planned("--evaluate"),
    "overwrite": made_again,
    "boilerplate_only": only_methods,
    "aggregate_session_reports": pages_of_sessions,
    "report_embed": one_file,
    "folds": divided("--folds", 3),
    "fold": one_fold,
    "split_file": divided_by_file,
    "resume": from_the_start,
    "init_from": from_other_weights,
    "fit_minutes": in_minutes,
    "tune": searched,
    "device": without_a_card,
    "distributed": together,
    "nprocs": several_processes,
    "omp_nthreads": threads_of_networks,
    "mem": with_little_memory("--mem", "2G"),
    "low_mem": with_little_memory("--low-mem"),
    "resource_monitor": resources_told,
    "use_plugin": other_plugin,
    "sloppy": quick_and_coarse,
    "work_dir": caches_elsewhere,
    "config_file": options_of_a_file,
    "clean_workdir": emptied,
    "random_seed": divided("--random-seed", 2),
    "stop_on_first_crash": stopped_early,
    "write_graph": drawn,
    "debug": debugged,
    "verbose": more_words,
    "quiet": fewer_words,
    "print_completion": lambda place: ("", place.run("--print-completion", "bash").out),
}
"""Destination of an option -> what is seen without it and with it."""


def test_every_option_is_shown_to_do_something() -> None:
    told = {a.dest: "/".join(a.option_strings) or a.dest for a in build_parser()._actions}
    missing = [f"{dest} ({told[dest]})" for dest in told if dest not in SHOWN]
    assert not missing, f"add to SHOWN a demonstration of what these change: {missing}"
    assert not set(SHOWN) - set(told), "these are no options any more"


SLOW = (
    *("fold", "init_from", "low_mem", "mem", "nprocs", "output_spaces", "overwrite", "resume"),
    *("synth_only", "tune", "use_plugin"),
)


@pytest.mark.parametrize(
    "dest", [pytest.param(d, marks=[pytest.mark.slow] if d in SLOW else []) for d in SHOWN]
)
def test_an_option_changes_what_a_run_does(dest: str, place: Place) -> None:
    usual, other = SHOWN[dest](place)
    assert usual != other


def reads(*names: str) -> Iterator[tuple[str, str]]:
    """(module, attribute) of every attribute that the package reads."""
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        if module not in names:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    yield module, node.attr


def test_every_setting_is_read_by_what_runs() -> None:
    """A name that is also another thing's may hide one; the demonstrations above do not."""
    read = {
        name for module, name in reads("core/settings.py") if not module.startswith("cli/resolve")
    }
    unread = [f.name for f in dataclasses.fields(Settings) if f.name not in read]
    assert not unread, f"settings that nothing reads: {unread}"
