"""Asks one engine release's own parser about argument lists; real_parsers.py starts it in the engines' Python.

    ENGINE_VENV/bin/python benchmarks/engine_worker.py vllm TREE < ITEMS > ANSWERS

ITEMS are JSON objects, one a line: entry ("serve" or "api_server"; SGLang has one) and args, the words behind it.
ANSWERS are JSON objects in the same order: ok, error (the parser's message), got (what was read, for the flags or the
engine's own names that an item's `expect` has). vLLM's lists also go through validate_parsed_serve_args and
AsyncEngineArgs.from_cli_args, as its entry points do before they build the engine.
"""

import argparse
import contextlib
import dataclasses
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import engine_parsers


class RefusedError(Exception):
    """The parser ends the process with this message."""


class _Captured(Exception):  # noqa: N818  # no error: it carries the parser out of main()
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def strict(base: type[argparse.ArgumentParser]) -> type[argparse.ArgumentParser]:
    """The parser class, raising where argparse would end the process."""

    class Strict(base):  # type: ignore[misc,valid-type]  # the engine's class is known only here
        @override
        def error(self, message: str) -> NoReturn:
            raise RefusedError(message)

        @override
        def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
            raise RefusedError(message or f"exit {status}")

    return Strict


def vllm_serve_parser() -> argparse.ArgumentParser:
    """The parser of the command `vllm`, with its sub-command `serve`."""
    kind = strict(engine_parsers.vllm_parser_class())
    parser = kind(prog="vllm")
    parser.add_argument("-v", "--version", action="version", version="")
    commands = parser.add_subparsers(required=False, dest="subparser")
    try:
        commands_of: Callable[[], list[Any]] = engine_parsers.first("cmd_init", "vllm.entrypoints.cli.serve")
    except ImportError:
        return _parser_of_main(kind)
    commands_of()[0].subparser_init(commands)
    return parser


def _parser_of_main(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The parser that vllm/scripts.py builds within main() (0.6.6)."""
    scripts: Any = importlib.import_module("vllm.scripts")

    class Caught(kind):  # type: ignore[misc,valid-type]  # the engine's class is known only here
        @override
        def parse_args(self, *_: object, **__: object) -> NoReturn:
            raise _Captured(self)

    scripts.FlexibleArgumentParser = Caught
    try:
        scripts.main()
    except _Captured as caught:
        parser: argparse.ArgumentParser = caught.parser
        parser.__class__ = kind
        for action in parser._actions:  # noqa: SLF001  # sub-parsers hang there
            for command in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
                command.__class__ = kind
        return parser
    raise RuntimeError("vllm.scripts.main() parsed nothing")


@dataclasses.dataclass(frozen=True)
class Front:
    """How an entry point reads its words.

    Attributes:
        parser: Parser of the whole command line.
        before: Words that the entry point itself stands for.
        arguments: Parser that has the engine's arguments.
    """

    parser: argparse.ArgumentParser
    before: tuple[str, ...]
    arguments: argparse.ArgumentParser

    def read(self, words: list[str]) -> argparse.Namespace:
        """What the parser makes of the words."""
        return self.parser.parse_args([*self.before, *words])

    def dest(self, name: str) -> str:
        """The engine's own name of a flag; of anything else the name itself."""
        action = self.arguments._option_string_actions.get(name)  # noqa: SLF001  # argparse tells nobody
        return name if action is None else action.dest


@cache
def front(engine: str, entry: str) -> Front:
    """The front of an engine: `sglang serve MODEL` and sglang.launch_server share one parser."""
    if engine == "sglang":
        parser = engine_parsers.sglang_arguments(strict(argparse.ArgumentParser)(prog="sglang"))
        return Front(parser, (), parser)
    if entry == "serve":
        parser = vllm_serve_parser()
        commands = next(action.choices for action in parser._actions if isinstance(action.choices, dict))  # noqa: SLF001
        return Front(parser, ("serve",), commands["serve"])
    parser = engine_parsers.vllm_arguments(strict(engine_parsers.vllm_parser_class())(prog="api_server"))
    return Front(parser, (), parser)


def vllm_read(entry: str, words: list[str]) -> argparse.Namespace:
    """The words as vLLM reads them up to its engine arguments."""
    read = front("vllm", entry).read(words)
    if getattr(read, "model_tag", None) is not None:
        read.model = read.model_tag
    engine_parsers.first("validate_parsed_serve_args", *engine_parsers.VLLM_ARGUMENTS)(read)
    vllm_engine_arguments().from_cli_args(read)
    return read


@cache
def vllm_engine_arguments() -> Any:  # noqa: ANN401  # another project's class
    """The class AsyncEngineArgs, which would look offline for the model's files."""
    module = importlib.import_module("vllm.engine.arg_utils")
    vars(module)["get_model_path"] = lambda model, *_: model
    return module.AsyncEngineArgs


def sglang_read(entry: str, words: list[str]) -> argparse.Namespace:
    """The words as SGLang's parser reads them."""
    named = ["--model-path", words[0], *words[1:]] if words and not words[0].startswith("-") else words
    return front("sglang", entry).read(named)


READERS = {"vllm": vllm_read, "sglang": sglang_read}


def answer(engine: str, item: Mapping[str, Any]) -> dict[str, object]:
    """What the engine says to one argument list."""
    try:
        with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(io.StringIO()):
            read = READERS[engine](item["entry"], item["args"])
            dest = front(engine, item["entry"]).dest
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever ends the engine's start is its answer
        return {"ok": False, "error": str(error) if isinstance(error, RefusedError) else _described(error)}
    return {
        "ok": True,
        "error": None,
        "got": {name: getattr(read, dest(name), None) for name in item.get("expect", ())},
    }


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def answers(engine: str) -> Iterator[dict[str, object]]:
    """The answers to what stands on standard input."""
    sys.argv = ["vllm", "serve"]  # vLLM looks for --help there
    for line in sys.stdin:
        yield answer(engine, json.loads(line))


def main() -> None:
    """Answer all items."""
    engine, tree = sys.argv[1:3]
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # engines greet on standard output
        engine_parsers.put_first(Path(tree))
        found = list(answers(engine))
    for entry in found:
        out.write(json.dumps(entry, default=str) + "\n")
    out.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
