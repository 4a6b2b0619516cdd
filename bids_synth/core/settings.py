"""Settings: what one run was asked to do, resolved and checked, passed as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SkullStrip = Literal["auto", "network", "template", "synthstrip", "hd-bet", "skip"]
Level = Literal["participant", "group"]


@dataclass(frozen=True)
class OutputSpace:
    """A template at a resolution: where a copy of a synthetic image is written."""

    name: str
    """Name of the space as in BIDS, e.g. MNI152NLin2009aSym."""
    resolution: str
    """Label of `res-`, e.g. 1."""
    image: Path | None = None
    """T1w of the template; None for the embedded one."""
    mask: Path | None = None
    """Brain mask of the template; None for the embedded one."""

    def __str__(self) -> str:
        return f"{self.name}:res-{self.resolution}"


@dataclass(frozen=True)
class Settings:
    """One run. Nothing reads the environment or a global; a function's inputs are these."""

    dataset: Path
    """The raw BIDS dataset; never written to."""
    output: Path
    """The derivative dataset that the run writes."""
    level: Level
    """`group` fits a model, `participant` writes images."""
    work: Path
    """Caches and intermediate files; may be deleted between runs."""
    participants: tuple[str, ...] = ()
    """Labels without `sub-`; all where empty."""
    sessions: tuple[str, ...] = ()
    """Labels without `ses-`; all where empty."""
    filter_file: Path | None = None
    """JSON of pybids filters per modality."""
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    """Name -> folder of another pipeline's derivatives."""
    database: Path | None = None
    """Folder of a pybids index to reuse or make."""
    wipe_database: bool = False
    """Make the index anew."""
    recipe: str = "impute"
    """Name or TOML file of the recipe."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """`section.key` -> value, from `--set`."""
    modalities: tuple[str, ...] = ()
    """Limit the recipe to these; all that the dataset has where empty."""
    model: str | None = None
    """Name in `output/models` or path of a model folder."""
    skull_strip: SkullStrip = "auto"
    """How the brain mask is found."""
    spaces: tuple[OutputSpace, ...] = ()
    """Templates in which copies of synthetic images are written, beside the native ones."""
    nprocs: int = 1
    """Threads in total."""
    omp_nthreads: int | None = None
    """Threads of the process that fits or synthesises; as many as `nprocs` where None."""
    memory_gb: float = 8.0
    """Memory that scheduling may plan with."""
    plugin_file: Path | None = None
    """YAML of a nipype plugin and its arguments."""
    seed: int = 1
    """Master seed of registration, splits, fitting and bootstrap."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; an explicit cuda never falls back."""
    distributed: bool = False
    """One of several processes, started by torchrun or srun, that fit one model."""
    dry_run: bool = False
    as_json: bool = False
    """The plan of a dry run is printed as JSON."""
    boilerplate_only: bool = False
    """Write the methods text and nothing else."""
    sessions_per_page: int = 4
    """Sessions above which a participant's report has one page a session."""
    report_embed: bool = False
    """A participant's report holds its figures and volumes, and needs no other file."""
    low_mem: bool = False
    """One step of one visit at a time, in a process of its own."""
    resource_monitor: bool = False
    """Note time and peak memory of each step of preparation."""
    pdb: bool = False
    """Everything in one process; a fault opens the debugger."""
    quiet: bool = False
    """Nothing is shown of how far the work is."""
    preproc_only: bool = False
    synth_only: bool = False
    evaluate: bool = False
    overwrite: bool = False
    resume: bool = True
    reports_only: bool = False
    index_only: bool = False
    """Make the page of all images anew, and nothing else."""
    sloppy: bool = False
    stop_on_first_crash: bool = False
    write_graph: bool = False
    folds: int = 1
    """Cross-validation folds; 1 is a single training/validation division."""
    fold: int | None = None
    """Fit only this fold, 0-based; the others are other jobs."""
    split_file: Path | None = None
    """TSV of participant_id and part (training, validation, test)."""
    init_from: Path | None = None
    """Model folder whose weights are the start."""
    fit_minutes: float | None = None
    """About how long the fit may take; the recipe's own steps where None."""
    tune: int = 0
    """Trials of the search of the recipe's values, with those of earlier and parallel calls; 0
    fits the recipe as it is."""
    run_id: str = ""
    """Unique name of the run, for logs and crash files."""
    version: str = ""
    """Version of bids_synth."""

    @property
    def models(self) -> Path:
        """Folder of the models fitted in this output."""
        return self.output / "models"

    @property
    def run_logs(self) -> Path:
        """Folder of what only this run writes about itself: no two jobs share it."""
        return self.output / "logs" / self.run_id
