"""The animation of a fit from a made-up model folder: as many frames as epochs, whole files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bids_synth.errors import ModelError
from bids_synth.report.figures.gif import DPI, END, SIZE, main, write_gif

EPOCHS = 4
TABLE = "fold\tmember\tepoch\tstep\tloss\tvalidation_score\n" + "".join(
    f"0\t0\t{n}\t{4 * n + 4}\t{1 / (n + 1)}\t{20 + n}\n" for n in range(EPOCHS)
)


def arrays(**changes):
    rng = np.random.default_rng(0)
    real = rng.random((20, 30)).astype(np.float16)
    whole = {
        "source": rng.random((20, 30)).astype(np.float16),
        "real": real,
        "synthetic": np.stack([real * (n / EPOCHS) for n in range(EPOCHS)]),
        "epochs": np.arange(EPOCHS, dtype=np.int32),
        "scores": np.linspace(20, 23, EPOCHS, dtype=np.float32),
        "source_name": np.array("T1w"),
        "target_name": np.array("T2w"),
    }
    return whole | changes


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    for member in ("fold-0_member-0", "fold-0_member-1"):
        (folder / "logs" / member).mkdir(parents=True)
    np.savez(folder / "logs" / "fold-0_member-0" / "preview.npz", **arrays())
    (folder / "training.tsv").write_text(TABLE)
    return folder


def test_one_frame_an_epoch_and_the_curves_beside(model, tmp_path, capsys):
    out = tmp_path / "new" / "fit.gif"
    assert main([str(model), str(out)]) == 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["curves.svg", "fit.gif"]
    assert "<svg" in (out.parent / "curves.svg").read_text()
    frames, bright = [], []
    with Image.open(out) as film:
        assert film.n_frames == EPOCHS
        assert film.size == tuple(round(inches * DPI) for inches in SIZE)
        for number in range(EPOCHS):
            film.seek(number)
            frames.append(np.asarray(film.convert("L"), np.float64))
            third = film.size[0] // 3
            bright.append(frames[-1][60:, third : 2 * third].mean())
        assert film.info["duration"] == END
    third = frames[0].shape[1] // 3
    assert bright == sorted(bright)
    assert bright[-1] > 4 * bright[0]
    assert np.abs(frames[0] - frames[-1])[:, -third:].mean() < 2


def test_a_fit_without_pairs_shows_source_and_synthetic(model, tmp_path):
    whole = arrays()
    whole.pop("real")
    np.savez(model / "logs" / "fold-0_member-0" / "preview.npz", **whole)
    path = write_gif(model, tmp_path / "fit.gif")
    with Image.open(path) as film:
        assert film.n_frames == EPOCHS
        bright = []
        for number in range(EPOCHS):
            film.seek(number)
            half = film.size[0] // 2
            bright.append(np.asarray(film.convert("L"), np.float64)[60:, half:].mean())
    assert bright == sorted(bright)
    assert bright[-1] > 4 * bright[0]


def test_a_folder_without_previews_is_told(model, tmp_path, capsys):
    with pytest.raises(ModelError, match=r"member-1/preview\.npz is not there"):
        write_gif(model, tmp_path / "x.gif", member="fold-0_member-1")
    assert main([str(tmp_path), str(tmp_path / "x.gif")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert not (tmp_path / "x.gif").exists()


@pytest.mark.parametrize("how", ["text", "pickle", "short", "nameless"])
def test_a_damaged_preview_is_told(model, tmp_path, how):
    path = model / "logs" / "fold-0_member-0" / "preview.npz"
    if how == "text":
        path.write_text("no archive")
    elif how == "pickle":
        np.savez(path, **arrays(target_name=np.array(["T2w", None], dtype=object)))
    elif how == "short":
        np.savez(path, **arrays(epochs=np.arange(2)))
    else:
        np.savez(path, real=np.zeros((2, 2)))
    with pytest.raises(ModelError, match=r"preview\.npz"):
        write_gif(model, tmp_path / "x.gif")
