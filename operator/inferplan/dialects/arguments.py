"""An engine's argument list → settings, and a changed setting → the smallest edit of that list.

What cannot be read with certainty is reported with a code and its place, never guessed. Shell scripts are
not read here: the caller hears so.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from inferplan.api.values import Engine
from inferplan.dialects.container import Container, has_variable
from inferplan.dialects.flags import Flag, FlagKind, flag_of, flags_of, read_value
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue

_SAFE_TEXT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")


class UnreadableCode(StrEnum):
    """Why something could not be read or edited."""

    SHELL_SCRIPT = "ShellScript"
    VARIABLE = "UnresolvedVariable"
    VALUE = "UnreadableValue"
    NOT_EDITABLE = "NotEditable"


@dataclass(frozen=True)
class Unreadable:
    """One thing that could not be read: what, and where."""

    code: UnreadableCode
    where: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """What an argument list says."""

    config: ServingConfig
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True)
class _Word:
    """A flag in the list: its place, its own text, its value's text and whether that is the next word."""

    index: int
    name: str
    value: str | None
    separate: bool


def read_arguments(engine: Engine, container: Container) -> Reading:
    """Settings of an engine out of its container's command line."""
    if container.runs_in_shell:
        why = "a shell script starts the engine; only argument lists are read"
        place = f"containers[{container.name}].command"
        return Reading(ServingConfig(engine), (Unreadable(UnreadableCode.SHELL_SCRIPT, place, why),))
    settings: dict[str, Setting] = {}
    problems: list[Unreadable] = []
    for word in _flag_words(container.words):
        found = _resolve(engine, word)
        if found is not None:
            _take(found, word, container, settings, problems)
    model = settings.pop("model", None)
    name = str(model.value) if model is not None else _positional_model(container.words)
    return Reading(ServingConfig(engine, None, name, MappingProxyType(settings)), tuple(problems))


def _take(
    found: tuple[Flag, bool],
    word: _Word,
    container: Container,
    settings: dict[str, Setting],
    problems: list[Unreadable],
) -> None:
    """Puts one flag's value into `settings`, or the reason why it cannot be read into `problems`."""
    flag, negated = found
    settings.pop(flag.key, None)  # the last one wins; an unreadable last one leaves the setting unknown
    place = f"containers[{container.name}] {word.name}"
    try:
        settings[flag.key] = Setting(_value(flag, word, negated=negated), Origin.ARGUMENT)
    except (ValueError, KeyError):
        text = word.value or ""
        code = UnreadableCode.VARIABLE if has_variable(text) else UnreadableCode.VALUE
        problems.append(Unreadable(code, place, f'{word.name} "{text}" is no {flag.kind} value that can be read'))


def _value(flag: Flag, word: _Word, *, negated: bool) -> SettingValue:
    if flag.kind is FlagKind.SWITCH:
        explicit = word.value is None or word.separate or read_value(FlagKind.SWITCH, word.value)
        return bool(explicit) is not negated
    if word.value is None or has_variable(word.value):
        raise ValueError(word.name)
    return read_value(flag.kind, word.value)


def _flag_words(words: tuple[str, ...]) -> Iterator[_Word]:
    for index, word in enumerate(words):
        if not word.startswith("-") or word in {"-", "--", "-m", "-c"} or _is_number(word):
            continue
        name, equals, value = word.partition("=")
        if equals:
            yield _Word(index, name, value, separate=False)
            continue
        following = words[index + 1] if index + 1 < len(words) else None
        takes = following is not None and (not following.startswith("-") or _is_number(following))
        yield _Word(index, name, following if takes else None, separate=takes)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d+)?", word) is not None


def _resolve(engine: Engine, word: _Word) -> tuple[Flag, bool] | None:
    """The flag that a word means, and whether it is its negation.

    A prefix is taken for the flag if it fits only one here: an engine that runs has accepted it, so it was
    unambiguous there, and the full flag is among that engine's.
    """
    name = _dashed(word.name)
    exact = [(flag, name in flag.negations) for flag in flags_of(engine) if name in _spellings(flag)]
    if exact:
        return exact[0]
    near = [
        (flag, spelling in flag.negations)
        for flag in flags_of(engine)
        for spelling in _spellings(flag)
        if name.startswith("--") and len(name) > len("--x") and spelling.startswith(name)
    ]
    return near[0] if len(near) == 1 else None


def _dashed(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def _spellings(flag: Flag) -> tuple[str, ...]:
    return tuple(name for name in (flag.name, *flag.aliases, *flag.negations) if name)


def _positional_model(words: tuple[str, ...]) -> str | None:
    """`vllm serve MODEL …`: the word behind `serve`, when it is no flag."""
    if "serve" not in words:
        return None
    following = words[words.index("serve") + 1 :][:1]
    return following[0] if following and not following[0].startswith("-") else None


@dataclass(frozen=True)
class NotEditable:
    """Why an argument list cannot be edited with certainty."""

    reason: str


def edit_arguments(
    engine: Engine, container: Container, changes: Mapping[str, SettingValue]
) -> Container | NotEditable:
    """The container with changed settings: values replaced where they stand, new flags put last.

    The result is read again, and every change must be found in it.
    """
    if container.runs_in_shell:
        return NotEditable("a shell script starts the engine; change it by hand")
    edited = container
    for key, value in changes.items():
        flag = flag_of(engine, key)
        if flag is None:
            return NotEditable(f"{engine} has no flag for {key}")
        if isinstance(value, str) and not _SAFE_TEXT.match(value):
            return NotEditable(f'{key}: "{value}" is no plain value')
        edited = _with_flag(engine, edited, flag, value)
    reading = read_arguments(engine, edited).config
    unproven = [key for key, value in changes.items() if reading.value(key) != value]
    return NotEditable(f"{', '.join(unproven)}: the edit could not be verified") if unproven else edited


def _with_flag(engine: Engine, container: Container, flag: Flag, value: SettingValue) -> Container:
    words = [*container.command, *container.args]
    found = [word for word in _flag_words(container.words) if (_resolve(engine, word) or (None,))[0] is flag]
    if flag.kind is FlagKind.SWITCH:
        new = [flag.name if value else flag.negations[0]]
        words[found[-1].index : found[-1].index + 1] = new if found else []
        return _split(container, words if found else [*words, *new], appended=not found)
    if not found:
        return _split(container, [*words, f"{flag.name}={value}"], appended=True)
    last = found[-1]
    if last.separate:
        words[last.index + 1] = str(value)
    else:
        words[last.index] = f"{last.name}={value}"
    return _split(container, words, appended=False)


def _split(container: Container, words: list[str], *, appended: bool) -> Container:
    """Words back into command and args; what was appended goes to args, or to a command without args."""
    border = len(container.command)
    if appended and not container.args and container.command:
        return replace(container, command=tuple(words))
    return replace(container, command=tuple(words[:border]), args=tuple(words[border:]))
