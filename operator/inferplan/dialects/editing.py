"""Changed settings → the smallest edit of a container's strings, proved by reading the result again. Pure.

The author's shape stays: a value is replaced where it stands, in its own quotes; a new flag is put last, in the form
that the others have. No value can become an argument of its own or a shell's code: values are checked against the
flag's type in that release and hold only letters that no parser on the way gives a meaning.
"""

import re
from collections.abc import Sequence

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.grammar import Meaning
from inferplan.dialects.keys import spelling_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.proof import SWITCHES, Changes, arguments_of, said_behind, unproven
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType, proposable
from inferplan.dialects.scan import Argument
from inferplan.dialects.splicing import SAFE_TEXT, CannotEditError, place_of, quoted, removals, spliced, with_words
from inferplan.dialects.values import read_values, write_value
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import SettingValue

_SAFE_JSON = re.compile(r"[^$`\\\x00-\x1f\x7f']{1,4096}")
_STRUCTURED = frozenset(
    {ValueType.JSON, ValueType.JSON_OR_PAIRS, ValueType.OBJECT, ValueType.OBJECT_OR_TEXT, ValueType.OBJECT_OR_LEVEL}
)


def edit(container: Container, changes: Changes, version: str | None = None) -> Container | NotEditable:
    """The container with changed settings.

    Args:
        container: The container.
        changes: What to change.
        version: The engine's version where something better than the image's tag says it.
    """
    before = read_engine(container, version)
    if not isinstance(before, Reading):
        return NotEditable(before.reason if before is not None else "the container starts no engine")
    return edit_reading(before, changes)


def edit_reading(before: Reading, changes: Changes) -> Container | NotEditable:
    """The container of a reading with changed settings."""
    after = before
    try:
        for key, value in changes.items():
            after = _again(_changed(after, key, value), before.config.version)
    except CannotEditError as error:
        return NotEditable(str(error))
    doubt = unproven(before, after, changes)
    return NotEditable(doubt) if doubt else after.container


def _again(container: Container, version: str | None) -> Reading:
    reading = read_engine(container, version)
    if not isinstance(reading, Reading):
        raise CannotEditError("after the edit the arguments could not be read any more")
    return reading


def _changed(reading: Reading, key: str, value: SettingValue | None) -> Container:
    """The container with one change."""
    if reading.launch.engine is Engine.TGI:
        raise CannotEditError("TGI is in maintenance mode; its settings are read, not changed")
    if key == "model":
        return _model_changed(reading, value)
    spelling = spelling_of(reading.launch.engine, key)
    if spelling is None:
        raise CannotEditError(f"{reading.launch.engine} has no flag for {key}")
    arguments = arguments_of(reading, spelling.dest)
    if spelling.off:
        value = spelling.off if value is False else None
    elif spelling.inverted and value is not None:
        value = not value
    if value is None:
        return _without(reading, arguments)
    return _with_flag(reading, key, spelling.dest, value)


def _without(reading: Reading, arguments: Sequence[Argument]) -> Container:
    """The container without these arguments."""
    gone = {argument.name for argument in arguments}
    for candidate in removals(reading, arguments) if arguments else (reading.container,):
        after = read_engine(candidate, reading.config.version)
        if isinstance(after, Reading) and not gone & {argument.name for argument in after.scanned.arguments}:
            return candidate
    raise CannotEditError(f"{', '.join(sorted(gone))}: it cannot be cut out; change it by hand")


def _with_flag(reading: Reading, key: str, dest: str, value: SettingValue) -> Container:
    arguments = arguments_of(reading, dest)
    flag = _flag(reading, key, dest, given=bool(arguments))
    if any(argument.path for argument in arguments):
        raise CannotEditError(f"{key}: it is given key by key (--{dest.replace('_', '-')}.…); change it by hand")
    if flag.kind is FlagKind.TRUE and value is False:
        return _without(reading, arguments)
    text = _text(flag, key, value)
    if not arguments:
        return with_words(reading, _spelled(flag, value, text, joined=_joins(reading)))
    last = arguments[-1]
    stray = said_behind(reading, last)
    if stray is not None:
        return _with_flag(_again(_without(reading, (stray,)), reading.config.version), key, dest, value)
    if flag.kind in SWITCHES:
        return _switched(reading, last, flag, value)
    return _value_replaced(reading, last, key, text)


def _flag(reading: Reading, key: str, dest: str, *, given: bool) -> FlagSpec:
    """The flag as the running release has it; without a known release, as all of them have it.

    Raises:
        CannotEditError: The release does not have it, or it is not certain that it does.
    """
    known = reading.grammar.basis
    engine = reading.launch.engine
    if known is not None:
        flag = proposable(known, dest)
        if flag is None:
            marked = "" if known.exact else f", the nearest known to {known.version},"
            raise CannotEditError(f"{engine} {known.release.version}{marked} has no flag that sets {key} for certain")
        if flag.serve_only and reading.launch.entry is not Entry.SERVE:
            raise CannotEditError(f"{key}: in {engine} {known.release.version} only `vllm serve` has {flag.names[0]}")
        return flag
    found = [flag for entry in reading.grammar.releases for flag in entry.flags if flag.dest == dest]
    everywhere = len(found) == len(reading.grammar.releases)
    if not found or len({flag.kind for flag in found}) > 1 or not (everywhere or given):
        raise CannotEditError(f"{key}: which releases take it differs, and the engine's version is not known")
    return found[0]


def _text(flag: FlagSpec, key: str, value: SettingValue) -> str:
    """A value's text, checked as the engine's parser will and harmless to every parser on the way."""
    text = write_value(value)
    if flag.nargs in {"+", "*"} or flag.kind is FlagKind.APPEND:
        raise CannotEditError(f"{key} takes a list; change it by hand")
    structured = flag.type in _STRUCTURED
    safe = _SAFE_JSON if structured and not text[:1].isalnum() else SAFE_TEXT
    negative = isinstance(value, int | str) and re.fullmatch(r"-[0-9]+", text) is not None
    if not safe.fullmatch(text) and not negative:
        raise CannotEditError(f'{key}: "{text[:60]}" is no plain value')
    if flag.kind in SWITCHES:
        if not isinstance(value, bool):
            raise CannotEditError(f"{key} is true or false")
        return text
    return _accepted(flag, key, text)


def _accepted(flag: FlagSpec, key: str, text: str) -> str:
    try:
        read = read_values(flag, (text,), negated=False, takes_value=False)
    except (ValueError, OverflowError) as error:
        raise CannotEditError(f'{key}: "{text[:60]}" {error}') from None
    if read is None:
        raise CannotEditError(f'{key}: "{text}" means that it is not given')
    if flag.late_choices and text not in flag.late_choices:
        raise CannotEditError(f'{key}: "{text}" is none of {", ".join(flag.late_choices)}')
    return text


def _spelled(flag: FlagSpec, value: SettingValue, text: str, *, joined: bool) -> tuple[str, ...]:
    """The words that say it."""
    if flag.kind is FlagKind.BOOLEAN:
        return (f"{flag.names[0]}={text}",)
    if flag.kind in SWITCHES:
        return (_switch_name(flag, value),)
    return (f"{flag.names[0]}={text}",) if joined or text.startswith("-") else (flag.names[0], text)


def _switch_name(flag: FlagSpec, value: SettingValue) -> str:
    names = flag.names if value else flag.negations
    if not names:
        raise CannotEditError(f"{flag.names[0]} cannot be switched off by a flag")
    return names[0]


def _joins(reading: Reading) -> bool:
    """Whether the author writes `--flag=value`; where there is nothing to go by, so do we."""
    with_value = [
        argument for argument in reading.scanned.arguments if argument.joined is not None or argument.words[1:]
    ]
    joined = sum(argument.joined is not None for argument in with_value)
    return 2 * joined >= len(with_value)


def _switched(reading: Reading, argument: Argument, flag: FlagSpec, value: SettingValue) -> Container:
    """A switch's word with the spelling that says `value`; a stated value is replaced where it stands."""
    if flag.kind is FlagKind.BOOLEAN and (argument.joined is not None or argument.words[1:]):
        negated = isinstance(argument.meaning, Meaning) and argument.meaning.negated
        return _value_replaced(reading, argument, flag.dest, write_value(value is not negated))
    word = reading.launch.words[argument.words[0]]
    name = f"{flag.names[0]}={write_value(value)}" if flag.kind is FlagKind.BOOLEAN else _switch_name(flag, value)
    return spliced(reading.container, place_of(word, 0, len(word.text)), name)


def _value_replaced(reading: Reading, argument: Argument, key: str, text: str) -> Container:
    words = reading.launch.words
    if argument.joined is not None:
        word, start = words[argument.words[0]], argument.joined
    elif len(argument.words) == 2:  # noqa: PLR2004  the flag and its value
        word, start = words[argument.words[1]], 0
    else:
        raise CannotEditError(f"{key}: it has no single value that could be replaced")
    where = place_of(word, start, len(word.text))
    return spliced(reading.container, where, quoted(reading, where.source, text))


def _model_changed(reading: Reading, value: SettingValue | None) -> Container:
    text = write_value(value) if value is not None else ""
    if not SAFE_TEXT.fullmatch(text):
        raise CannotEditError(f'model: "{text[:60]}" is no plain value')
    spelling = spelling_of(reading.launch.engine, "model")
    named = arguments_of(reading, spelling.dest) if spelling is not None else ()
    if named:
        return _value_replaced(reading, named[-1], "model", text)
    if not reading.scanned.positionals:
        raise CannotEditError("model: no argument names it")
    word = reading.launch.words[reading.scanned.positionals[0]]
    return spliced(reading.container, place_of(word, 0, len(word.text)), text)
