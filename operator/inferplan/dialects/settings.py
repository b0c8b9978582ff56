"""Arguments → settings by engine-neutral key, and what of them cannot be read. Pure."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.environment import TEMPLATE
from inferplan.dialects.grammar import Ambiguous, Grammar, Meaning
from inferplan.dialects.keys import human_readable, key_for, spellings
from inferplan.dialects.registry import FlagKind, FlagSpec
from inferplan.dialects.scan import Argument, Scan
from inferplan.dialects.values import in_range, load_json, read_values
from inferplan.dialects.words import Unreadable, UnreadableCode, Word
from inferplan.domain.serving import Origin, Setting, SettingValue

_SHOWN_MAX = 60


@dataclass
class Settings:
    """Settings as they come together; later arguments win.

    Attributes:
        engine: Serving engine.
        grammar: Its flags.
        container: Name, for messages.
        by_dest: The engine's own name → setting.
        problems: The engine's own name, or a place → what cannot be read.
    """

    engine: Engine
    grammar: Grammar
    container: str
    by_dest: dict[str, Setting] = field(default_factory=dict)
    problems: dict[str, Unreadable] = field(default_factory=dict)

    def add(self, words: Sequence[Word], scanned: Scan, origin: Origin) -> None:
        """Takes arguments in; what stands in them wins over what is there."""
        dotted = [argument for argument in scanned.arguments if argument.path]
        for argument in scanned.arguments:
            if not argument.path:
                self._argument(words, argument, origin)
        self._dotted(words, dotted, origin)  # vLLM puts them behind all others (argparse_utils.py, 0.32.0)
        for index in scanned.hidden:
            self._hidden(words[index])

    def keyed(self) -> Mapping[str, Setting]:
        """Settings by engine-neutral key; where two flags have one key, the preferred one speaks."""
        found = {key_for(self.engine, dest): setting for dest, setting in self.by_dest.items()}
        every = spellings(self.engine)[::-1]
        for entry in (*(entry for entry in every if not entry.off), *(entry for entry in every if entry.off)):
            setting = self.by_dest.get(entry.dest)
            if setting is None:
                continue
            if entry.off:
                self._off(entry.key, entry.off, setting, found)
            else:
                found[entry.key] = replace(setting, value=not setting.value) if entry.inverted else setting
        return found

    def _off(self, key: str, off: str, setting: Setting, found: dict[str, Setting]) -> None:
        """A value that means "off" says so under the switch's key, and nothing under the value's own."""
        if str(setting.value) == off:
            found[key] = replace(setting, value=False)
            found.pop(key_for(self.engine, _dest_of(self.engine, key)), None)

    def unreadable(self) -> tuple[Unreadable, ...]:
        """What could not be read, in order."""
        return tuple(self.problems.values())

    def _argument(self, words: Sequence[Word], argument: Argument, origin: Origin) -> None:
        if not isinstance(argument.meaning, Meaning):
            self._unknown_flag(argument)
            return
        flag = argument.meaning.flag
        if flag.kind is not FlagKind.APPEND:  # the last one wins; an unreadable last one leaves the setting unknown
            self.by_dest.pop(flag.dest, None)
            self.problems.pop(flag.dest, None)
        unknown = argument.unknown(words)
        if unknown:
            self._problem(flag.dest, argument.name, *unresolved(argument.name, unknown))
            return
        try:
            value = self._value(argument.meaning, argument.values(words))
        except (ValueError, OverflowError) as error:
            shown = " ".join(argument.values(words))[:_SHOWN_MAX]
            why = f'{argument.name} "{shown}" {_message(error)}' if shown else f"{argument.name} {_message(error)}"
            self._problem(flag.dest, argument.name, UnreadableCode.VALUE, why)
            return
        if value is not None:
            self._set(flag, value, Setting(value, origin, argument.name, _variables(words, argument)))

    def _set(self, flag: FlagSpec, value: SettingValue, setting: Setting) -> None:
        if flag.kind is FlagKind.APPEND:
            before = self.by_dest.get(flag.dest)
            values = [*(json.loads(str(before.value)) if before is not None else []), value]
            setting = replace(setting, value=json.dumps(values, separators=(",", ":")))
        self.by_dest[flag.dest] = setting

    def _value(self, meaning: Meaning, texts: Sequence[str]) -> SettingValue | None:
        """By the release that runs; where it is not known, by the first that takes the value: one did."""
        if not meaning.refused and self.grammar.basis is not None:
            return self._read(meaning, meaning.flag, texts)
        for flag in meaning.variants:
            with suppress(ValueError, OverflowError):
                return self._read(meaning, flag, texts)
        return self._read(meaning, meaning.flag, texts)

    def _read(self, meaning: Meaning, flag: FlagSpec, texts: Sequence[str]) -> SettingValue | None:
        value = read_values(flag, texts, negated=meaning.negated, takes_value=self._takes_value(meaning))
        if value is None or str(value) in _sentinels(self.engine, flag.dest):
            return value
        return in_range(key_for(self.engine, flag.dest), value)

    def _takes_value(self, meaning: Meaning) -> bool:
        return FlagKind.BOOLEAN in meaning.kinds or self.grammar.basis is None

    def _dotted(self, words: Sequence[Word], arguments: Sequence[Argument], origin: Origin) -> None:
        """`--flag.key value`, all of one flag gathered into one JSON object."""
        objects: dict[str, dict[str, Any]] = {}
        for argument in arguments:
            if not isinstance(argument.meaning, Meaning):
                self._unknown_flag(argument)
                continue
            dest, unknown = argument.meaning.flag.dest, argument.unknown(words)
            if unknown:
                self._problem(dest, argument.name, *unresolved(argument.name, unknown))
                continue
            try:
                _place(objects.setdefault(dest, {}), argument.path, next(iter(argument.values(words)), "true"))
            except ValueError as error:
                self._problem(dest, argument.name, UnreadableCode.VALUE, f"{argument.name} {error}")
        for dest, value in objects.items():
            if dest not in self.problems:
                text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
                self.by_dest[dest] = Setting(text, origin, f"--{dest.replace('_', '-')}")

    def _unknown_flag(self, argument: Argument) -> None:
        name = argument.name.lstrip("-").replace("-", "_")
        if isinstance(argument.meaning, Ambiguous):
            why = f"{argument.name} fits {' and '.join(argument.meaning.names[:3])}; the parser refuses it"
        else:
            why = f"{argument.name} is a flag that no known release of {self.engine} has"
        self._problem(name, argument.name, UnreadableCode.FLAG, why)

    def _hidden(self, word: Word) -> None:
        code, why = unresolved("", word.unknown)
        place = f"containers[{self.container}] {word.text[:_SHOWN_MAX]}"
        self.problems[place] = Unreadable(code, place, f"{why}, and it stands where flags may stand")

    def _problem(self, dest: str, name: str, code: UnreadableCode, why: str) -> None:
        self.by_dest.pop(dest, None)
        key = key_for(self.engine, dest)
        self.problems[dest] = Unreadable(code, f"containers[{self.container}] {name}", why, key)


def _dest_of(engine: Engine, key: str) -> str:
    return next(entry.dest for entry in spellings(engine) if entry.key == key)


def _sentinels(engine: Engine, dest: str) -> frozenset[str]:
    """Values of a flag that mean something else than a number of it."""
    return frozenset(entry.off for entry in spellings(engine) if entry.dest == dest and entry.off)


def unresolved(name: str, unknown: Sequence[str]) -> tuple[UnreadableCode, str]:
    """Why a value is not known: its code, and a sentence.

    Args:
        name: What it is the value of; empty where that is not known either.
        unknown: Names of what is not known in it.
    """
    names = ", ".join(dict.fromkeys(unknown))
    before = f"{name}: " if name else ""
    if set(unknown) == {TEMPLATE}:
        return UnreadableCode.TEMPLATE, f"{before}a template fills this in"
    return UnreadableCode.VARIABLE, f"{before}the value of {names} is not known"


def _variables(words: Sequence[Word], argument: Argument) -> tuple[str, ...]:
    """Names of the variables that an argument's text came through."""
    named = [name for index in argument.words for piece in words[index].pieces for name in piece.variables]
    return tuple(dict.fromkeys(named))


def _message(error: ValueError | OverflowError) -> str:
    text = str(error)
    return text if text.startswith(("must", "takes", "needs", "is ")) else "is no value of it"


def _place(target: dict[str, Any], path: Sequence[str], text: str) -> None:
    """Puts a value under its keys; a last key with `+` adds to a list.

    Raises:
        ValueError: A key on the way holds no object.
    """
    *parents, last = path
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ValueError(f"stands below {parent}, which holds a value")  # noqa: TRY004  bad text, not a bad type
    if last.endswith("+"):
        before = target.setdefault(last[:-1], [])
        if not isinstance(before, list):
            raise ValueError(f"adds to {last[:-1]}, which is no list")
        before.extend(text.split(","))
    else:
        target[last] = _json_or_text(text)


def _json_or_text(text: str) -> Any:  # noqa: ANN401  any JSON value
    for read in (load_json, human_readable):
        try:
            return read(text)
        except ValueError:
            continue
    return text
