"""What vLLM does to a command line before argparse sees it (engine facts, section 1a)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

DOTTED = re.compile(r"(--?[A-Za-z][^.=]*)\.([^=]+)(?:=(.*))?", re.DOTALL)
LEVEL = re.compile(r"-O(?:=?(\d))?")
LEVEL_FLAGS = (
    ((0, 12), "--optimization-level"),
    ((0, 11, 1), "--compilation-config.mode"),
    ((0, 9, 2), "--compilation-config.level"),
)
"""From which release on -O3 means what; before 0.9.2 argparse reads it as --compilation-config 3
(vllm/utils/argparse_utils.py, 0.11.1 and 0.12.0; vllm/utils/__init__.py, 0.9.2)."""

FIRST_RELEASE_WITH_DOTTED_KEYS = (0, 9, 2)


def rewrite(arguments: Sequence[str], release: tuple[int, ...]) -> list[str]:
    """The arguments as vLLM hands them to argparse.

    Args:
        arguments: the words of the command line.
        release: the numbers of the pretended version.

    Returns:
        The words with dashes in flag names, ``-O3`` spelled out, and dotted JSON keys gathered into one JSON
        value.
    """
    words = [_dashes(word) for word in arguments]
    if release < FIRST_RELEASE_WITH_DOTTED_KEYS:
        return words
    return _gather(_levels(words, next(flag for since, flag in LEVEL_FLAGS if release >= since)))


def _dashes(word: str) -> str:
    """The word with underscores turned into dashes in the flag's name, up to the first dot or equals sign."""
    if not word.startswith("--"):
        return word
    end = re.search(r"[.=]", word)
    name, rest = (word[: end.start()], word[end.start() :]) if end else (word, "")
    return name.replace("_", "-") + rest


def _levels(words: Sequence[str], flag: str) -> list[str]:
    """The words with -O3, -O=3 and -O 3 as the flag that they stand for."""
    spelled: list[str] = []
    for word in words:
        found = LEVEL.fullmatch(word)
        if not found:
            spelled.append(word)
        else:
            spelled.extend([flag, *([found[1]] if found[1] else [])])
    return spelled


def _gather(words: Sequence[str]) -> list[str]:
    """The words with every ``--flag.key value`` gathered into one ``--flag {json}`` at the end."""
    kept: list[str] = []
    objects: dict[str, dict[str, Any]] = {}
    rest = iter(words)
    for word in rest:
        found = DOTTED.fullmatch(word)
        if not found:
            kept.append(word)
            continue
        flag, path, value = found.groups()
        _place(objects.setdefault(flag, {}), path, next(rest, "true") if value is None else value)
    return [*kept, *(word for flag, value in objects.items() for word in (flag, json.dumps(value)))]


def _place(target: dict[str, Any], path: str, value: str) -> None:
    """Put a value under a dotted path; a key ending in ``+`` appends to a list."""
    *parents, last = path.split(".")
    for parent in parents:
        target = target.setdefault(parent.replace("-", "_"), {})
    key = last.rstrip("+").replace("-", "_")
    if last.endswith("+"):
        target.setdefault(key, []).extend(_value(part) for part in value.split(","))
    else:
        target[key] = _value(value)


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value of a text, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def config_words(config: Mapping[str, Any]) -> list[str]:
    """The flags that a ``--config`` file stands for.

    Args:
        config: the file's content.

    Returns:
        Words to put in front of the command line's own, which win. A false value gives no word: ``vllm
        serve`` drops it (engine facts, section 1a, the trap).
    """
    words: list[str] = []
    for key, value in config.items():
        if value is True:
            words.append(f"--{key}")
        elif isinstance(value, list):
            words.extend([f"--{key}", *(str(item) for item in value)])
        elif isinstance(value, dict):
            words.extend([f"--{key}", json.dumps(value)])
        elif value is not False:
            words.extend([f"--{key}", str(value)])
    return words
