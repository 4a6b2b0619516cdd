"""Page: what was measured of trust, and every miss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

ABOUT = """# How far to trust an image

`python -m benchmarks trust OUT{beds} --page docs/trust.md` made this page.
**Phantoms**: 18 of them, 7 teach, 5 validate, 6 test; T1w of 2.4 mm, prepared at 3 mm; the first
recipe is fitted with its own steps, the others for about a minute on two cores. **Real**: five
skull-stripped participants of three studies at 1 mm; the model that comes with the package, fitted
without a study, makes images of its participants, and the participants of the other two studies
calibrate its intervals. All are scored against the scans as acquired.
"""
HELD = """## What the 90 % intervals hold

Share of the voxels of people who had no part in the model, whose real value lies in the interval:
mean over images, with the lowest and the highest. *Edge* is the outer 6 mm of the mask. *Width*
is half the interval over the mean error: with normal errors 2.1 would do. *Time*: seconds of
measuring intervals and limits; their share of this fit, and of one of as many steps as the recipe
has.
"""
BROKEN = """## What the verdict catches

Broken visits through the whole program, from a BIDS dataset to the verdict. Flagged: `review`,
`fail`, or refused by preparation, by what was seen of the visit alone (no `pass` is given anyway
where held-out scores are not better than plain answers: that is not counted here). *Two*: the
visit has two scans, of which the first is broken; *one*: the image is made of the broken scan
alone. Limits and ranges know nothing of the study that is tested.
"""
LESIONS = """## Lesions

Lesions of 10 mm3 or more that the real scan shows (contrast of twice the noise around or more).
Kept: half of the real contrast or more; erased: less than a quarter. Invented: blobs above the
99th percentile of the synthetic image that the real one has not, an image. Interval: its width in
lesions against around them.
"""
VOLUMES = """## Volumes of tissue

By the tissue network of the package, from the synthetic against the real image of the same visit:
bias and 95 % limits of agreement over people, in ml and percent of the real volume, and Dice.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(r) for r in rows)]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines) + "\n"


def held_rows(name: str, coverage: pd.DataFrame, time: str) -> list[list[str]]:
    """One row a target and set of sources."""
    rows = []
    for (target, sources), own in coverage.groupby(["target", "sources"], sort=False):
        region = dict(list(own.groupby("region")))
        whole = region["mask"]
        share = 100 * whole["coverage"]
        parts = [
            f"{100 * region[r]['coverage'].mean():.0f}" if r in region else "-"
            for r in ("edge", "deep", "grey matter", "white matter", "lesion")
        ]
        width = whole["half_width"].sum() / whole["error"].sum()
        rows.append(
            [
                name,
                f"{target} from {sources.replace('+', ' + ')}",
                str(len(whole)),
                f"**{share.mean():.1f}** ({share.min():.0f} to {share.max():.0f})",
                *parts,
                f"{width:.1f}",
                time,
            ]
        )
    return rows


def held_section(rows: Sequence[Sequence[str]], means: Sequence[str]) -> str:
    """The table of intervals, and its means."""
    head = [
        "",
        "image",
        "n",
        "held, %",
        "edge",
        "deep",
        "grey",
        "white",
        "lesion",
        "width",
        "time",
    ]
    return "\n".join([HELD, table(head, rows), *means, ""])


def broken_section(beds: dict[str, pd.DataFrame]) -> str:
    """The table of faults, the misses and the false alarms."""
    names = list(dict.fromkeys(f for bed in beds.values() for f in bed["fault"]))
    columns = [(name, one) for name, bed in beds.items() for one in dict.fromkeys(bed["sources"])]
    head = ["what is broken", *(f"{name}, {sources}" for name, sources in columns)]
    rows = []
    for fault in sorted(names, key=lambda f: f == "nothing"):
        cells = [fault]
        for name, sources in columns:
            bed = beds[name]
            own = bed[(bed["fault"] == fault) & (bed["sources"] == sources)]
            cells.append(
                f"{int((own['level'] != 'pass').sum())} of {len(own)}" if len(own) else "-"
            )
        rows.append(cells)
    every = pd.concat([bed.assign(bed=name) for name, bed in beds.items()])
    wrong, clean = every[every["fault"] != "nothing"], every[every["fault"] == "nothing"]
    flagged = int((wrong["level"] != "pass").sum())
    alarms = int((clean["level"] != "pass").sum())
    shares = [100 * flagged / len(wrong), 100 * alarms / max(1, len(clean))]
    total = (
        f"In all {flagged} of {len(wrong)} broken images are flagged ({shares[0]:.0f} %, bar 95), "
        f"and {alarms} of {len(clean)} clean ones ({shares[1]:.0f} %, bar: 5).\n"
    )
    lines = [
        BROKEN,
        table(head, rows),
        total,
        "Misses:\n",
        *_told(wrong[wrong["level"] == "pass"]),
        "\nFalse alarms:\n",
        *_told(clean[clean["level"] != "pass"]),
        "",
    ]
    return "\n".join(lines)


def _told(rows: pd.DataFrame) -> list[str]:
    """Rows as a list; what was seen of each."""
    lines = []
    for row in rows.to_dict("records"):
        why = f": {row['why']}" if row["why"] else f", strangeness {row['strangeness']:.1f}"
        lines.append(f"- {row['bed']}, {row['person']}, {row['fault']}, {row['sources']}{why}")
    return lines or ["none"]


def lesion_section(tables: dict[str, pd.DataFrame]) -> str:
    """The table of lesions."""
    rows = []
    for name, lesions in tables.items():
        for (target, sources), own in lesions.groupby(["target", "sources"], sort=False):
            counts = [f"{int(own[c].sum())}" for c in ("visible", "kept", "faded", "erased")]
            ratio = [f"{own[c].median():.2f}" for c in ("contrast", "wider")]
            people = str(own["participant"].nunique())
            task = f"{target} from {sources.replace('+', ' + ')}"
            blobs = f"{own['invented'].mean():.1f}"
            rows.append([name, task, people, *counts, ratio[0], blobs, ratio[1]])
    head = ["", "image", "people", "visible", "kept", "faded", "erased", "contrast, of real"]
    return "\n".join([LESIONS, table([*head, "invented", "interval"], rows), ""])


def volume_section(tables: dict[str, pd.DataFrame]) -> str:
    """The table of volumes."""
    rows = []
    for name, volumes in tables.items():
        for row in volumes.to_dict("records"):
            task = f"{row['target']} from {row['sources'].replace('+', ' + ')}"
            limits = "-" if pd.isna(row["low"]) else f"{row['low']:+.0f} to {row['high']:+.0f}"
            rows.append(
                [
                    name, task, row["region"], str(row["participants"]), f"{row['real']:.0f}",
                    f"{row['bias']:+.0f} ({row['percent_bias']:+.1f} %)", limits,
                    f"{row['dice']:.2f}",
                ]
            )  # fmt: skip
    head = ["", "image", "tissue", "n", "real, ml", "bias", "limits, ml", "Dice"]
    return "\n".join([VOLUMES, table(head, rows), ""])


def write_page(path: Path, parts: Sequence[str], notes: Path, beds: str = "") -> None:
    """The sections, and what somebody has to say of the misses; `beds`: the option, if given."""
    told = notes.read_text("utf-8") if notes.is_file() else ""
    path.write_text(
        "\n".join([ABOUT.format(beds=beds), *parts, told]).rstrip() + "\n",
        encoding="utf-8",
    )
