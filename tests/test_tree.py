"""The tree is what pyproject.toml and README.md say of it."""

import ast
import subprocess
import sys
import tomllib

import pytest

from tests.processes import REPO

MODULES = sorted([*(REPO / "common").rglob("*.py"), *(REPO / "tools").glob("*.py")])
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 45
# These pass many settings on, one a line.
LONGER = {
    "encode.encode_video": 47,
    "preparation.prepare": 48,
}
# Commands import libraries once the request makes sense, so that help and errors come at once.
MOST_INNER_IMPORTS = 40


def test_each_package_imports_only_packages_below_it():
    """In a process of its own, since import-linter disables the loggers of the one it runs in."""
    lint = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-c", lint], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_modules_are_relative_silent_and_short(module):
    """The package has two names, so it may not import itself by one; TensorFlow prints notices,
    unless `framework` imports it."""
    text = module.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for package in (name.split(".")[0] for name in names):
            assert "tools" in module.parts or package not in ("common", "laser_jnd")
            assert module.name == "framework.py" or package not in (
                "tensorflow",
                "tf_keras",
                "keras",
            )
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            most = LONGER.get(f"{module.stem}.{node.name}", MOST_LINES_OF_A_FUNCTION)
            assert length <= most, f"{node.name} has {length} lines"


def test_few_imports_are_inside_functions():
    inner = {
        (module, node.lineno)
        for module in MODULES
        if "tools" not in module.parts
        for function in ast.walk(ast.parse(module.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(inner) <= MOST_INNER_IMPORTS


def test_all_packages_are_installed():
    listed = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {module.parent.relative_to(REPO).parts for module in MODULES} - {("tools",)}
    assert {".".join(("laser_jnd", *parts[1:])) for parts in packages} == {
        package for package in listed if package.split(".")[-1] not in ("samples", "weights")
    }
