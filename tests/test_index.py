"""Index: what the page and the table say is what the sidecars say, whoever made them and when."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from index_outputs import fill, put, sidecar

from bids_synth.bids.derivatives import verdicts
from bids_synth.bids.derivatives.verdicts import images_of, more_participants_than
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Visit
from bids_synth.pipeline.visit import index
from bids_synth.report.figures.strips import strips

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")


@pytest.fixture
def output(tmp_path) -> Path:
    fill(tmp_path / "out")
    return tmp_path / "out"


def settings_of(output: Path) -> Settings:
    return Settings(output.parent / "bids", output, "participant", output.parent / "work")


def table_of(output: Path) -> list[dict[str, str]]:
    with (output / "verdicts.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def data_of(output: Path) -> dict:
    text = (output / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def read_independently(output: Path) -> dict[str, dict]:
    """Image -> sidecar, by a walk over everything that lies there."""
    found = {}
    for path in output.rglob("*_desc-synth_*.json"):
        try:
            content = json.loads(path.read_text())
        except ValueError:
            continue
        if "_res-" not in path.name:
            found[str(path.relative_to(output)).replace(".json", ".nii.gz")] = content
    return found


def test_table_and_page_say_what_the_sidecars_say(output):
    summary = index.only_index(settings_of(output))
    assert summary.done[0].endswith("6 images: 4 pass, 1 review, 1 fail")
    expected, page = read_independently(output), data_of(output)
    table = {row["image"]: row for row in table_of(output)}
    listed = {row["image"]: row for row in page["rows"]}
    assert table.keys() == listed.keys() == expected.keys()
    for image, content in expected.items():
        verdict, doubt = content["QualityVerdict"], content["Uncertainty"].get("MedianInMask")
        score = content.get("Scores", [{}])[0]
        row, shown = table[image], listed[image]
        assert row["verdict"] == shown["verdict"] == verdict["Level"]
        assert row["sources"] == shown["sources"]
        assert row["sources"].split("+") == content["SynthesisModel"]["SourceModalities"]
        assert [page["reasons"][n] for n in shown["reasons"]] == verdict["Reasons"]
        assert row["reasons"] == ("; ".join(verdict["Reasons"]) or "n/a")
        for column, value in (
            ("strangeness", verdict["Strangeness"]), ("half_width", doubt),
            ("psnr", score.get("psnr")), ("ssim", score.get("ssim")),
            ("coverage", score.get("coverage")),
        ):  # fmt: skip
            assert shown[column] == value
            assert row[column] == "n/a" if value is None else float(row[column]) == value
    targets = {row["target"] for row in table.values()}
    assert targets == {"T2w", "FLAIR", "T1wGd"}, "the agent tells T1wGd from T1w"
    sessions = {row["participant_id"]: row["session_id"] for row in table.values()}
    assert sessions == {"sub-01": "n/a", "sub-02": "n/a", "sub-10": "ses-B"}


def test_the_same_images_give_the_same_files(output):
    index.only_index(settings_of(output))
    names = ("index.html", "verdicts.tsv", "verdicts.json")
    first = {name: (output / name).read_bytes() for name in names}
    index.only_index(settings_of(output))
    assert {name: (output / name).read_bytes() for name in names} == first


def test_every_column_of_the_table_is_described_and_the_order_is_that_of_bids(output):
    index.only_index(settings_of(output))
    described = json.loads((output / "verdicts.json").read_text())
    assert list(described) == list(table_of(output)[0])
    assert next(iter(described)) == "participant_id"
    assert all(column["Description"] for column in described.values())


def test_what_cannot_be_read_and_who_has_nothing_is_told(output, caplog):
    index.only_index(settings_of(output))
    text = (output / "index.html").read_text()
    assert "sub-04/anat/sub-04_space-T1w_desc-synth_T2w.json" in text
    assert "is no sidecar that can be read" in caplog.text
    assert re.search(r"1 participant\s+without a synthetic image", text)
    assert ">sub-03</a>" in text


@pytest.mark.parametrize(
    "spoiled",
    [
        {"QualityVerdict": None},
        {"QualityVerdict": {"Level": "splendid", "Reasons": []}},
        {"QualityVerdict": {"Level": "pass", "Reasons": [], "Checks": [{"Name": "x"}]}},
        {"SynthesisModel": "toy"},
        {"Scores": "many"},
    ],
)
def test_a_sidecar_of_another_shape_is_told_and_stops_nobody(output, spoiled):
    put(output, "sub-02_space-T1w_desc-synth_FLAIR.json", sidecar("FLAIR") | spoiled)
    images = images_of(output)
    assert len(images.rows) == 6
    assert "sub-02/anat/sub-02_space-T1w_desc-synth_FLAIR.json" in images.unread


def test_links_lead_to_pages_that_are_there(output):
    (output / "sub-10_ses-A.html").write_text("<p>")
    (output / "sub-02.html").unlink()
    index.only_index(settings_of(output))
    pages = {row["image"].split("/")[-1][:12]: row["page"] for row in data_of(output)["rows"]}
    assert pages["sub-10_ses-A"] == "sub-10_ses-A.html"
    assert pages["sub-10_ses-B"] == "sub-10.html#ses-B"
    assert pages["sub-02_space"] == ""
    text = (output / "index.html").read_text()
    for link in re.findall(r'href="([^"#]+)(?:#[^"]*)?"', text):
        assert (output / link).is_file(), link


def test_hostile_words_are_words(output):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    put(
        output,
        "sub-02_space-T1w_desc-synth_T2w.json",
        sidecar(level="review", reasons=[evil + "\t\nmore"], key=evil),
    )
    described = output / "dataset_description.json"
    described.write_text(json.dumps({"Name": evil}))
    index.only_index(settings_of(output))
    text = (output / "index.html").read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("<script") == 2
    assert evil + "\t\nmore" in data_of(output)["reasons"]
    assert any(row["reasons"] == f"{evil} more" for row in table_of(output))


def test_another_image_has_another_digest_and_other_words_about_it_have_not(output):
    name = "sub-01_space-T1w_desc-synth_T2w.json"

    def made() -> str:
        return next(row.made for row in images_of(output, ["01"]).rows if row.target == "T2w")

    first = made()
    put(output, name, sidecar(level="fail", reasons=["judged anew"]))
    assert made() == first
    put(output, name, sidecar(key="prepared otherwise"))
    assert made() != first


def test_the_validator_accepts_them(output):
    (output / "README.md").write_text("Toys.\n" * 5)
    (output / "sub-04/anat/sub-04_space-T1w_desc-synth_T2w.json").unlink()
    index.only_index(settings_of(output))
    done = subprocess.run(
        [VALIDATOR, output, "--json"], capture_output=True, text=True, check=False
    )
    named = [i["location"] for i in json.loads(done.stdout)["issues"]["issues"]
             if i.get("severity") == "error" and "location" in i]  # fmt: skip
    assert not [place for place in named if "sub-" not in place]
    # The check sees what it is meant to: without the ignored names the table is an error.
    (output / ".bidsignore").write_text("")
    done = subprocess.run(
        [VALIDATOR, output, "--json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert any("verdicts.tsv" in i.get("location", "") for i in issues)


def visit(participant: str, session: str | None = None) -> Visit:
    return Visit(participant, session, {})


def test_a_run_counts_its_own_images_and_makes_the_page_of_all(output):
    summary = index.with_index(RunSummary(("made",)), [visit("02")], settings_of(output))
    assert summary.done == ("made", "In all 1 image: 0 pass, 0 review, 1 fail")
    assert summary.reports == (output / "index.html",)
    assert len(data_of(output)["rows"]) == 6
    own = index.with_index(RunSummary(), [visit("10", "A")], settings_of(output))
    assert own.done == ("In all 1 image: 1 pass, 0 review, 0 fail",)


def test_a_job_of_one_reads_no_other_participant_where_there_are_many(output, monkeypatch):
    for n in range(index.FEW + 1):
        (output / f"sub-m{n}").mkdir()
    read = []
    monkeypatch.setattr(verdicts, "read_json_object", lambda path: read.append(path.name) or None)
    summary = index.with_index(RunSummary(), [visit("02")], settings_of(output))
    assert read == ["sub-02_space-T1w_desc-synth_T2w.json"]
    assert not (output / "index.html").exists()
    assert summary.done[-1].endswith("participant --index-only")
    assert more_participants_than(output, index.FEW)
    assert not more_participants_than(output, index.FEW + 10)


def test_a_job_of_many_makes_the_page_of_more(output):
    for n in range(index.FEW + 1):
        (output / f"sub-m{n}").mkdir()
    everyone = [visit(f"m{n}") for n in range(index.FEW // index.SHARE + 1)]
    index.with_index(RunSummary(), everyone, settings_of(output))
    assert len(data_of(output)["rows"]) == 6


def test_a_disk_that_refuses_does_not_fail_the_run(output, monkeypatch, caplog):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "write_verdicts", full)
    summary = index.with_index(RunSummary(), [visit("02")], settings_of(output))
    assert summary.reports == ()
    assert summary.exit_code == 0
    assert "the disk is full" in caplog.text


JOB = """
import sys, time, random
from pathlib import Path
sys.path.insert(0, {tests!r})
from index_outputs import put, sidecar
from bids_synth.pipeline.visit.index import written_index
output = Path({output!r})
while not (output / "go").exists():
    time.sleep(0.001)
for n in range({count}):
    put(output, f"sub-{job}x{{n}}_space-T1w_desc-synth_T2w.json", sidecar())
    written_index(output)
"""


def test_jobs_side_by_side_lose_nothing(tmp_path):
    """Four jobs write an image and the page in turn; whoever ends last has all images."""
    output, count = tmp_path / "out", 6
    fill(output)
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB.format(tests=str(Path(__file__).parent), job=job,
                                              output=str(output), count=count)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for job in "abcd"
    ]  # fmt: skip
    (output / "go").touch()
    assert [job.wait(300) for job in jobs] == [0, 0, 0, 0]
    assert len(table_of(output)) == len(data_of(output)["rows"]) == 6 + 4 * count
    assert not list(output.glob(".part*"))


def test_a_strip_shows_every_visit_once_and_links_what_stands_out(output):
    rows = images_of(output).rows
    by_title = {strip.title: strip for strip in strips(rows, lambda row: f"{row.visit}.html")}
    volume = by_title["volume of the mask"]
    assert [(m.kind, m.page) for m in volume.marks] == [("fail", "sub-02.html")]
    assert volume.marks[0].words == "sub-02: 300 ml, fail"
    values = {(r.visit, c.value) for r in rows for c in r.checks if c.name == "mask_volume"}
    assert volume.dots.count("M") == len(values) - 1
    assert volume.words == "4 visits, from 300 ml to 1400 ml; 1 fail"
    assert volume.expected == "900 to 1900 ml"


def test_marks_lie_on_the_axis_as_their_values_do(tmp_path):
    values = [10.0, 12.0, 20.0, 30.0]
    for n, value in enumerate(values):
        put(
            tmp_path,
            f"sub-{n}_space-T1w_desc-synth_T2w.json",
            sidecar(level="review", checks={"noise_T1w": (value, "review")}),
        )
    (strip,) = strips(images_of(tmp_path).rows, lambda _: "")
    place = {float(m.words.split()[1].strip(",")): m.x for m in strip.marks}
    slope, base = np.polyfit(values, [place[v] for v in values], 1)
    assert slope > 0
    np.testing.assert_allclose([base + slope * v for v in values],
                               [place[v] for v in values], atol=0.1)  # fmt: skip
    for x, words in strip.ticks:
        assert base + slope * float(words) == pytest.approx(x, abs=0.2)
    start, width = strip.band or (0, 0)
    assert start + width == pytest.approx(base + slope * 9.0, abs=0.2)


def test_the_drawings_are_sound_and_say_what_is_seen(output):
    index.only_index(settings_of(output))
    text = (output / "index.html").read_text()
    drawings = re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)
    assert len(drawings) > 5
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("aria-hidden") or "visits" in (root.get("aria-label") or "")
        for link in root.iter("a"):
            assert link.get("aria-label")
