"""What SGLang's own parser accepts, as JSON: the raw data of the flag registry.

    pip download --no-deps --only-binary :all: -d DIR sglang==0.5.23 && unzip DIR/sglang-*.whl '*.py' -d TREE
    ENGINE_VENV/bin/python scripts/dump_sglang_args.py TREE > sglang_args_0.5.23.json

ENGINE_VENV has vLLM's dependencies (see dump_vllm_args.py) and orjson, triton, IPython, traitlets and torchvision.
One object for each argument, in the parser's order: flags, dest, type, nargs, choices, default (its repr), action; and
refused, where the parser knows a retired flag only to refuse it.
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import engine_parsers
from typing_extensions import override


class Strict(argparse.ArgumentParser):
    """A parser that raises where argparse would end the process."""

    @override
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def refused(parser: argparse.ArgumentParser, action: argparse.Action) -> bool:
    """Whether a flag without a value ends the start: SGLang keeps some retired flags to name their successors."""
    if not type(action).__name__.startswith("Deprecated") or action.nargs != 0:
        return False
    try:
        parser.parse_known_args(["--model-path", "m", action.option_strings[0]])
    except ValueError:
        return True
    return False


def described(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, object]:
    """One argument."""
    shown: dict[str, object] = {
        "flags": list(action.option_strings),
        "dest": action.dest,
        "type": engine_parsers.type_name(action),
        "nargs": action.nargs,
        "choices": engine_parsers.choices(action.choices),
        "default": repr(action.default),
        "action": type(action).__name__,
    }
    return {**shown, "refused": True} if refused(parser, action) else shown


def main() -> None:
    """Write the dump of one release to standard output."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("tree", type=Path, help="the unzipped wheel")
    tree: Path = options.parse_args().tree
    with contextlib.redirect_stdout(sys.stderr):  # engines greet on standard output
        engine_parsers.put_first(tree)
        parser = engine_parsers.sglang_arguments(Strict(prog="sglang"))
    actions = parser._actions  # noqa: SLF001  # argparse has no public list of arguments
    sys.stdout.write(json.dumps([described(parser, action) for action in actions], indent=0) + "\n")
    sys.stdout.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
