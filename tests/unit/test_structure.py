"""The limits on the length of modules and functions."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

MODULE_LINES = 250
FUNCTION_LINES = 50
REASON = "Longer than 250 lines"
"""A longer module needs this text, followed by the reason, in its docstring."""


def modules() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = sorted({ROOT / name for name in listed.stdout.split()})
    return [path for path in paths if path.exists() and "tests" not in path.relative_to(ROOT).parts]


MODULES = modules()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_stay_within_the_limits(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    lines = len(text.splitlines())
    assert lines <= MODULE_LINES or REASON in (ast.get_docstring(tree) or ""), f"{lines} lines"
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES, f"{function.name} has {length} lines"


def test_the_modules_of_the_project_are_listed() -> None:
    assert len(MODULES) > 80
