"""Growth and the performance page: exponents of known curves, targets, plan, page and plots."""

from __future__ import annotations

import json
import math
import re
import sys
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.__main__ as command
from benchmarks.growth import outputs
from benchmarks.growth.curve import MOST, Curve, Point, exponent
from benchmarks.growth.page import NEEDED, growth_section, growth_table, memory_of
from benchmarks.growth.plan import MAX_ARRAY, Footprint, Job, Plan, footprint, job_of
from benchmarks.growth.plots import draw
from benchmarks.limits import Limits
from benchmarks.performance import page as page_module
from benchmarks.performance.page import digits, stage_table, write_page
from benchmarks.performance.record import Code, Part, read_parts, write_parts
from benchmarks.stages.measured import Measured
from benchmarks.tree import make_tree

SIZES = (1, 10, 100, 1_000, 10_000)
LIMITS = Limits(100.0, 10.0, 0.01)
MACHINE = {"cores": 2, "vectors": "AVX2", "memory_gb": 24, "system": "x", "python": "3.11"}


def curve(cost, *, name="work", of="participants", sizes=SIZES, flat=False) -> Curve:
    return Curve(name, of, tuple(Point(n, cost(n), 0.1) for n in sizes), flat=flat)


def part(**more) -> Part:
    return Part(Code("abc1234", "tree"), "2026-01-02", MACHINE, LIMITS, **more)


@given(
    fixed=st.floats(0, 50),
    each=st.floats(1e-4, 10),
    power=st.sampled_from([0.5, 1.0, 1.5, 2.0]),
)
def test_the_exponent_is_that_of_the_closed_form_whatever_every_run_costs(fixed, each, power):
    value = exponent(SIZES, [fixed + each * n**power for n in SIZES])
    assert value is not None
    assert value == pytest.approx(power, abs=1e-6 if power == 1 else 0.03)


@given(st.sampled_from([1.3, 2.0]), st.floats(0, 5))
def test_what_is_convex_is_told_over_few_sizes(power, fixed):
    value = exponent((1, 2, 3, 4), [fixed + n**power for n in (1, 2, 3, 4)])
    assert value is not None
    assert value > MOST


def test_targets_of_growth() -> None:
    assert curve(lambda n: 1 + 0.001 * n).met
    assert not curve(lambda n: 1 + 0.001 * n * math.log(n + 1)).met
    assert not curve(lambda n: 1 + 1e-6 * n**2).met
    assert not curve(lambda n: 1 + 0.001 * n, flat=True).met
    flat = curve(lambda n: 2 + 1e-5 * n, flat=True)
    assert flat.met
    assert flat.exponent is None
    assert curve(lambda n: 2 - 1e-5 * n).exponent is None
    line = curve(lambda n: 3 + 0.5 * n)
    assert (line.fixed, line.each) == (pytest.approx(3), pytest.approx(0.5))
    assert exponent((1, 10), (1.0, 2.0)) is None
    assert Curve.from_json(json.loads(json.dumps(line.to_json()))) == line


def test_a_tree_is_added_to_and_passes_for_heads(tmp_path) -> None:
    from bids_synth.bids.raw.query import query
    from bids_synth.pipeline.admission import admitted
    from bids_synth.recipe.recipe import load_recipe

    tree = make_tree(tmp_path / "tree", 2)
    made = (tree / "sub-00000" / "anat" / "sub-00000_T1w.nii.gz").stat().st_mtime_ns
    make_tree(tree, 5)
    assert (tree / "sub-00000" / "anat" / "sub-00000_T1w.nii.gz").stat().st_mtime_ns == made
    found = admitted(query(tree, load_recipe("impute")), planning=True)
    assert [len(visit.scans) for visit in found.visits] == [2, 3, 2, 3, 2]
    assert not found.problems


def one_participant(output) -> None:
    anat = output / "sub-zz" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-zz_space-T1w_desc-synth_FLAIR.json").write_text('{"Sources": ["sub-zz_T1w"]}')
    (anat / "sub-zz_space-T1w_desc-synth_FLAIR.nii.gz").write_bytes(b"x" * 5000)
    (output / "sub-zz.html").write_text("sub-zz and sub-zz2")


def test_outputs_are_copied_under_other_labels(tmp_path) -> None:
    one_participant(tmp_path / "out")
    assert footprint(tmp_path / "out") == Footprint(3, 2, (8192 + 2 * 4096) / 1e9, 3)
    outputs.clone(tmp_path / "out", "zz", tmp_path / "more", "07")
    name = "sub-07/anat/sub-07_space-T1w_desc-synth_FLAIR.json"
    assert json.loads((tmp_path / "more" / name).read_text()) == {"Sources": ["sub-07_T1w"]}
    assert (tmp_path / "more" / "sub-07.html").read_text() == "sub-07 and sub-zz2"
    outputs.fill(tmp_path / "out", 3, 5)
    anat = tmp_path / "out" / "sub-00004" / "anat"
    assert sorted(p.name.rsplit("_", 1)[1] for p in anat.iterdir()) == ["FLAIR.json", "T2w.json"]
    outputs.withdraw_images(tmp_path / "out")
    assert not list((tmp_path / "out" / "sub-zz" / "anat").iterdir())


def test_the_arithmetic_of_the_plan() -> None:
    job = Job(start=10, index=1, prepare=60, synthesis=29)
    plan = Plan(100_000, job, Footprint(40, 4, 0.02, 3), per_task=25, cores=1000)
    assert plan.tasks == 4000
    assert plan.arrays == math.ceil(4000 / (MAX_ARRAY - 1)) == 4
    assert plan.core_hours == pytest.approx((4000 * 10 + 100_000 * 90) / 3600)
    assert plan.wall_hours == pytest.approx(4 * (10 + 25 * 90) / 3600)
    assert plan.disk_tb == pytest.approx(2.0)
    assert plan.inodes == 100_000 * 44 + 4000 * 3
    assert plan.at_top == 200_000
    assert plan.writes_a_second == pytest.approx(plan.inodes / (plan.wall_hours * 3600))
    assert Plan(7, job, Footprint(1, 1, 1, 1), per_task=25).tasks == 1


def all_curves() -> list[Curve]:
    sizes = {"preparation of two scans": ("million voxels", (1.0, 5.0, 20.0)),
             "preparation of so many scans": ("modalities", (1, 2, 3, 4))}  # fmt: skip
    curves = []
    for name in sorted(NEEDED):
        of, at = sizes.get(name, ("participants", SIZES))
        curves.append(curve(lambda n: 5 + 2 * n, name=name, of=of, sizes=at))
    return curves


def test_what_a_participant_costs_is_read_from_the_curves() -> None:
    job = job_of({one.name: one for one in all_curves()})
    assert job.start == pytest.approx(5)
    assert job.index == pytest.approx(2)
    assert job.prepare == pytest.approx((5 + 2 * 14.4) - 5 + 2)
    assert job.synthesis == pytest.approx(2)
    heavy = Curve("job of one", "participants", (Point(1, 1.0, 2.1), Point(2, 1.0, 1.0)))
    assert memory_of({heavy.name: heavy}) == 3


def test_plots_are_small_stay_the_same_and_keep_text(tmp_path) -> None:
    curves = [curve(lambda n, k=k: k + 0.01 * n, name=f"curve {k}") for k in (1, 2, 3, 4, 5, 6)]
    path = draw(curves, tmp_path / "images" / "a.svg")
    text = path.read_text()
    assert draw(curves, tmp_path / "b.svg").read_text() == text
    assert len(text) < 40_000
    ET.fromstring(text)
    assert ">curve 3<" in text
    assert "<title>Processor time: curve 1; curve 2" in text
    assert "font-family" in text or "font:" in text
    assert "#ffffff" not in text, "it has no ground of its own"


def test_the_table_tells_what_is_missed(tmp_path) -> None:
    rows = (
        Measured("a | b", 2.0, 0.5, operations=1e11, most_ratio=1.4, note="two\nlines"),
        Measured("c", 3.0, size=1e10, most_seconds=25.0),
        Measured("start-up: --version", 0.08),
        Measured("e", 0.08),
    )
    lines = stage_table({"x": part(measured=rows)})[0].splitlines()
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert "| 1.0, matrix product | 2.0 | **missed**: ratio at most 1.4 |" in lines[2]
    assert lines[2].startswith("| a \\| b; two lines |")
    assert lines[3].endswith("| met: at most 25 s |")
    assert lines[4].startswith("| start-up: `--version` |")
    assert "0.01, bare interpreter | 8.0" in lines[4]
    assert lines[5] == "| e | 0.08 |  |  |  |  |"
    assert digits(1.0) == "1.0"
    missed = growth_table([curve(lambda n: n**2, name="square")])
    assert "| 2.00 | **missed**: 1.1 |" in missed


@pytest.fixture
def card(monkeypatch) -> None:
    """The section of the card, as its own run writes it."""
    module = ModuleType("benchmarks.gpu.page")
    module.gpu_section = lambda: "## On a card\n\nno card was at hand"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "benchmarks.gpu", ModuleType("benchmarks.gpu"))
    monkeypatch.setitem(sys.modules, "benchmarks.gpu.page", module)


def test_the_page_is_put_together_from_parts_and_names_other_code(
    tmp_path, monkeypatch, card
) -> None:
    left = {"files": 40, "folders": 4, "gb": 0.02, "log_files": 3}
    old = Part(Code("old0000", "before"), "2025-01-01", MACHINE, LIMITS, (Measured("s", 1.0),))
    parts = {
        "start-up": old,
        "index": part(fault="it ended with 1"),
        "growth-participants": part(curves=tuple(all_curves()[:3]), footprint=left),
        "growth-images": part(curves=tuple(all_curves()[3:])),
    }
    write_parts(parts, tmp_path / "kept.json")
    assert read_parts(tmp_path / "kept.json") == parts
    monkeypatch.setattr(page_module, "code_here", lambda: Code("new0000", "tree"))
    write_page(read_parts(tmp_path / "kept.json"), tmp_path / "docs" / "performance.md")
    text = (tmp_path / "docs" / "performance.md").read_text()
    assert "other code than lies beside this page, old0000 of 2025-01-01: start-up." in text
    assert "Failed, and therefore not below: index." in text
    assert "2 cores with AVX2" in text
    assert text.rstrip().endswith("no card was at hand")
    assert text.index("## Stages") < text.index("## Growth") < text.index("## A plan")
    assert "{" not in text, "a field was left empty"
    pictures = sorted((tmp_path / "docs" / "images").iterdir())
    assert [p.name for p in pictures] == [
        "growth-modalities.svg", "growth-participants.svg", "growth-voxels.svg"
    ]  # fmt: skip
    assert all(f"(images/{p.name})" in text for p in pictures)


def test_the_plan_needs_all_its_curves(tmp_path) -> None:
    lines = growth_section(all_curves()[:2], {}, tmp_path)
    assert not any("plan for very large" in line for line in lines)


def test_parts_are_measured_where_they_lack_or_are_asked_for() -> None:
    known = {"start-up": part(), "index": part(fault="x")}
    lacking = command.wanted([], known)
    assert "start-up" not in lacking
    assert lacking[0] == "index"
    assert command.wanted(["growth-images", "index"], known) == ["index", "growth-images"]
    assert command.wanted(["all"], known) == list(command.PARTS)


def test_a_part_that_fails_names_itself_and_the_others_are_kept(
    tmp_path, monkeypatch, capsys
) -> None:
    def printed(words):
        if "synthesis" in words:
            message = "no such network"
            raise ValueError(message)
        return vars(LIMITS) if "limits" in words[0] else [vars(Measured("a", 1.0, 0.1))]

    monkeypatch.setattr(command, "_printed", printed)
    kept = tmp_path / "kept.json"
    assert command.main(["synthesis", "start-up", "--json", str(kept)]) == 1
    assert "synthesis: FAILED: no such network" in capsys.readouterr().out
    parts = read_parts(kept)
    assert parts["start-up"].measured == (Measured("a", 1.0, 0.1),)
    assert parts["synthesis"].fault == "no such network"
    assert command.main(["start-up", "--json", str(kept)]) == 0
    assert read_parts(kept)["synthesis"].fault


@pytest.mark.slow
def test_every_curve_can_be_measured(tmp_path, capsys) -> None:
    from benchmarks.growth.__main__ import main

    curves = []
    for what in ("images", "participants"):
        main([str(tmp_path), what, "--tiny"])
        data = json.loads(capsys.readouterr().out.splitlines()[-1])
        curves += data["curves"]
    assert {curve["name"] for curve in curves} >= NEEDED
    assert all(p["seconds"] > 0 for curve in curves for p in curve["points"])
    assert data["footprint"]["files"] > 10
