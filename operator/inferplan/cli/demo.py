"""`inferplan demo`: runs `make demo` of the checkout that this package was installed from."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import inferplan
from inferplan.cli.errors import CannotRunError
from inferplan.cli.parsers import command_parser

_DESCRIPTION = """\
Runs `make demo` in the repository that this package was installed from: a real API server, simulated
engines under load, and the operator, on this machine. An installed wheel has no demo."""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    command_parser("demo", _DESCRIPTION, "inferplan demo").parse_args(words)
    root = Path(inferplan.__file__).parents[2]
    if not (root / "Makefile").is_file() or not (root / "lab" / "inferplan_lab").is_dir():
        raise CannotRunError("the demo needs a checkout of the repository; run `make demo` there")
    return subprocess.call(["make", "demo"], cwd=root)  # noqa: S607  fixed words; make comes from PATH on purpose
