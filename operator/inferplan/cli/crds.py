"""`inferplan crds`: the CustomResourceDefinitions of this version."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferplan.api.crd import render
from inferplan.cli.errors import BadInputError
from inferplan.cli.parsers import command_parser

_DESCRIPTION = """\
Prints the CustomResourceDefinitions of this version, writes them to a folder, or checks that a folder
holds exactly them (exit code 1 where it does not)."""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("crds", _DESCRIPTION, "inferplan crds | kubectl apply --server-side -f -")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--output", metavar="DIR", type=Path, help="write one file for each CRD there")
    choice.add_argument("--check", metavar="DIR", type=Path, help="compare with the files there")
    options = parser.parse_args(words)
    files = render()
    if options.check is not None:
        return _check(files, options.check)
    if options.output is not None:
        return _write(files, options.output)
    sys.stdout.write("".join(text if text.startswith("---") else f"---\n{text}" for text in files.values()))
    return 0


def _write(files: Mapping[str, str], folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"--output {folder}: {error.strerror}") from None
    return 0


def _check(files: Mapping[str, str], folder: Path) -> int:
    if not folder.is_dir():
        raise BadInputError(f"--check {folder}: no such folder")
    stale = [name for name, text in files.items() if _content(folder / name) != text]
    for name in stale:
        print(f"{folder / name}: not what this version generates; write it with `inferplan crds --output {folder}`")
    return 1 if stale else 0


def _content(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
