"""How vLLM's parser reads a flag's value, by the type names of the flag data."""

import argparse
import ast
import json
import re
from collections.abc import Callable
from typing import Any

HUMAN_INTEGER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
DECIMAL_POWERS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_POWERS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


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


def _json_or_pairs(text: str) -> str:
    """The text itself when it is JSON or, without braces, key=number pairs."""
    return _json_text(text) if re.match("^{.*}$", text) else _pairs(text)


def _json_object(text: str) -> str:
    """The text itself when it is a JSON object."""
    if not isinstance(json.loads(text), dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return text


def _json_text(text: str) -> str:
    """The text itself when it is JSON."""
    try:
        json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Value {text} cannot be converted to {json.loads}.") from None
    return text


def _object_or_text(text: str) -> str:
    """The text itself; what stands in braces has to be JSON."""
    return _json_text(text) if re.fullmatch(r"\s*\{.*\}\s*", text, re.DOTALL) else text


def _object_or_level(text: str) -> str:
    """0 to 3, or an object as Python writes it (vllm/config.py, CompilationConfig.from_cli, 0.6.6 to 0.8.5)."""
    if text not in {"0", "1", "2", "3"} and not isinstance(ast.literal_eval(text), dict):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a level nor an object")
    return text


def _pairs(text: str) -> str:
    """The text itself when it is ``image=2,video=1`` (vllm/engine/arg_utils.py, nullable_kvs, 0.6.6)."""
    for part in text.split(","):
        if not re.fullmatch(r"[^=]*=\s*[+-]?\d+\s*", part):
            raise argparse.ArgumentTypeError("Each item should be in the form KEY=VALUE")
    return text


def _lower_snake(text: str) -> str:
    """The text in lower case, dashes as underscores."""
    return text.lower().replace("-", "_")


def _boolean(text: str) -> bool:
    """True or false in any case (vllm/utils.py, StoreBoolean, 0.6.6)."""
    if text.lower() not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"Invalid boolean value: {text}. Expected 'true' or 'false'.")
    return text.lower() == "true"


def optional_reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader that takes ``None`` and the empty text for "not set"."""

    def optional(text: str) -> Any:  # noqa: ANN401 - whatever the wrapped reader returns
        return None if text in {"", "None"} else read(text)

    optional.__name__ = read.__name__.strip("_")
    return optional


READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "list": str,
    "truthy": bool,
    "boolean": _boolean,
    "integer": int,
    "number": float,
    "human_integer": human_int,
    "human_integer_or_auto": _human_int_or_auto,
    "json": _json_text,
    "json_or_pairs": _json_or_pairs,
    "object": _json_object,
    "object_or_text": _object_or_text,
    "object_or_level": _object_or_level,
    "pairs": _pairs,
    "lower_snake": _lower_snake,
}
