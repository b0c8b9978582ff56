"""vLLM's command line, release by release, built from the flag data that the operator carries.

The parser is a real argparse parser with the release's own flags, so prefixes, ``--k=v``, lists and refusals
come out as they do in vLLM, which uses argparse too. Only the data is the operator's (operator/inferplan/dialects/
data/vllm.json, from dumps of vLLM's own parsers), none of its code, so that the two can be held against each other.
What vLLM adds to argparse is in :mod:`inferplan_lab.engine.rewriting`.
"""

import argparse
import json
import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from typing_extensions import override

from inferplan_lab.engine.flag_values import READERS, optional_reader
from inferplan_lab.engine.rewriting import rewrite

Release = tuple[int, ...]

LAST_RELEASE_REFUSING_MODEL_FLAG: Release = (0, 11, 0)
"""Up to here `vllm serve --model M` is an error; later it is accepted (engine facts, section 1a)."""


class FlagError(ValueError):
    """The command line was refused by the parser. ``str`` is what argparse prints; exit code 2."""


class StartupError(ValueError):
    """The engine refuses its configuration, or does not fit the machine. Exit code 1."""


def release_of(version: str) -> Release:
    """The numbers of a version text.

    Args:
        version: such as ``0.33.0``, ``v0.11.0`` or ``0.10.1.1+cu128``.

    Returns:
        The leading dotted numbers.

    Raises:
        StartupError: no number in front.
    """
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    if not found:
        raise StartupError(f"INFERPLAN_SIM_VLLM_VERSION: {version!r} is not a version such as 0.33.0")
    return tuple(int(part) for part in found[1].split("."))


@cache
def _data() -> dict[str, Any]:
    """The content of vllm.json: each flag once, and for each release the numbers of its flags."""
    text = resources.files("inferplan.dialects").joinpath("data", "vllm.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def bundled_release(version: str) -> str:
    """The bundled release whose flags stand for this version: the newest that is not newer.

    Args:
        version: the pretended version.

    Returns:
        One of the releases in the data.

    Raises:
        StartupError: the version is older than all of them.
    """
    wanted = release_of(version)
    older: list[str] = [name for name in _data()["releases"] if release_of(name) <= wanted]
    if not older:
        raise StartupError(f"INFERPLAN_SIM_VLLM_VERSION: {version} is older than any release with flag data")
    return max(older, key=release_of)


def release_flags(version: str) -> tuple[dict[str, Any], ...]:
    """The flags of a version, as in the data.

    Args:
        version: the pretended version.

    Returns:
        One mapping a flag: names, dest, kind and so on.

    Raises:
        StartupError: the version is older than all bundled releases.
    """
    data = _data()
    return tuple(data["flags"][number] for number in data["releases"][bundled_release(version)])


class _Switch(argparse.Action):
    """A flag without a value that some spellings set and others clear."""

    def __init__(self, option_strings: Sequence[str], dest: str, off: Collection[str], **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(option_strings, dest, nargs=0, **settings)
        self.off = off

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, option_string not in self.off)


class _Parser(argparse.ArgumentParser):
    """Argparse that raises instead of leaving the process."""

    @override
    def error(self, message: str) -> NoReturn:
        raise FlagError(f"usage: {self.usage}\n{self.prog}: error: {message}")


def _default(flag: dict[str, Any]) -> str | bool | None:
    """A flag's default where it is a number or a boolean; argparse reads the number with the flag's own type."""
    text: str = flag.get("default", "")
    if text in {"True", "False"}:
        return text == "True"
    return text if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def _add(parser: argparse.ArgumentParser, flag: dict[str, Any]) -> None:
    """Give the parser one flag of the data."""
    names, kind, off = flag["names"], flag["kind"], flag.get("off", [])
    settings: dict[str, Any] = {"default": _default(flag), "help": argparse.SUPPRESS}
    if names:
        settings["dest"] = flag["dest"]
    if kind == "switch":
        parser.add_argument(*names, *off, action=_Switch, off=off, **settings)
    elif kind == "true":
        parser.add_argument(*names, action="store_true", dest=flag["dest"])
    elif kind == "boolean":
        parser.add_argument(*names, nargs="?", const=True, type=READERS["boolean"], **settings)
    else:
        settings["action"] = "append" if kind == "append" else "store"
        parser.add_argument(*(names or [flag["dest"]]), **settings, **_value(flag))


def _value(flag: dict[str, Any]) -> dict[str, Any]:
    """How argparse reads a flag's value."""
    read, optional = READERS[flag["type"]], flag.get("optional", False)
    settings: dict[str, Any] = {"type": optional_reader(read) if optional else read, "nargs": flag.get("nargs")}
    if "choices" in flag:
        settings["choices"] = [*map(read, flag["choices"]), *([None] if optional else [])]
    return settings


def build_parser(version: str, *, api_server: bool) -> argparse.ArgumentParser:
    """The parser of a release's server.

    Args:
        version: the pretended version.
        api_server: True for ``python3 -m vllm.entrypoints.openai.api_server``, False for ``vllm serve``.

    Returns:
        A parser that raises :class:`FlagError` instead of leaving the process.

    Raises:
        StartupError: the version is older than all bundled releases.
    """
    prog = "api_server.py" if api_server else "vllm serve"
    usage = f"{prog} [options]" if api_server else "vllm serve [model_tag] [options]"
    parser = _Parser(prog=prog, usage=usage, add_help=True)
    for flag in release_flags(version):
        if flag["kind"] not in {"help", "environment"} and not (api_server and flag.get("serve_only")):
            _add(parser, flag)
    return parser


def parse(version: str, arguments: Sequence[str], *, api_server: bool) -> argparse.Namespace:
    """Read a server's arguments as the release would.

    Args:
        version: the pretended version.
        arguments: what comes after ``vllm serve`` or after the api_server module.
        api_server: which of the two.

    Returns:
        One attribute for each flag of the release; ``model`` is the model that is served.

    Raises:
        FlagError: argparse refuses (exit code 2).
        StartupError: the release refuses in its own code (exit code 1).
    """
    parser = build_parser(version, api_server=api_server)
    rewritten = rewrite(arguments, release_of(version))
    namespace, extra = parser.parse_known_args(rewritten)
    if extra:
        top = "api_server.py" if api_server else "vllm"
        raise FlagError(f"usage: {parser.usage}\n{top}: error: unrecognized arguments: {' '.join(extra)}")
    tag = getattr(namespace, "model_tag", None)
    named = any(word == "--model" or word.startswith("--model=") for word in rewritten)
    if not api_server and named and release_of(version) <= LAST_RELEASE_REFUSING_MODEL_FLAG:
        raise StartupError("With `vllm serve`, give the model as a positional argument, not with `--model`")
    namespace.model = tag or namespace.model or "Qwen/Qwen3-0.6B"
    return namespace
