"""vLLM's command line, release by release, built from the data in flags.json.

The parser is a real argparse parser with the release's own flags, so prefixes, ``--k=v``, lists and refusals
come out as they do in vLLM, which uses argparse too. What vLLM adds to argparse is in
:mod:`inferplan_lab.engine.rewriting`.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from typing_extensions import override

from inferplan_lab.engine.rewriting import rewrite

Release = tuple[int, ...]

LAST_RELEASE_REFUSING_MODEL_FLAG: Release = (0, 11, 0)
"""Up to here `vllm serve --model M` is an error; later it is accepted (engine facts, section 1a)."""

HUMAN_INTEGER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
DECIMAL_POWERS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_POWERS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


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
    """The content of flags.json."""
    text = resources.files("inferplan_lab.engine").joinpath("flags.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def bundled_release(version: str) -> str:
    """The bundled release whose flags stand for this version: the newest that is not newer.

    Args:
        version: the pretended version.

    Returns:
        One of the releases in flags.json.

    Raises:
        StartupError: the version is older than all of them.
    """
    wanted = release_of(version)
    older: list[str] = [name for name in _data()["releases"] if release_of(name) <= wanted]
    if not older:
        raise StartupError(f"INFERPLAN_SIM_VLLM_VERSION: {version} is older than any release with flag data")
    return max(older, key=release_of)


def release_flags(version: str) -> tuple[dict[str, Any], ...]:
    """The flags of a version, as in flags.json.

    Args:
        version: the pretended version.

    Returns:
        One mapping a flag: names, dest, kind and so on.

    Raises:
        StartupError: the version is older than all bundled releases.
    """
    data = _data()
    return tuple(data["flags"][number] for number in data["releases"][bundled_release(version)])


def human_int(text: str) -> int:
    """An integer with an optional suffix: ``32k`` is 32000, ``32K`` is 32768 (engine facts, section 1a).

    Args:
        text: the flag's value.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: neither an integer nor a number with a known suffix, or a fraction before
            a binary suffix.
    """
    found = HUMAN_INTEGER.fullmatch(text.strip())
    if not found:
        try:
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid human_readable_int value: {text!r}") from None
    number, suffix = found.groups()
    if suffix in DECIMAL_POWERS:
        return int(float(number) * DECIMAL_POWERS[suffix])
    if "." in number:
        raise argparse.ArgumentTypeError(f"{text!r}: no decimals before a binary suffix such as {suffix}")
    return int(number) * BINARY_POWERS[suffix]


def _human_int_or_auto(text: str) -> int:
    """As :func:`human_int`; ``auto`` and -1 mean "as long as fits" and come back as -1."""
    return -1 if text == "auto" else human_int(text)


def _json_object(text: str) -> str:
    """The text itself when it is a JSON object."""
    if not isinstance(json.loads(text), dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return text


def _json_text(text: str) -> str:
    """The text itself when it is JSON."""
    json.loads(text)
    return text


def _optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader that takes ``None`` and the empty text for "not set"."""

    def optional(text: str) -> Any:  # noqa: ANN401 - whatever the wrapped reader returns
        return None if text in {"", "None"} else read(text)

    optional.__name__ = read.__name__.strip("_")
    return optional


READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "int": int,
    "float": float,
    "human_int": human_int,
    "human_int_or_auto": _human_int_or_auto,
    "json": _json_text,
    "object": _json_object,
    "optional_text": _optional(str),
    "optional_int": _optional(int),
    "optional_float": _optional(float),
    "optional_human_int": _optional(human_int),
    "optional_json": _optional(_json_text),
}


class _Switch(argparse.Action):
    """A flag without a value: the positive name sets it, the ``--no-`` or opposite name clears it."""

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name = option_string or ""
        opposite = {"--enable-": "--disable-", "--disable-": "--enable-"}
        start = next((word for word in opposite if self.option_strings[0].startswith(word)), "")
        negative = name.startswith("--no-") or bool(start and name.startswith(opposite[start]))
        setattr(namespace, self.dest, not negative)


class _Parser(argparse.ArgumentParser):
    """Argparse that raises instead of leaving the process."""

    @override
    def error(self, message: str) -> NoReturn:
        raise FlagError(f"usage: {self.usage}\n{self.prog}: error: {message}")


def _default(flag: dict[str, Any]) -> str | bool | None:
    """A flag's default: what the dump told, as text that argparse reads with the flag's own type."""
    text: str | None = flag.get("default")
    return text == "True" if text in {"True", "False"} else text


def _add(parser: argparse.ArgumentParser, flag: dict[str, Any]) -> None:
    """Give the parser one flag of flags.json."""
    names, kind = flag["names"], flag["kind"]
    settings: dict[str, Any] = {"default": _default(flag), "help": argparse.SUPPRESS}
    if kind in {"switch", "pair"}:
        hidden = [f"--no-{names[0][2:]}"] if kind == "pair" else []
        settings |= {"action": _Switch, "nargs": 0, "dest": flag["dest"]}
        parser.add_argument(*names, *(name for name in hidden if name not in names), **settings)
        return
    if kind == "true":
        parser.add_argument(*names, action="store_true", dest=flag["dest"])
        return
    settings |= {"type": READERS[flag["type"]], "nargs": flag.get("nargs")}
    if kind == "append":
        settings["action"] = "append"
    if "choices" in flag:
        kept = [READERS[flag["type"]](choice) for choice in flag["choices"]]
        settings["choices"] = [*kept, None] if flag["type"].startswith("optional") else kept
    if names:
        settings["dest"] = flag["dest"]
    parser.add_argument(*(names or [flag["dest"]]), **settings)


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
    flags = release_flags(version)
    for flag in flags:
        if flag["kind"] != "help":
            _add(parser, flag)
    known = {flag["dest"] for flag in flags}
    # Early releases gave these two to the `serve` sub-command only.
    if not api_server and "model_tag" not in known:
        parser.add_argument("model_tag", nargs="?")
    if not api_server and "config" not in known:
        parser.add_argument("--config")
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
