"""Whether an edited container says exactly what was to be changed, and everything else as before. Pure."""

from collections.abc import Mapping

from inferplan.api.values import Engine
from inferplan.dialects.grammar import Meaning
from inferplan.dialects.keys import key_for, spelling_of
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind
from inferplan.dialects.scan import Argument
from inferplan.dialects.values import load_json
from inferplan.domain.serving import Setting, SettingValue

Changes = Mapping[str, SettingValue | None]
"""Key → new value; None takes the flag out, so that its default runs."""

SWITCHES = frozenset({FlagKind.SWITCH, FlagKind.TRUE, FlagKind.BOOLEAN})
"""Flags whose spelling says true or false."""


def arguments_of(reading: Reading, dest: str) -> tuple[Argument, ...]:
    """The arguments that the engine calls so, in order."""
    return tuple(
        argument
        for argument in reading.scanned.arguments
        if isinstance(argument.meaning, Meaning) and argument.meaning.flag.dest == dest
    )


def said_behind(reading: Reading, argument: Argument) -> Argument | None:
    """The word true or false behind a switch that takes none: it was meant as its value, and the parser refuses it."""
    index, words = argument.words[-1] + 1, reading.launch.words
    if (
        argument.joined is not None
        or index not in reading.scanned.positionals
        or not isinstance(argument.meaning, Meaning)
    ):
        return None
    if argument.meaning.flag.kind not in SWITCHES or words[index].text.lower() not in {"true", "false"}:
        return None
    return Argument(words[index].text, None, (index,))


def unproven(before: Reading, after: Reading, changes: Changes) -> str:
    """Why it is not certain that exactly the changes were made; empty where it is."""
    same = (before.launch.engine, before.launch.entry, _leftovers(before, changes)) == (
        after.launch.engine,
        after.launch.entry,
        _leftovers(after, changes),
    )
    expected_model = changes.get("model", before.config.model)
    if not same or after.config.model != expected_model:
        return "the edit would change more than the settings; change it by hand"
    touched = {key for key in changes if key != "model"}
    wrong = [key for key in touched if not _is_made(after, key, changes[key])]
    siblings = {other for key in touched for other in _siblings(before.launch.engine, key)}
    keys = {*before.config.settings, *after.config.settings} - touched - siblings
    wrong += [key for key in keys if not _same(before.config.settings.get(key), after.config.settings.get(key))]
    unknown = (before.unknown - touched - siblings) ^ (after.unknown - touched - siblings)
    wrong += sorted(unknown)
    return f"{', '.join(sorted(wrong))}: the edit could not be verified; change it by hand" if wrong else ""


def _is_made(after: Reading, key: str, value: SettingValue | None) -> bool:
    setting = after.config.settings.get(key)
    if value is None:
        return setting is None and key not in after.unknown
    if setting is None:  # a switch without a flag that says true is on by having no flag that says false
        spelling = spelling_of(after.launch.engine, key)
        return (spelling is not None and (spelling.inverted or bool(spelling.off)) is (value is True)) or value is False
    return _equal(setting.value, value)


def _equal(left: SettingValue, right: SettingValue) -> bool:
    if isinstance(left, str) and isinstance(right, str) and left[:1] in "[{":
        try:
            return bool(load_json(left) == load_json(right))
        except ValueError:
            return False
    return left == right and isinstance(left, bool) is isinstance(right, bool)


def _siblings(engine: Engine, key: str) -> tuple[str, ...]:
    """Other keys that the same flag says something about."""
    spelling = spelling_of(engine, key)
    return () if spelling is None or not spelling.off else (key_for(engine, spelling.dest),)


def _leftovers(reading: Reading, changes: Changes) -> tuple[tuple[str, ...], int, int]:
    """What no flag takes, but for words behind a switch that is changed."""
    words, engine = reading.launch.words, reading.launch.engine
    strays = {
        stray.words[0]
        for key in changes
        if (spelling := spelling_of(engine, key)) is not None
        for argument in arguments_of(reading, spelling.dest)
        if (stray := said_behind(reading, argument)) is not None
    }
    texts = tuple(words[index].text for index in reading.scanned.positionals[1:] if index not in strays)
    return texts, len(reading.scanned.hidden), len(reading.scanned.doubtful)


def _same(left: Setting | None, right: Setting | None) -> bool:
    """Equal, and true is not 1."""
    return left == right and (left is None or right is None or type(left.value) is type(right.value))
