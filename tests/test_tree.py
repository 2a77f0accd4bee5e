"""The tree is what README.md says of it: imports run down, and every module has its place."""

from __future__ import annotations

import ast

import pytest

from tests.processes import REPO

# Who may import whom, by the path below common/.
ALLOWED = {
    "models": {"models", "errors", "files"},
    "data": {"data", "errors", "files"},
    "report": {"report", "loops", "models", "data", "errors", "files"},
    "loops": {"loops", "models", "data", "errors", "files"},
    "errors.py": set(),
    "files.py": {"errors"},
}
MODULES = sorted((REPO / "common").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_imports_run_down(module):
    place = module.relative_to(REPO / "common").parts[0]
    if place not in ALLOWED:
        return
    for node in ast.walk(ast.parse(module.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.startswith("common."):
                assert name.split(".")[1] in ALLOWED[place], f"{module} imports {name}"
