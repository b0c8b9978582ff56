"""An engine's argument list → settings, and a changed setting → the smallest edit of that list.

What cannot be read with certainty is reported with a code and its place, never guessed. Shell scripts are
not read here: the caller hears so.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from inferplan.api.values import Engine
from inferplan.dialects.container import Container, has_variable
from inferplan.dialects.flags import Flag, FlagKind, flag_of, flags_of, read_text
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue

_OTHER_FLAGS = frozenset({"--device"})
"""Whole flags of some release (vLLM up to 0.9.2) that would pass for a prefix of one that is read here."""

_SAFE_TEXT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")


class UnreadableCode(StrEnum):
    """Why something could not be read or edited."""

    SHELL_SCRIPT = "ShellScript"
    VARIABLE = "UnresolvedVariable"
    VALUE = "UnreadableValue"
    CONFIG_FILE = "ConfigFile"
    NOT_EDITABLE = "NotEditable"


@dataclass(frozen=True)
class Unreadable:
    """One thing that could not be read: what, and where.

    Attributes:
        code: Why.
        where: Container and flag.
        reason: One sentence for people.
        key: The setting that is unknown for it; None where it could be any, so that no default holds.
    """

    code: UnreadableCode
    where: str
    reason: str
    key: str | None = None


@dataclass(frozen=True)
class Reading:
    """What an argument list says."""

    config: ServingConfig
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether a setting that is neither read nor reported is not set, so that its default runs."""
        return all(entry.key is not None for entry in self.unreadable)

    @property
    def unknown(self) -> frozenset[str]:
        """Settings that are set to something that cannot be read: no default holds for them."""
        return frozenset(entry.key for entry in self.unreadable if entry.key is not None)


@dataclass(frozen=True)
class _Word:
    """A flag in the list: its place, its own text, its value's text and whether that is the next word."""

    index: int
    name: str
    value: str | None
    separate: bool


def read_arguments(engine: Engine, container: Container) -> Reading:
    """Settings of an engine out of its container's command line."""
    foreign = _foreign_start(container)
    if foreign is not None:
        return Reading(ServingConfig(engine), (foreign,))
    settings: dict[str, Setting] = {}
    problems: dict[str, Unreadable] = {}
    for word in _flag_words(container.words):
        found = _resolve(engine, word)
        if found is not None:
            _take(found, word, container, settings, problems)
    hidden = _hidden_flags(engine, container)
    model = settings.pop("model", None)
    name = str(model.value) if model is not None else positional_model(engine, container)
    return Reading(ServingConfig(engine, None, name, MappingProxyType(settings)), (*hidden, *problems.values()))


def _foreign_start(container: Container) -> Unreadable | None:
    """Why the words are not the engine's own arguments."""
    place = f"containers[{container.name}].command"
    if container.runs_in_shell:
        why = "a shell script starts the engine; only argument lists are read"
        return Unreadable(UnreadableCode.SHELL_SCRIPT, place, why)
    if container.starts_otherwise:
        why = f"{container.command[0]} is no start command of an engine; what it makes of its arguments is not known"
        return Unreadable(UnreadableCode.SHELL_SCRIPT, place, why)
    return None


def _hidden_flags(engine: Engine, container: Container) -> tuple[Unreadable, ...]:
    """Places where more flags may stand than can be seen: a configuration file, a variable in a flag's place."""
    found = []
    for index, word in enumerate(container.words):
        place = f"containers[{container.name}] {word}"
        if word == "--config" and engine is not Engine.TGI:
            why = "a configuration file sets more flags, and it is not read"
            found.append(Unreadable(UnreadableCode.CONFIG_FILE, place, why))
        elif has_variable(word.partition("=")[0]) and not _is_value(container.words, index):
            why = "a variable whose value is not known stands where a flag may stand"
            found.append(Unreadable(UnreadableCode.VARIABLE, place, why))
    return tuple(found)


def _is_value(words: tuple[str, ...], index: int) -> bool:
    """Whether a word stands behind a flag that takes it, or where the model does."""
    before = words[index - 1] if index else "serve"
    return before == "serve" or (before.startswith("-") and "=" not in before)


def _take(
    found: tuple[Flag, bool],
    word: _Word,
    container: Container,
    settings: dict[str, Setting],
    problems: dict[str, Unreadable],
) -> None:
    """Puts one flag's value into `settings`, or the reason why it cannot be read into `problems`."""
    flag, negated = found
    settings.pop(flag.key, None)  # the last one wins; an unreadable last one leaves the setting unknown
    problems.pop(flag.key, None)
    text = word.value or ""
    if word.value in {"", "None"} and flag.kind is not FlagKind.SWITCH:
        return  # vLLM's way to say: as if it were not given
    try:
        settings[flag.key] = Setting(_value(flag, word, negated=negated), Origin.ARGUMENT)
    except ValueError:
        code = UnreadableCode.VARIABLE if has_variable(text) else UnreadableCode.VALUE
        place = f"containers[{container.name}] {word.name}"
        why = f'{word.name} "{text}" is no {flag.kind} value that can be read'
        problems[flag.key] = Unreadable(code, place, why, flag.key)


def _value(flag: Flag, word: _Word, *, negated: bool) -> SettingValue:
    if flag.kind is FlagKind.SWITCH:
        stated = read_text(flag, word.value) if word.value is not None and _is_stated(word) else True
        return bool(stated) is not negated
    if word.value is None or has_variable(word.value):
        raise ValueError(word.name)
    return read_text(flag, word.value)


def _is_stated(word: _Word) -> bool:
    """Whether a switch's value is its own: behind `=`, or the word true or false (vLLM 0.6 and 0.7)."""
    return not word.separate or (word.value or "").lower() in {"true", "false"}


def _flag_words(words: tuple[str, ...]) -> Iterator[_Word]:
    for index, word in enumerate(words):
        if not _is_flag(word) or word in {"-", "--", "-m", "-c"}:
            continue
        name, equals, value = word.partition("=")
        if equals:
            yield _Word(index, name, value, separate=False)
            continue
        following = words[index + 1] if index + 1 < len(words) else None
        takes = following is not None and not _is_flag(following)
        yield _Word(index, name, following if takes else None, separate=takes)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and re.fullmatch(r"-[0-9]+(\.[0-9]+)?", word) is None


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
        if len(name) > len("--x") and name not in _OTHER_FLAGS and spelling.startswith(name)
    ]
    return near[0] if len(near) == 1 else None


def _dashed(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def _spellings(flag: Flag) -> tuple[str, ...]:
    return tuple(name for name in (flag.name, *flag.aliases, *flag.negations) if name)


def positional_model(engine: Engine, container: Container) -> str | None:
    """`vllm serve MODEL …`: the first word that no flag takes, None where a flag that is not known may take it."""
    words = container.words
    if "serve" in words:
        words = words[words.index("serve") + 1 :]
    elif container.command:
        return None  # only `serve`, which newer images have as their entrypoint, takes the model by position
    free: float = 0  # how many of the next words the last flag takes
    for word in words:
        if _is_flag(word):
            found = _resolve(engine, _Word(0, word.partition("=")[0], None, separate=False))
            known = 0 if found is not None and found[0].kind is FlagKind.SWITCH else 1
            free = 0 if "=" in word else (known if found is not None else math.inf)
        elif free > 0:
            free -= 1
        else:
            return None if has_variable(word) else word
    return None


@dataclass(frozen=True)
class NotEditable:
    """Why an argument list cannot be edited with certainty."""

    reason: str


def edit_arguments(
    engine: Engine, container: Container, changes: Mapping[str, SettingValue]
) -> Container | NotEditable:
    """The container with changed settings: values replaced where they stand, new flags put last.

    The result is read again: every change must be found in it, and nothing else may have changed.
    """
    if _foreign_start(container) is not None:
        return NotEditable("a script starts the engine; change it by hand")
    edited = container
    for key, value in changes.items():
        flag = flag_of(engine, key)
        if flag is None:
            return NotEditable(f"{engine} has no flag for {key}")
        if isinstance(value, str) and not _SAFE_TEXT.match(value):
            return NotEditable(f'{key}: "{value}" is no plain value')
        edited = _with_flag(engine, edited, flag, value)
    before, after = read_arguments(engine, container).config.settings, read_arguments(engine, edited).config.settings
    wanted = {**before, **{key: Setting(value, Origin.ARGUMENT) for key, value in changes.items()}}
    unproven = sorted(key for key in {*wanted, *after} if not _same(wanted.get(key), after.get(key)))
    return NotEditable(f"{', '.join(unproven)}: the edit could not be verified") if unproven else edited


def _same(left: Setting | None, right: Setting | None) -> bool:
    """Equal, and true is not 1."""
    return left == right and (left is None or right is None or type(left.value) is type(right.value))


def _with_flag(engine: Engine, container: Container, flag: Flag, value: SettingValue) -> Container:
    words = [*container.command, *container.args]
    switch = flag.kind is FlagKind.SWITCH
    new = (flag.name if value else flag.negations[0]) if switch else f"{flag.name}={value}"
    found = [word for word in _flag_words(container.words) if (_resolve(engine, word) or (None,))[0] is flag]
    if not found:
        return _split(container, [*words, new], appended=True)
    last = found[-1]
    if switch and last.separate and _is_stated(last):
        words[last.index + 1] = str(value is not (_dashed(last.name) in flag.negations)).lower()
    elif switch:
        words[last.index] = new
    elif last.separate:
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
