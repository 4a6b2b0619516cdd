"""Exchange: other runtimes give the package's own numbers, and a model comes back as it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from learn_toys import SHAPE, make_visit, minus_error, small_unet, toy_split
from torch import nn

import bids_synth
from bids_synth.cli.main import run_command
from bids_synth.core.scale import Scale
from bids_synth.core.settings import Settings
from bids_synth.core.visit import Prepared
from bids_synth.errors import ModelError, UsageError
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.exchange.dense_context import DenseContext
from bids_synth.learn.exchange.exported import export_model, import_model
from bids_synth.learn.exchange.onnx_file import write_onnx
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.context import ContextPerceptron, answers_of
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.choose_model import model_folder
from bids_synth.recipe.embedded import DEFAULT, embedded_models
from bids_synth.recipe.recipe import Recipe, load_recipe, recipe_names, validate_recipe
from bids_synth.spatial.volume import sha256_of

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'bids_synth[export]'")
CLOSE = 1e-4
"""Tolerance of scaled numbers, of which white matter, or the range of an image, is 1."""
TINY: dict[str, dict[str, Any]] = {
    "residual-unet": {"network.filters": 4, "network.blocks": [1, 1]},
    "context": {"network.width": 8, "network.layers": 2},
    "unet-2d": {"network.filters": 4, "network.depth": 4},
    "pix2pix-unet": {"network.filters": 4, "network.downs": 5},
    "resnet-2d": {"network.filters": 4, "network.blocks": 1},
    "attention-unet": {"network.filters": 8, "network.levels": 2},
    "excitation-unet": {"network.filters": 4, "network.levels": 2},
}


def tiny(name: str) -> Recipe:
    """A recipe of the package with a small network and window."""
    recipe = load_recipe(name)
    values = dict(TINY[recipe.network.name])
    values["fit.patch"] = [32, 32, 1] if recipe.dimension == "2D" else [24, 16, 16]
    if hasattr(recipe.objective, "discriminator"):
        values |= {"objective.discriminator.layers": 1, "objective.discriminator.tail": 1}
    return recipe.with_values(values)


class Drawn(Model):
    """A model of two networks with drawn weights, of any recipe."""

    def networks(self) -> list[nn.Module]:
        torch.manual_seed(3)
        made = [build_network(self.recipe).eval().requires_grad_(False) for _ in range(2)]
        for number in (n for network in made for n in [*network.parameters(), *network.buffers()]):
            if number.is_floating_point():
                number.add_(0.05 * torch.randn_like(number))
        return made


class Runtime(nn.Module):
    """One of a model's networks as ONNX Runtime runs it."""

    def __init__(self, session: Any, number: int, targets: int) -> None:
        super().__init__()
        self.session, self.rows = session, slice(number * targets, (number + 1) * targets)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        made = [
            self.session.run(["scaled"], {"images": i[None].numpy(), "available": a[None].numpy()})
            for i, a in zip(images, available, strict=True)
        ]
        return torch.from_numpy(np.concatenate([one[0] for one in made]))[:, self.rows]


def toy(kind: str, patch: Sequence[int]) -> Recipe:
    data = small_unet(["T1w", "T2w", "PDw"])
    if kind == "context":
        data["network"] = {"name": "context", "width": 8, "layers": 2, "voxels": 64}
        data["network"] |= {"sample": 1000}
        data["objective"]["ssim"] = 0.0
    data["fit"] |= {"patch": list(patch), "steps": 3, "steps_per_epoch": 3, "members": 2}
    return validate_recipe(data, origin="toy")


def fitted(folder: Path, recipe: Recipe) -> tuple[Model, Prepared]:
    people = [make_visit(folder / "prepared", p) for p in "abcdez"]
    model = fit_model(
        recipe, people, toy_split(), minus_error, folder=folder / "m", work=folder / "w",
        seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    return model, people[-1]


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Prepared]:
    return fitted(tmp_path_factory.mktemp("unet"), toy("residual-unet", [32, 32, 32]))


@pytest.fixture(scope="module")
def exported(unet: tuple[Model, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in both kinds."""
    place = tmp_path_factory.mktemp("exported")
    for kind in ("onnx", "monai-bundle"):
        export_model(unet[0], place / kind, kind)
    return place


def session_of(folder: Path) -> Any:
    return onnxruntime.InferenceSession(folder / "model.onnx")


def by_runtime(model: Model, visit: Prepared, folder: Path, target: str) -> tuple[Any, Any]:
    """The images of the package and of ONNX Runtime of one visit."""
    own, count = load_synthesizer(model, "cpu"), len(model.recipe.targets)
    runtimes = tuple(Runtime(session_of(folder), n, count) for n in range(len(own.networks)))
    other = replace(own, networks=runtimes, last={})
    return own.synthesize(visit, target), other.synthesize(visit, target)


READ = 5e-3
"""The same of networks that read around a voxel: the widest means are taken over four voxels a
side, which the package counts from the image and a graph from its window."""


def assert_same(one: Any, other: Any, scale: Scale, close: float = CLOSE) -> None:
    tolerance = close * scale.gain
    np.testing.assert_allclose(one.image.array, other.image.array, atol=tolerance)
    np.testing.assert_allclose(one.spread.array, other.spread.array, atol=tolerance)
    assert one.image.array.std() > 0


def test_the_volume_of_onnx_runtime_is_that_of_the_package(
    unet: tuple[Model, Prepared], exported: Path
) -> None:
    model, visit = unet
    one, other = by_runtime(model, visit, exported / "onnx", "T2w")
    assert_same(one, other, model.scales["T2w"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "patch"), [("context", [32, 32, 32]), ("unet", [16, 16, 16])])
def test_so_it_is_of_a_network_that_reads_and_of_many_windows(
    kind: str, patch: list[int], tmp_path: Path
) -> None:
    model, visit = fitted(tmp_path, toy(kind, patch))
    export_model(model, tmp_path / "onnx", "onnx")
    one, other = by_runtime(model, visit, tmp_path / "onnx", "PDw")
    close = READ if kind == "context" else CLOSE
    assert_same(one, other, model.scales["PDw"], close)


@pytest.mark.parametrize("there", [(1, 0, 0), (0, 1, 1), (1, 1, 1)])
def test_convolutions_read_what_lies_around_a_voxel(there: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    networks = [ContextPerceptron(sources=3, targets=2, width=8, layers=2) for _ in range(2)]
    for network in networks:
        network.eval().requires_grad_(requires_grad=False)
        for number in [*network.parameters(), network.linear]:
            number.add_(0.2 * torch.randn_like(number))
    images = torch.zeros(1, 3, 37, 45, 40)
    # So that its box begins at a multiple of four voxels: see READ.
    images[:, :, 5:31, 9:43, 5:35] = torch.rand(1, 3, 26, 34, 30)
    images[:, :, 10:12, 20:30, 12:20] = 0  # A gap, which is closed.
    available = torch.tensor([there], dtype=torch.float32)
    wanted = answers_of(networks, images[0], available[0])
    found = DenseContext(networks)(images, available)
    assert float(wanted.std()) > 0.1
    # What is read is kept as float16, and sums in another order may round to the next one.
    difference = (found[0] - wanted.flatten(0, 1)).abs()
    assert float(difference.max()) < 5e-3
    assert float(difference.mean()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_gives_a_graph_and_a_script(
    name: str, unet: tuple[Model, Prepared], tmp_path: Path
) -> None:
    from bids_synth.learn.exchange.bundle import write_bundle

    recipe = tiny(name)
    scales = dict.fromkeys(recipe.modalities, Scale(0.0, 1.0))
    model = Drawn(unet[0].folder, recipe, unet[0].card.model_copy(update={"scales": scales}))
    for write in (write_onnx, write_bundle):
        (tmp_path / write.__name__).mkdir()
        write(model, tmp_path / write.__name__)
    session = session_of(tmp_path / "write_onnx")
    script = torch.jit.load(tmp_path / "write_bundle/models/model.ts")
    count = len(recipe.inputs)
    for lacking in range(2 if recipe.minimum < len(recipe.sources) else 1):
        available = torch.ones(1, count)
        available[0, :lacking] = 0
        maps = available[:, :, None, None, None].expand(1, count, *recipe.fit.patch)
        images = torch.rand(1, count, *recipe.fit.patch) * maps
        with torch.inference_mode():
            wanted = torch.cat([n(images, available) for n in model.networks()], dim=1)
        (found,) = session.run(None, {"images": images.numpy(), "available": available.numpy()})
        np.testing.assert_allclose(found, wanted, atol=CLOSE)
        torch.testing.assert_close(
            script(torch.cat([images, maps], 1)), wanted, atol=CLOSE, rtol=0
        )
        assert float(wanted.std()) > 0


def test_the_example_of_the_page_runs(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported / "onnx")
    page = Path("README.md").read_text("utf-8")
    (code,) = (part.partition("```")[0] for part in page.split("```python\n")[1:])
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["image"].shape == (32, 32, 32)
    assert np.isfinite(names["image"]).all()


def stacked_image(model: Model, visit: Prepared, sources: Sequence[str], path: Path) -> Path:
    """What a bundle reads: the scaled images, then the maps of those that are there."""
    mask = visit.mask_image.array
    nothing = np.zeros(mask.shape, np.float32)
    inputs = model.recipe.inputs
    images = [scaled_image(visit, n, mask) if n in sources else nothing for n in inputs]
    maps = [np.full(mask.shape, n in sources, np.float32) for n in inputs]
    nib.save(nib.Nifti1Image(np.stack([*images, *maps], -1), visit.grid.affine), path)
    return path


@pytest.mark.slow
def test_a_bundle_is_what_monai_expects_and_gives_the_same_volume(
    unet: tuple[Model, Prepared], exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ignite", reason="MONAI's evaluator needs pytorch-ignite")
    from monai.bundle import ConfigWorkflow, load

    model, visit = unet
    monkeypatch.chdir(exported / "monai-bundle")
    network = load("monai-bundle", bundle_dir="..", source="monaihosting", device="cpu",
                   workflow_type="inference")  # fmt: skip
    assert isinstance(network, nn.Module)
    stacked_image(model, visit, ["T1w", "PDw"], Path("images/sub-z.nii.gz"))
    workflow = ConfigWorkflow(
        "configs/inference.json", "configs/metadata.json", workflow_type="inference",
        device=torch.device("cpu"),
    )  # fmt: skip
    workflow.initialize()
    assert not workflow.check_properties(), "what MONAI requires of a bundle"
    workflow.run()
    workflow.finalize()
    (written,) = Path("eval").glob("*.nii.gz")
    made = nib.load(written)
    own = load_synthesizer(model, "cpu").synthesize(visit, "T2w", sources=["T1w", "PDw"])
    inside = visit.mask_image.array > 0
    found = made.get_fdata()[..., model.recipe.targets.index("T2w")][inside]
    gain = model.scales["T2w"].gain
    np.testing.assert_allclose(found, own.image.array[inside], atol=CLOSE * gain)
    np.testing.assert_allclose(made.affine, visit.grid.affine, atol=1e-6)


def test_a_bundle_has_the_files_of_the_specification(exported: Path) -> None:
    folder = exported / "monai-bundle"
    wanted = ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt")
    for name in (*wanted, "models/model.ts", "docs/README.md"):
        assert (folder / name).is_file(), name
    about = json.loads((folder / "configs/metadata.json").read_text())
    ends = about["network_data_format"]
    assert ends["inputs"]["image"]["num_channels"] == len(ends["inputs"]["image"]["channel_def"])
    assert ends["outputs"]["pred"]["num_channels"] == 2 * 3
    assert not list(exported.rglob("split.tsv")), "labels of participants stay at home"


@pytest.mark.parametrize("kind", ["onnx", "monai-bundle"])
def test_what_comes_back_is_the_model(
    kind: str, unet: tuple[Model, Prepared], exported: Path, tmp_path: Path
) -> None:
    model, visit = unet
    back = import_model(exported / kind, tmp_path / "back")
    assert back.sha256 == model.sha256
    for entry in model.card.weights:
        assert sha256_of(tmp_path / "back" / entry.file) == entry.sha256
    own, other = (load_synthesizer(m, "cpu").synthesize(visit, "T1w") for m in (model, back))
    np.testing.assert_array_equal(own.image.array, other.image.array)


def test_pickles_and_graphs_are_not_opened(exported: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(exported / "monai-bundle", tmp_path / "bundle")
    for name in ("models/model.pt", "models/model.ts"):
        (folder / name).write_bytes(b"\x80\x04cos\nsystem\n")  # What would run when unpickled.
    assert import_model(folder, tmp_path / "back").name == "m"


def test_what_was_not_made_here_is_refused_with_a_reason(exported: Path, tmp_path: Path) -> None:
    import shutil

    (tmp_path / "other/configs").mkdir(parents=True)
    (tmp_path / "other/configs/metadata.json").write_text("{}")
    with pytest.raises(ModelError, match=r"a MONAI bundle without export\.json.*not known"):
        import_model(tmp_path / "other", tmp_path / "new")
    folder = shutil.copytree(exported / "onnx", tmp_path / "copy")
    about = json.loads((folder / "export.json").read_text())
    for change, reason in (
        ({"format": "other"}, "is 'other'"),
        ({"version": 9}, "update bids_synth"),
        ({"weights_sha256": "0" * 64}, "other weights"),
    ):
        (folder / "export.json").write_text(json.dumps(about | change))
        with pytest.raises(ModelError, match=reason):
            import_model(folder, tmp_path / "new")
    (folder / "export.json").write_text("[")
    with pytest.raises(ModelError, match="not what bids_synth writes"):
        import_model(folder, tmp_path / "new")
    (folder / "export.json").write_text(json.dumps(about))
    (weights,) = (folder / "bids_synth/weights").glob("fold-0_member-0*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelError, match="altered"):
        import_model(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(
    unet: tuple[Model, Prepared], exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is there already"):
        export_model(unet[0], tmp_path, "onnx")
    with pytest.raises(UsageError, match="is there already"):
        import_model(exported / "onnx", tmp_path)


def test_a_network_that_no_graph_holds_is_told(
    unet: tuple[Model, Prepared], tmp_path: Path
) -> None:
    class Looks(nn.Module):
        def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
            if images.mean() > 0:
                return images
            return images.flip(1)[:, : int(images.max())]

    class Odd(Model):
        def networks(self) -> list[nn.Module]:
            return [Looks()]

    model = Odd(unet[0].folder, unet[0].recipe, unet[0].card)
    with pytest.raises(ModelError, match=r"residual-unet cannot be written as onnx.*share"):
        export_model(model, tmp_path / "out", "onnx")
    assert not [p for p in tmp_path.iterdir() if p.name != "prepared"]


def test_the_command_line_exports_and_imports(
    unet: tuple[Model, Prepared], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    assert run_command(["export", str(unet[0].folder), out, "--to", "monai-bundle"]) == 0
    assert run_command(["import", out, back]) == 0
    assert load_model(Path(back)).sha256 == unet[0].sha256
    assert unet[0].sha256[:12] in capsys.readouterr().out
    for line, code, told in (
        (["import", out, back], 2, "is there already"),
        (["export", "https://example.org/m.zip", out, "--to", "onnx"], 2, "nothing is ever"),
        (["export", str(tmp_path), out, "--to", "onnx"], 2, "expected a model folder"),
        (["export", out], 2, "required"),
        (["export", "--help"], 0, "monai-bundle"),
        (["export", "nowhere", "participant"], 2, "bids_dir"),
    ):
        assert run_command(line) == code, line
        said = capsys.readouterr()
        assert told in said.out + said.err, line


@pytest.mark.slow
def test_the_shipped_model_becomes_a_graph(tmp_path: Path) -> None:
    """A smaller window than its own, which holds the same graph with fewer slabs."""
    model = load_model(embedded_models()[DEFAULT])
    small = replace(model, recipe=model.recipe.with_values({"fit.patch": [48, 48, 48]}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_onnx(small, tmp_path)
    visit = make_visit(tmp_path / "prepared", "x", shape=SHAPE)
    one, other = by_runtime(small, visit, tmp_path, "T2w")
    assert_same(one, other, model.scales["T2w"], READ)
    assert float(np.abs(one.image.array - other.image.array).mean()) < 1e-3


@pytest.mark.parametrize("address", ["https://example.org/m.zip", "hf://lab/net", "s3:bucket/m"])
def test_nothing_is_downloaded_where_a_model_is_an_address(address: str, tmp_path: Path) -> None:
    settings = Settings(
        dataset=tmp_path, output=tmp_path, level="participant", work=tmp_path, model=address
    )
    with pytest.raises(UsageError, match="nothing is ever downloaded: fetch it yourself"):
        model_folder(settings)
    with pytest.raises(ModelError, match="nothing is ever downloaded"):
        bids_synth.load(address)
