"""Habits: options of other BIDS Apps, understood, or refused with what to use instead."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
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
    """Collects all that is wrong with a command line, and knows the options of other BIDS Apps.

    Values that an option cannot take are kept in `faults`, the option at its default, so that
    whoever checks the rest tells everything at once. Exits with 2 only where it is not clear
    which word is what.
    """

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self.faults: list[str] = []
        self._arguments: list[str] = []

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, but for what is noted in `faults`."""
        self.faults = []
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            self.faults += self._unknown(rest)
        if self.faults and parsed.analysis_level is None:
            self.error(self.faults[0])
        return parsed

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; notes the words, of which `error` is not told."""
        self._arguments = [str(word) for word in args or ()]
        return super().parse_known_args(args, namespace)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        try:
            return super()._get_values(action, arg_strings)
        except argparse.ArgumentError as error:
            self.faults.append(_fault(action, arg_strings, error))
            return action.default

    def error(self, message: str) -> NoReturn:
        """Exit with 2: every fault, and what stands for the options of other Apps."""
        faults = list(dict.fromkeys([*self.faults, message]))
        told = "\n".join(faults)
        asides = [line for line in self._instead() if line not in told]
        lines = [*faults, *asides]
        text = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  - {x}" for x in lines)
        if "required" in message:
            text += "\nusage: bids_synth bids_dir output_dir {participant,group} [options]; --help"
        self.exit(2, f"{self.prog}: error:{text}\n")

    def _unknown(self, rest: Sequence[str]) -> list[str]:
        known = [o for o in self._option_string_actions if o.startswith("--")]
        names = [word.partition("=")[0] for word in rest if word.startswith("--")]
        meant = [did_you_mean(name, known) for name in names if name not in INSTEAD]
        return [f"unrecognized arguments: {' '.join(rest)}{''.join(meant)}", *self._instead()]

    def _instead(self) -> list[str]:
        names = dict.fromkeys(word.partition("=")[0] for word in self._arguments)
        return [f"{name}: {INSTEAD[name]}" for name in names if name in INSTEAD]


def _fault(action: argparse.Action, words: Sequence[str], error: argparse.ArgumentError) -> str:
    """What is wrong with the values of an option, in the words of the other checks."""
    name = next((s for s in action.option_strings if s.startswith("--")), action.dest)
    given = " ".join(words)
    if action.choices is not None:
        known = [str(choice) for choice in action.choices]
        odd = [word for word in words if word not in known]
        meant = "".join(did_you_mean(word, known) for word in odd)
        return f"{name} {given}: expected {_one_of(known)}{meant}"
    kinds = {int: "a whole number", float: "a number"}
    if action.type in kinds:
        return f"{name} {given}: expected {kinds[action.type]}"
    return f"{name} {given}: {error.message}"


def _one_of(words: Sequence[str]) -> str:
    """Words as they are offered.

    >>> _one_of(["cpu", "cuda", "auto"])
    'cpu, cuda or auto'
    """
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


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
