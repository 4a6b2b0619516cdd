"""The GPU run: rehearsed on the processor without the other libraries; its pure parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from math import inf, isfinite, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu.apart import run_part
from benchmarks.gpu.figure import Figure, Part, Settings, share_of_limit
from benchmarks.gpu.page import FIGURES, NO_CARD, gpu_section, page, report, summary, table
from training.any_contrast import minutes_of

ROOT = Path(__file__).resolve().parent.parent
ABSENT = ("bids", "pybids", "nipype", "ants", "templateflow", "nilearn", "nireports", "optuna")
"""What a bare machine lacks and `learn` has no need of."""
BLOCKED = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Absent())
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
SMALL = Settings("cpu", tiny=True, work="")
numbers = st.floats(1e-6, 1e6)


@pytest.mark.slow
def test_the_whole_run_is_rehearsed_without_the_other_libraries(tmp_path: Path) -> None:
    words = [sys.executable, "-c", BLOCKED, str(tmp_path), "--tiny", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    from benchmarks.gpu.__main__ import PARTS

    run = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert [part["name"] for part in run["parts"]] == [*PARTS]
    assert sum(name.startswith("step of ") for name in PARTS) == 10
    for part in run["parts"]:
        assert part["error"] == ""
        assert part["figures"], part["name"]
        for one in part["figures"]:
            assert isfinite(one["value"]), (part["name"], one)
            in_float32 = not one["name"].endswith("bfloat16")
            assert one["verdict"] != "missed" or not in_float32, (part["name"], one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]
    assert "A rehearsal with tiny sizes" in (tmp_path / "gpu.md").read_text("utf-8")


def tells_and_fails(settings: Settings, tell) -> None:
    tell(Figure("one", 1.0))
    message = "no such thing | here"
    raise ValueError(message)


def tells_and_waits(settings: Settings, tell) -> None:
    tell(Figure("one", 1.0))
    time.sleep(60)


def tells_and_dies(settings: Settings, tell) -> None:
    tell(Figure("one", 1.0))
    os._exit(3)


def cannot_fork(settings: Settings, tell) -> None:
    """As torch does where a card was touched before; it works in a process of its own."""
    from multiprocessing import parent_process, process

    if type(process.current_process()).__name__ == "ForkProcess":
        message = "Cannot re-initialize CUDA in forked subprocess."
        raise RuntimeError(message)
    tell(Figure("spawned", float(parent_process() is not None)))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (tells_and_fails, "ValueError: no such thing | here"),
        (tells_and_waits, "not over after 2 s"),
        (tells_and_dies, "the process ended with code 3"),
    ],
)
def test_a_part_that_fails_is_told_and_keeps_what_it_measured(body, error: str) -> None:
    part = run_part("x", body, SMALL, limit=2)
    assert part.error == error
    assert [one.name for one in part.figures] == ["one"]
    assert part.seconds < 30


@pytest.mark.slow
def test_a_card_that_was_touched_before_gets_a_new_process() -> None:
    part = run_part("x", cannot_fork, SMALL, limit=120)
    assert (part.error, [one.value for one in part.figures]) == ("", [1.0])


def test_a_failed_part_is_named_and_makes_the_exit_code_1(tmp_path: Path, monkeypatch) -> None:
    from benchmarks.gpu import __main__ as run

    monkeypatch.setattr(run, "PARTS", {"bad": (tells_and_fails, 9), "good": (tells, 9)})
    assert run.main([str(tmp_path), "--tiny", "--device", "cpu"]) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["parts"]
    assert [(part["name"], bool(part["error"])) for part in parts] == [
        ("bad", True),
        ("good", False),
    ]
    monkeypatch.setattr(run, "BUDGET", 0.0)
    assert run.main([str(tmp_path), "--tiny", "--device", "cpu", "--only", "good"]) == 1
    assert "no time was left" in (tmp_path / "gpu.md").read_text("utf-8")


def tells(settings: Settings, tell) -> None:
    tell(Figure("one", 1.0))


@given(numbers, numbers, numbers)
def test_a_share_is_of_the_rate_and_falls_as_time_grows(
    operations: float, seconds: float, rate: float
) -> None:
    share = share_of_limit(operations, seconds, rate)
    assert share == pytest.approx(operations / (seconds * rate))
    assert share_of_limit(operations, 2 * seconds, rate) == pytest.approx(share / 2)
    assert share_of_limit(operations, operations / rate, rate) == pytest.approx(1)
    assert share_of_limit(operations, 0, rate) == share_of_limit(operations, seconds, 0) == 0


@given(st.floats(), numbers, st.booleans(), st.booleans())
def test_a_verdict_is_met_where_the_value_is_a_number_within_the_target(
    value: float, bound: float, card_only: bool, rehearsed: bool
) -> None:
    most = Figure("x", value, most=bound, card_only=card_only).verdict(rehearsed=rehearsed)
    least = Figure("x", value, least=bound, card_only=card_only).verdict(rehearsed=rehearsed)
    if card_only and rehearsed:
        assert most == least == ""
    elif isfinite(value):
        assert (most == "met") == (value <= bound)
        assert (least == "met") == (value >= bound)
    else:
        assert most == least == "missed"
    assert Figure("x", value).verdict(rehearsed=rehearsed) == ""


def run_of(*, rehearsed: bool) -> dict:
    figures = [Figure("a", 0.3, "s", most=0.5, card_only=True), Figure("b", nan, least=1.0)]
    parts = [Part("p", figures, 1.0), Part("q", [Figure("c|d", inf)], 2.0, "it broke\nhere")]
    return report({"device": "Card 1", "torch": "2"}, parts, rehearsed=rehearsed)


def test_the_table_has_a_row_for_each_figure_and_each_failure() -> None:
    lines = table(run_of(rehearsed=False)).splitlines()
    assert len(lines) == 2 + 3 + 1
    assert {line.count("|") for line in lines} == {7}
    assert "| a | 0.3 s | <= 0.5 s | met |" in lines[2]
    assert "| missed |" in lines[3]
    assert "**failed**" in lines[5]
    text = summary(run_of(rehearsed=False))
    assert text == "1 of 2 targets that it judges are met; missed: p: b; failed: q."
    assert "0 of 1 targets" in page(run_of(rehearsed=True))


def test_the_section_has_figures_of_cards_and_of_no_rehearsal(tmp_path: Path) -> None:
    assert NO_CARD in gpu_section(tmp_path / "none")
    (tmp_path / "rehearsal.json").write_text(json.dumps(run_of(rehearsed=True)))
    assert NO_CARD in gpu_section(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(run_of(rehearsed=False)))
    text = gpu_section(tmp_path)
    assert "### Card 1" in text
    assert NO_CARD not in text
    assert text.count("| p | a |") == 1
    assert gpu_section().startswith("## On a GPU")
    assert FIGURES.parent == ROOT / "benchmarks" / "gpu"


@given(st.floats(0.5, 5000))
def test_a_budget_in_seconds_is_one_in_minutes(seconds: float) -> None:
    assert minutes_of(f"{seconds:.3f}s") == pytest.approx(seconds / 60, abs=1e-4)
    assert minutes_of(f"{seconds:.3f}m") == pytest.approx(seconds, abs=1e-3)
    for wrong in (f"{seconds:.3f}", "0s", "-5s", "s"):
        with pytest.raises(ArgumentTypeError, match="540s or 9m"):
            minutes_of(wrong)


def test_the_wheels_are_those_that_the_locks_pin() -> None:
    script = (ROOT / "scripts/gpu/wheels.sh").read_text("utf-8")
    names = script.split("names=(")[1].split(")")[0].split()
    pins = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    for name in names:
        assert sum(line.startswith(f"{name}==") for line in pins) == 1, name
    assert ".wheels/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
