"""The package's own code: nothing is unpickled, evaluated, or fetched."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bids_synth

PACKAGE = Path(bids_synth.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("urllib", "http", "requests", "httpx", "aiohttp", "socket", "ftplib", "smtplib"),
    *("xml", "telnetlib", "imaplib", "xmlrpc"),
}
"""What can execute what it reads, or reach the network."""
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    *("read_pickle", "to_pickle", "loadpkl", "savepkl", "load_from_checkpoint", "unsafe_load"),
    *("full_load", "load_all", "system", "popen", "load_state_dict_from_url", "hub"),
}


def problems_of(source: str) -> list[str]:
    """Every dangerous import or call, one word each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in MODULES else []
            found += [a.name for a in node.names if a.name in METHODS]
        elif isinstance(node, ast.Call):
            found += _call_problems(node)
    return found


def _call_problems(node: ast.Call) -> list[str]:
    given = {k.arg: k.value for k in node.keywords}
    true = {name for name, value in given.items() if getattr(value, "value", None) is True}
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    return [
        *([name] if name in CALLS else []),
        *([method] if method in METHODS else []),
        *(["shell"] if "shell" in true else []),
        *(["allow_pickle"] if "allow_pickle" in true else []),
        *(["torch.load"] if owner == "torch" and method == "load" and not _safe(true) else []),
        *(["ckpt_path"] if "ckpt_path" in given and not _safe(true) else []),
        *(["yaml.load"] if owner == "yaml" and method not in {"safe_load", "safe_dump"} else []),
    ]


def _safe(true: set[str | None]) -> bool:
    return "weights_only" in true


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_dangerous_is_called(path: Path) -> None:
    assert problems_of(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import pickle", "pickle"),
        ("from urllib.request import urlopen", "urllib.request"),
        ("from nipype.utils.filemanip import loadpkl", "loadpkl"),
        ("eval('1')", "eval"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("loop.fit(module, ckpt_path=path)", "ckpt_path"),
        ("yaml.load(text)", "yaml.load"),
        ("subprocess.run(words, shell=True)", "shell"),
        ("os.system(words)", "system"),
    ],
)
def test_the_search_can_find(source: str, told: str) -> None:
    assert problems_of(source) == [told]


def test_torch_files_are_read_in_two_places() -> None:
    """Of a fit's own work directory, and of the features that a user supplies."""
    readers = {p.name for p in FILES if "torch.load(" in p.read_text("utf-8")}
    assert readers == {"loop.py", "supplied.py"}


def test_what_is_safe_is_left_alone() -> None:
    source = "torch.load(p, weights_only=True); yaml.safe_load(t); np.load(p); json.load(f)"
    assert problems_of(source) == []
