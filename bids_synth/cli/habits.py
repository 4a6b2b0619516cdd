"""Habits: options of other BIDS Apps, understood, or refused with what to use instead."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from bids_synth.errors import did_you_mean

MEGABYTES = ("--mem-mb", "--mem_mb")
"""Spellings that say the unit themselves."""
_ANATOMICAL = "is for functional or diffusion images; leave it out"
_SURFACES = "no surfaces are made and no FreeSurfer licence is needed; leave it out"
_SESSIONS = "every session is prepared by itself; leave it out, or choose with --session-label"
_STRIP = "use --skull-strip auto, template, synthstrip, hd-bet or skip"
_NOTHING_SENT = "nothing is ever measured or sent; leave it out"
_WORDS: Mapping[str, Sequence[str]] = {
    _ANATOMICAL: (
        *("-t", "--task-id", "--task_id", "--echo-idx", "--echo_idx", "--bold2anat-init"),
        *("--bold2anat-dof", "--bold2t1w-init", "--bold2t1w-dof", "--slice-time-ref"),
        *("--dummy-scans", "--fallback-total-readout-time", "--me-t2s-fit-method"),
        *("--me-output-echos", "--return-all-components", "--fd-spike-threshold"),
        *("--dvars-spike-threshold", "--fmap-bspline", "--fmap-no-demean", "--use-syn-sdc"),
        *("--force-syn", "--force-bbr", "--force-no-bbr", "--use-aroma", "--ignore", "--fd_thres"),
        *("--reference-frame", "--pet2anat-dof", "--hmc-start-time"),
    ),
    _SURFACES: (
        *("--fs-license-file", "--fs-subjects-dir", "--fs-no-reconall", "--fs-no-resume"),
        *("--submm-recon", "--no-submm-recon", "--cifti-output", "--msm", "--no-msm"),
        *("--medial-surface-nan", "--project-goodvoxels"),
    ),
    _SESSIONS: (
        *("--subject-anatomical-reference", "--longitudinal"),
        *("--track-sessions", "--no-track-sessions"),
    ),
    _STRIP: (
        *("--skull-strip-template", "--skull-strip-fixed-seed", "--skull-strip-t1w"),
        *("--skull-strip-mode", "--force"),
    ),
    _NOTHING_SENT: ("--track-carbon", "--country-code", "--no-sub", "--email", "--upload-strict"),
    "only anatomical and PET images are read; leave it out": ("--anat-only",),
    "use --preproc-only, --synth-only or --reports-only": ("--level", "--fast-track"),
    "use --boilerplate-only; no pandoc is needed": ("--md-only-boilerplate",),
    "the output is always laid out as BIDS-Derivatives; leave it out": ("--output-layout",),
    "pages are made from output_dir as it is: use --reports-only": ("--run-uuid",),
    "use --resource-monitor": ("--profile",),
    "use --mem with a unit, such as 16G": ("--mem-gb", "--mem_gb"),
    "nothing is fetched; run `datalad get` before": ("--no-datalad-get",),
    "use --device": ("--gpu", "--viewagg_device", "--viewagg-device"),
    "use --nprocs": ("--threads", "--n-threads", "--n_threads"),
    "use --participant-label": ("--subject-label", "--subject_label"),
    "use --output-spaces": ("--template",),
    "use --bids-filter-file": ("--filter-file",),
}
INSTEAD: Mapping[str, str] = {option: hint for hint, names in _WORDS.items() for option in names}
"""Option of another BIDS App that is none here -> what to do instead."""


class Parser(argparse.ArgumentParser):
    """Says what to use instead where another BIDS App's option ends the run."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self._arguments: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; notes the words, of which `error` is not told."""
        self._arguments = [str(word) for word in args or ()]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with 2: the fault, what may have been meant, and what stands for another App's."""
        names = dict.fromkeys(word.partition("=")[0] for word in self._arguments)
        lines = [f"{name}: {INSTEAD[name]}" for name in names if name in INSTEAD]
        text = "\n  - ".join([message + self._meant(message, names), *lines])
        if "required" in message:
            text += "\nusage: bids_synth bids_dir output_dir {participant,group} [options]; --help"
        self.exit(2, f"{self.prog}: error: {text}\n")

    def _meant(self, message: str, names: Iterable[str]) -> str:
        """A question where a word of the line is nearly one that is known."""
        if choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            return did_you_mean(choice[1], re.findall(r"[\w.-]+", choice[2]))
        known = [o for o in self._option_string_actions if o.startswith("--")]
        strange = [n for n in names if n.startswith("--") and n not in known and n not in INSTEAD]
        return "".join(did_you_mean(name, known) for name in strange)


class Size(argparse.Action):
    """Keeps a size as text; a bare number means megabytes where the option says so."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Put the size with its unit into the namespace."""
        bare = option_string in MEGABYTES and re.fullmatch(r"\s*\d+(\.\d+)?\s*", values)
        setattr(namespace, self.dest, f"{values.strip()}M" if bare else values)


def notes(arguments: argparse.Namespace, nprocs: int) -> list[str]:
    """One line for every option that was given and changes nothing in this run."""
    lines = []
    if arguments.skip_bids_validation:
        lines.append("--skip-bids-validation: no validator runs here; what is read is checked")
    if arguments.notrack:
        lines.append("--notrack: nothing is ever tracked")
    if (arguments.omp_nthreads or 0) > nprocs:
        lines.append(f"--omp-nthreads {arguments.omp_nthreads}: held to --nprocs, {nprocs}")
    if arguments.analysis_level == "group":
        lines += [
            f"--{name.replace('_', '-')}: is for participant; group writes none"
            for name, usual in (("output_spaces", ["native"]), ("aggregate_session_reports", 4))
            if getattr(arguments, name) != usual
        ]
    return lines
