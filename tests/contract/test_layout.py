"""`operator/` is a source root: nothing in it may shadow the standard library's module of that name."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN_NAMES = ("types", "logging", "queue", "operator", "platform", "statistics", "profile")
PROBE = "import operator, collections, json, sys; print(operator.__file__ or ''); print(operator.itemgetter)"


def test_no_python_file_lies_directly_in_operator() -> None:
    assert sorted(path.name for path in (ROOT / "operator").glob("*.py")) == []
    assert sorted(path.name for path in (ROOT / "lab").glob("*.py")) == []


@pytest.mark.parametrize("python_path", [".", "operator", f".{os.pathsep}operator"])
def test_the_standard_librarys_operator_is_found(python_path: str) -> None:
    environment = {**os.environ, "PYTHONPATH": python_path}
    done = subprocess.run(
        (sys.executable, "-S", "-c", PROBE), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = Path(done.stdout.splitlines()[0])
    assert not found.is_relative_to(ROOT / "operator")
    assert "itemgetter" in done.stdout


def test_no_module_has_the_name_of_a_standard_module_that_is_often_imported() -> None:
    taken = [
        str(path.relative_to(ROOT))
        for source in ("operator/inferplan", "lab/inferplan_lab")
        for name in FORBIDDEN_NAMES
        for path in (*(ROOT / source).rglob(f"{name}.py"), *(ROOT / source).rglob(f"{name}/__init__.py"))
    ]
    assert taken == []


def test_every_package_has_a_docstring_in_its_init() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "operator" / "inferplan").rglob("__init__.py")
        if not path.read_text("utf-8").lstrip().startswith('"""')
    ]
    assert bare == []


def test_every_program_of_the_package_is_there() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts.keys() == {"inferplan", "kubectl-inferplan"}  # kubectl looks for the latter
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))
