"""The tree is what README.md says of it: imports run down, and every module has its place."""

from __future__ import annotations

import ast

import pytest

from tests.processes import REPO

# Rooms and modules below common/, from the commands down; each may import what stands below it.
# A line holds those that do not know each other.
ORDER = (
    {
        "cli",
        "cli_videos",
        "cli_latents",
        "prepare",
        "reconstruct",
        "tables",
        "compact",
        "export",
        "benchmark",
    },
    {"encoding"},
    {"evaluation", "prediction"},
    {"training", "compression"},
    {"predictor"},
    {"datasets"},
    {"data", "fast", "inference"},
    {"video"},
    {"codecs", "models"},
    {"arrays", "console", "device", "files", "parallel"},
    {"errors", "facts", "framework"},
)
# Among the commands: the benchmark measures the six scripts' own command line.
ALSO = {("benchmark", "cli"), ("cli", "cli_videos"), ("reconstruct", "cli_latents")}
MODULES = sorted((REPO / "common").rglob("*.py"))


def _place(name: str) -> int:
    return next(number for number, line in enumerate(ORDER) if name in line)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_imports_run_down(module):
    room = module.relative_to(REPO / "common").with_suffix("").parts[0]
    if room == "__init__":
        return
    for node in ast.walk(ast.parse(module.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert room == "framework" or name.split(".")[0] not in (
                "tensorflow",
                "tf_keras",
                "keras",
            )
            if name.startswith("common."):
                other = name.split(".")[1]
                below = _place(other) > _place(room)
                assert below or other == room or (room, other) in ALSO, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_modules_and_functions_are_short(module):
    text = module.read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 50, f"{node.name} has {length} lines"


def test_all_packages_are_installed():
    """Python 3.9 and 3.10 read no TOML by themselves: the names are looked for as text."""
    listed = (REPO / "pyproject.toml").read_text()
    for module in MODULES:
        package = ".".join(module.relative_to(REPO).parent.parts)
        assert f'"{package}"' in listed, package
