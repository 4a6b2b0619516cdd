"""Pages: nothing empty, nothing from the network, nothing unescaped, rebuilt from files."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_synth.core.scale import Scale
from bids_synth.core.split import Fold, Split
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.errors import Problem
from bids_synth.recipe.recipe import load_recipe, validate_recipe
from bids_synth.report.figures.group import draw_curves, draw_scores
from bids_synth.report.figures.synthetic import Shown
from bids_synth.report.pages.group import Example, write_group_report
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.report.pages.score_tables import overview
from bids_synth.report.pages.templates import viewer_script
from bids_synth.report.pages.visit import VisitReport, write_visit_figures
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, write_volume

EVIL = "<script>alert(1)</script>"
SHAPE = (18, 20, 16)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 3.0, 1.0]))
RNG = np.random.default_rng(0)
INSIDE = np.zeros(SHAPE, np.uint8)
INSIDE[3:15, 3:17, 3:13] = 1
ALL_PARTS = [
    "Summary", "Look through", "Synthetic images", "Uncertainty", "Scores", "Scans and mask",
    "Registration", "Methods",
]  # fmt: skip


def image() -> Volume:
    return Volume((RNG.uniform(50, 150, SHAPE) * INSIDE).astype(np.float32), GRID)


class Page(HTMLParser):
    """Sections with their content, and everything that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.anchors: set[str] = set()
        self._open = self._heading = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.anchors.add(values.get("id") or "")
        keys = ("src", "data", "srcset", "poster", "data-script")
        self.loaded += [values[k] for k in keys if k in values]
        self.words += [values.get("alt") or "" for _ in (0,) if tag == "img"]
        if tag in {"link", "a", "image", "use"} and "href" in values:
            self.loaded.append(values["href"])
        if tag == "section":
            self._open = values["id"]
            self.sections[self._open] = ""
        self._heading = tag
        if self._open and tag in {"img", "object"}:
            self.sections[self._open] += f"[{tag}]"

    def handle_endtag(self, tag):
        self._heading = ""
        if tag == "section":
            self._open = ""

    def handle_data(self, data):
        if self._open and self._heading not in {"h3", "style"}:
            self.sections[self._open] += data.strip()


def make_report(folder: Path, session: str | None = "A", name: str = "scan") -> VisitReport:
    folder.mkdir(parents=True, exist_ok=True)
    real, mask = image(), Volume(INSIDE, GRID)
    scans = {}
    for modality in ("T1w", "T2w", "FLAIR"):
        path = write_volume(image(), folder / modality / f"{name}_{modality}.nii.gz")
        scans[modality] = Scan(modality, path)
    visit = Visit("01", session, scans)
    masked = write_volume(mask, folder / "mask.nii.gz")
    prepared = Prepared(
        visit=visit, reference="T1w", native=GRID, grid=GRID,
        images={m: scans[m].path for m in ("T1w", "FLAIR")}, mask=masked, native_mask=masked,
        transforms={"FLAIR": folder / "x.txt"}, template=folder / "t.txt",
        scales={"T1w": Scale(0, 100), "FLAIR": Scale(0, 100)},
        quality={"registration_FLAIR": 1.071, "mask_volume": 1400.0}, stripped=False, key="0" * 64,
    )  # fmt: skip
    verdict = Verdict("review", (f"Its contrast is odd {EVIL}",))
    synthetic = Synthetic("T2w", ("T1w", "FLAIR"), image(), image(), verdict=verdict, real=real)
    row = {"visit": visit.label, "participant": "01", "target": "T2w", "sources": "T1w+FLAIR"}
    row |= {"protocol": "masked3d", "mae": 3.0, "nmae": 0.03, "pearson": 0.9}
    scores = pd.DataFrame(
        [
            {**row, "method": "model", "psnr": 30.123, "ssim": 0.9},
            {**row, "method": "copy", "psnr": 12.0, "ssim": float("nan")},
        ]
    )
    model = {"name": f"impute {EVIL}", "weights_sha256": "ab" * 32, "salt": "secret"}
    return VisitReport(prepared, (synthetic,), scores, model)


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory) -> Path:
    # /anat/ and /sub-77/ in the path of an output are what pybids trips over.
    base = tmp_path_factory.mktemp("data") / "anat" / "sub-77" / "ses-9"
    output = base / "out"
    write_visit_figures(output, make_report(base / "work" / "A", "A", EVIL.replace("/", "-")))
    write_visit_figures(output, make_report(base / "work" / "B", "B"))
    return output


@pytest.fixture(scope="module")
def page(report_folder) -> Page:
    path = write_participant_report(report_folder, "01")
    assert path == report_folder / "sub-01.html"
    return Page(path.read_text(encoding="utf-8"))


def test_every_section_of_every_session_is_there_and_has_something_to_show(page):
    expected = [
        f"ses-{session}-{name.lower().replace(' ', '-')}" for session in "AB" for name in ALL_PARTS
    ]
    assert list(page.sections) == expected
    for name, content in page.sections.items():
        assert len(content) > 10, name
        pictured = not name.endswith(("summary", "through", "scores", "methods"))
        assert ("[img]" in content or "[object]" in content) == pictured


def test_the_summary_tells_what_was_made_and_how_far_to_trust_it(page):
    summary = page.sections["ses-B-summary"]
    for words in ("not for diagnosis", "review", "T1w, FLAIR", "reference", "1.071", "ab" * 32):
        assert words in summary
    assert "secret" not in summary
    assert "30.1" in page.sections["ses-A-scores"]
    assert "n/a" in page.sections["ses-A-scores"]


def test_text_from_files_is_escaped(page, report_folder):
    text = (report_folder / "sub-01.html").read_text()
    assert "&lt;script&gt;alert(1)" in text
    assert page.tags.count("script") == text.count("<script") == 1
    assert f"<script>{viewer_script()}</script>" in text
    assert "<script>alert(1)<-script>_T1w.nii.gz" in page.sections["ses-A-summary"]


def test_a_page_loads_only_figures_that_are_there(page, report_folder):
    assert len(page.loaded) > 10
    for link in page.loaded:
        assert not link.startswith(("http", "//")), link
        if link.startswith("#"):
            assert link[1:] in page.anchors
        else:
            assert (report_folder / link).is_file()


def test_every_picture_says_what_is_seen(page):
    assert len(page.words) > 10
    assert all(len(words) > 30 for words in page.words)
    assert any("seven" in words or "7 axial" in words for words in page.words)
    assert any(words.startswith("Histogram") and "median" in words for words in page.words)


def test_an_embedded_page_needs_no_other_file(report_folder, tmp_path):
    path = write_participant_report(report_folder, "01", embed=True)
    text = path.read_text(encoding="utf-8")
    write_participant_report(report_folder, "01")
    page = Page(text)
    loaded = [
        link for link in page.loaded if not link.startswith(("#", "data:image/svg+xml;base64,"))
    ]
    scripts = [f"./sub-01/figures/sub-01_ses-{s}_desc-viewer_T2w.js" for s in "AB"]
    assert loaded == scripts, "what a viewer reads where it is not in the page"
    for script in scripts:
        assert (report_folder / script).read_text() in text
    assert page.tags.count("script") == 3
    assert list(page.sections) == list(Page((report_folder / "sub-01.html").read_text()).sections)


def test_a_link_out_of_the_output_is_not_put_into_a_page(tmp_path):
    figures = tmp_path / "out" / "sub-01" / "figures"
    figures.mkdir(parents=True)
    (tmp_path / "secret.svg").write_text('<?xml version="1.0"?><svg>secret</svg>')
    (figures / "sub-01_desc-scans_T1w.svg").symlink_to(tmp_path / "secret.svg")
    text = write_participant_report(tmp_path / "out", "01", embed=True).read_text()
    assert "data:image" not in text


def test_the_style_sheet_imports_nothing(report_folder):
    text = (report_folder / "sub-01.html").read_text()
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_a_page_can_be_made_again_from_the_figures_alone(report_folder):
    first = write_participant_report(report_folder, "01").read_bytes()
    before = {p: p.read_bytes() for p in (report_folder / "sub-01" / "figures").iterdir()}
    assert write_participant_report(report_folder, "01").read_bytes() == first
    assert {p: p.read_bytes() for p in before} == before


def test_a_figure_with_an_odd_name_is_left_out(report_folder):
    odd = report_folder / "sub-01" / "figures" / "sub-01_ses-A_desc-scans<img onerror=x>_T1w.svg"
    odd.write_text('<?xml version="1.0"?><svg viewBox="0 0 1 1"></svg>')
    try:
        text = write_participant_report(report_folder, "01").read_text()
    finally:
        odd.unlink()
    assert "<img onerror" not in text
    assert "onerror=x" not in text


def test_without_sessions_parts_stand_alone(tmp_path):
    write_visit_figures(tmp_path / "out", make_report(tmp_path / "work", None))
    page = Page(write_participant_report(tmp_path / "out", "01").read_text())
    assert list(page.sections) == [f"visit-{n.lower().replace(' ', '-')}" for n in ALL_PARTS]


def test_one_participants_page_has_nothing_of_another(report_folder):
    figures = report_folder / "sub-012" / "figures"
    figures.mkdir(parents=True)
    svg = '<?xml version="1.0"?><svg viewBox="0 0 1 1"></svg>'
    (figures / "sub-012_desc-scans_T1w.svg").write_text(svg)
    assert "sub-012" not in write_participant_report(report_folder, "01").read_text()
    assert "sub-012_desc-scans" in write_participant_report(report_folder, "012").read_text()


def test_problems_are_told_even_where_nothing_was_made(tmp_path):
    problems = [Problem("sub-02", f"scan.nii.gz: {EVIL} is not readable; replace the file")]
    path = write_participant_report(tmp_path, "02", problems=problems)
    page = Page(path.read_text())
    assert "is not readable; replace the file" in page.sections["problems"]
    assert "script" not in page.tags


def test_a_visit_for_which_nothing_was_made_says_so(tmp_path):
    whole = make_report(tmp_path / "work", None)
    bare = VisitReport(whole.prepared)
    write_visit_figures(tmp_path / "out", bare)
    page = Page(write_participant_report(tmp_path / "out", "01").read_text())
    assert "Nothing was synthesised" in page.sections["visit-summary"]
    assert "visit-scores" not in page.sections


def test_what_an_earlier_run_drew_is_not_shown_as_if_it_were_new(tmp_path):
    whole, output = make_report(tmp_path / "work", None), tmp_path / "out"
    other = make_report(tmp_path / "work" / "B", "B")
    write_visit_figures(output, other)
    write_visit_figures(output, whole)
    mine = output / "sub-01" / "figures" / "sub-01_desc-notes_T1w.svg"
    mine.write_text("kept")
    write_visit_figures(output, VisitReport(whole.prepared))
    left = {path.name for path in mine.parent.iterdir()}
    assert not [n for n in left if n.startswith("sub-01_desc-") and "T2w" in n]
    assert "sub-01_desc-scores_T1w.html" not in left
    assert mine.name in left
    assert "sub-01_ses-B_desc-synth_T2w.svg" in left


def scored() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, summary = [], []
    for target in ("T1w", "T2w"):
        for method, base in (("model", 30.0), ("copy", 20.0)):
            key = {"target": target, "sources": "PDw", "method": method, "protocol": "masked3d"}
            rows += [
                {**key, "visit": f"sub-{n}", "participant": str(n), "psnr": base + n, "ssim": 0.9,
                 "mae": 1.0, "nmae": 0.03, "pearson": 0.9}
                for n in range(3)
            ]  # fmt: skip
            gain = {"versus": "copy", "difference": 10.0} if method == "model" else {}
            summary.append(
                {"versus": np.nan, "difference": np.nan, "difference_low": np.nan,
                 "difference_high": np.nan, **key, **gain, "metric": "psnr", "participants": 3,
                 "mean": base + 1, "low": base, "high": base + 2}
            )  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(summary)


@pytest.fixture
def model_folder(tmp_path) -> Path:
    folder = tmp_path / "models" / "impute"
    folder.mkdir(parents=True)
    fold = Fold(frozenset({"a", "b"}), frozenset({"c"}))
    (folder / "split.tsv").write_text(Split(frozenset({"d"}), (fold,)).to_tsv())
    curve = "fold\tmember\tepoch\tstep\tloss\tscore\tlearning_rate\tseconds\tmore\n"
    curve += "".join(
        f"0\t{m}\t{e}\t{e * 9}\t{1 / (e + 1)}\t{e}\t.1\t1\tx\n" for m in (0, 1) for e in range(4)
    )
    (folder / "training.tsv").write_text(curve)
    (folder / "model.json").write_text(json.dumps({"name": "impute", "dataset": EVIL}))
    return folder


def test_the_group_page_is_whole_and_needs_no_other_file(tmp_path, model_folder):
    rows, summary = scored()
    synthetic = Synthetic("T2w", ("T1w",), image(), image(), real=image())
    shown = Shown(synthetic, {"T1w": image()}, Volume(INSIDE, GRID))
    path = write_group_report(
        tmp_path, model_folder=model_folder, recipe=load_recipe("impute"), summary=summary,
        rows=rows, examples=[Example("sub-01", shown)],
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    parts = ["examples", "scores", "tables", "fitting", "participants", "model"]
    assert list(page.sections) == parts
    assert all(len(content) > 20 for content in page.sections.values())
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in page.loaded)
    assert page.tags.count("script") == 1, "its own, at its end"
    assert "31.0 [30.0, 32.0]" in page.sections["tables"].replace("[", " [")
    assert "+10.0" in page.sections["scores"]
    assert "discriminator" not in page.sections["fitting"], "a recipe that has none"
    assert "its own start" not in page.sections["scores"]
    assert sum(link.startswith("data:") for link in page.loaded) == 3
    assert len(text) < 3_000_000


def test_every_picture_of_a_model_says_what_is_seen(tmp_path, model_folder):
    rows, summary = scored()
    made, real = image(), image()
    shown = Shown(Synthetic("T2w", ("T1w",), made, None, real=real), {"T1w": image()},
                  Volume(INSIDE, GRID))  # fmt: skip
    path = write_group_report(
        tmp_path, model_folder=model_folder, recipe=load_recipe("impute"), summary=summary,
        rows=rows, examples=[Example("sub-01", shown)],
    )  # fmt: skip
    told = re.findall(r'<img [^>]*alt="([^"]*)"', path.read_text())
    error = np.abs(made.array - real.array)[INSIDE > 0].mean()
    assert f"Mean absolute error {error:.3g} in the mask" in told[0]
    assert "T1w, the synthetic T2w, the real T2w, their difference" in told[0]
    assert "model 31.0 (30.0 to 32.0), copy 21.0 (20.0 to 22.0)" in told[1]
    assert "2 networks over 27 steps; loss from 1 to 0.25; validation score from 0 to 3" in told[2]


def test_the_one_table_holds_the_model_against_its_best_baseline():
    from bids_synth.measure.table import summarise

    rows, _ = scored()
    table = overview(summarise(rows, resamples=200, seed=1))
    assert table.metrics == ("PSNR, dB", "SSIM")
    assert [line["target"] for line in table.lines] == ["T1w", "T2w", "all targets"]
    first = table.lines[0]["cells"][0]
    means = [first[key]["mean"] for key in ("model", "best", "gain")]
    assert means == ["31.0", "21.0", "+10.0"]
    assert (first["versus"], first["result"]) == ("copy", "better")
    worse = rows.assign(psnr=-rows["psnr"])
    cells = overview(summarise(worse, resamples=200, seed=1)).lines[0]["cells"]
    assert cells[0]["result"] == "worse"
    assert cells[1]["result"] == "open", "no difference in SSIM"


def test_a_model_without_scores_or_curves_still_has_its_page(tmp_path):
    folder = tmp_path / "models" / "empty"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{ broken")
    rows, summary = scored()
    path = write_group_report(
        tmp_path, model_folder=folder, recipe=load_recipe("impute"), summary=summary[:0],
        rows=rows[:0],
    )  # fmt: skip
    page = Page(path.read_text())
    assert list(page.sections) == ["scores", "model"]
    assert "No visit was scored" in page.sections["scores"]


def test_the_summary_of_the_table_of_scores_fits_the_page(tmp_path, model_folder):
    from bids_synth.measure.table import summarise

    rows, _ = scored()
    path = write_group_report(
        tmp_path, model_folder=model_folder, recipe=load_recipe("impute"),
        summary=summarise(rows, resamples=200, seed=1), rows=rows,
    )  # fmt: skip
    scores = Page(path.read_text()).sections["tables"]
    for words in ("PSNR", "SSIM", "Mean absolute error", "all", "+10.0"):
        assert words in scores


def test_of_two_protocols_the_one_table_is_of_the_first(tmp_path, model_folder):
    from bids_synth.measure.table import summarise

    rows, _ = scored()
    other = rows.assign(protocol="affine-free", psnr=rows["psnr"] + 50, ms_ssim=0.77, rmse=2.5)
    both = pd.concat([other, rows], ignore_index=True)
    data = load_recipe("impute").model_dump(mode="json")
    data["evaluation"]["protocols"] = ["masked3d", "affine-free"]
    path = write_group_report(
        tmp_path, model_folder=model_folder, recipe=validate_recipe(data, origin="toy"),
        summary=summarise(both, resamples=200, seed=1), rows=both,
    )  # fmt: skip
    text = path.read_text()
    one = Page(text).sections["scores"]
    assert "31.0" in one
    assert "81.0" not in one
    scores = Page(text).sections["tables"]
    for words in ("PSNR, dB: higher is better (masked3d)", "(affine-free)", "MS-SSIM", "0.770"):
        assert words in scores
    assert scores.index("(masked3d)") < scores.index("(affine-free)")
    for words in ("Root mean square error", "2.500", "in the image's unit", "81.0"):
        assert words in scores


def test_figures_of_a_discriminator_are_drawn_where_there_are_any():
    steps = np.arange(4) * 10
    curve = pd.DataFrame({"step": steps, "loss": 1.0, "discriminator_accuracy": np.nan})
    assert "accuracy of the discriminator" not in draw_curves(curve)
    drawn = draw_curves(curve.assign(discriminator_accuracy=0.7, discriminator_loss=0.2))
    assert "accuracy of the discriminator" in drawn
    assert "loss of the discriminator" in drawn


def test_a_score_that_hardly_changes_is_drawn_level_on_plain_numbers():
    curve = pd.DataFrame({"step": [10, 20, 30], "loss": 1.0, "score": [16.2231, 16.2235, 16.2239]})
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", draw_curves(curve))
    assert not [label for label in labels if label.startswith("+")]
    ticks = [float(label) for label in labels if re.fullmatch(r"16\.\d+", label)]
    assert len(ticks) >= 3
    assert 0.05 <= max(ticks) - min(ticks) <= 0.15


def test_a_method_that_only_some_targets_have_is_in_the_legend():
    rows, _ = scored()
    more = rows[(rows["target"] == "T2w") & (rows["method"] == "copy")]
    drawn = draw_scores(pd.concat([rows, more.assign(method="closed-form")], ignore_index=True))
    assert drawn.count(">closed-form<") == 1
