"""Every flag of every known engine release, and which releases speak for a version. Pure.

The data comes from the releases' own parsers (scripts/generate_registry.py; vLLM 0.6.6 to 0.33.0, SGLang) and from
TGI's launcher/src/main.rs.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.parser_rules import ParserRules, parser_rules
from inferplan.dialects.version_order import known_version, version_number


class FlagKind(StrEnum):
    """What a flag takes."""

    SWITCH = "switch"  # no value: some spellings switch it on, others off
    TRUE = "true"  # no value, and nothing switches it off
    BOOLEAN = "boolean"  # bare, or true or false in any case (vLLM up to 0.7.3, StoreBoolean)
    VALUE = "value"  # one value, or `nargs` of them; without names: the words that belong to no flag
    APPEND = "append"  # may be given again, and each adds
    HELP = "help"  # ends the process
    ENVIRONMENT = "environment"  # no flag, only a variable


class ValueType(StrEnum):
    """How a value's text is read."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    HUMAN_INTEGER = "human_integer"  # 32k is 32000, 32K is 32768 (vLLM)
    HUMAN_INTEGER_OR_AUTO = "human_integer_or_auto"  # the same, and "auto" or -1
    SI_INTEGER = "si_integer"  # 32k is 32000, 32Ki is 32768 (SGLang)
    BOOLEAN = "boolean"  # true or false (TGI)
    TRUTHY = "truthy"  # any text is true, "False" too; only the empty one is false (vLLM 0.11)
    LIST = "list"  # texts with commas between them
    INTEGERS = "integers"  # whole numbers with commas between them
    PAIRS = "pairs"  # key=number, with commas between them (vLLM up to 0.7.3)
    LOWER_SNAKE = "lower_snake"  # made lower case with underscores, then compared with the choices
    JSON = "json"  # any JSON
    JSON_OR_PAIRS = "json_or_pairs"  # a JSON object in braces, else pairs (vLLM 0.8.5 to 0.9.2)
    OBJECT = "object"  # a JSON object with known keys
    OBJECT_OR_TEXT = "object_or_text"  # a JSON object where it stands in braces, else text
    OBJECT_OR_LEVEL = "object_or_level"  # 0 to 3, or an object as Python writes it (vLLM up to 0.8.5)


@dataclass(frozen=True, slots=True)
class FlagSpec:
    """One flag of one or more releases.

    Attributes:
        dest: Its name in the engine: "max_num_seqs".
        names: Spellings that set it, the long one that help shows first; none of a positional argument.
        negations: All spellings that switch it off, hidden ones too, the `--no-` form first.
        kind: What it takes.
        type: How a value is read.
        nargs: Number of values: None exactly one, "?", "*", "+" as in argparse, "0" none.
        optional: "None" and "" stand for no value.
        choices: Values that the parser takes; empty where it takes any.
        late_choices: Values that help names; others are refused after parsing.
        default: As text; None where it is None, or is not one value, or depends.
        environment: Variable that sets it too.
        serve_only: Only `vllm serve` has it, not the api_server module.
        deprecated: The parser itself warns of it, or it is an old name of another flag with that dest (SGLang).
    """

    dest: str
    names: tuple[str, ...]
    negations: tuple[str, ...] = ()
    kind: FlagKind = FlagKind.VALUE
    type: ValueType = ValueType.TEXT
    nargs: str | None = None
    optional: bool = False
    choices: tuple[str, ...] = ()
    late_choices: tuple[str, ...] = ()
    default: str | None = None
    environment: str = ""
    serve_only: bool = False
    deprecated: bool = False


@dataclass(frozen=True)
class Release:
    """An engine release whose flags are known.

    Attributes:
        engine: The engine.
        version: Its name: "0.10.1.1"; "3" stands for all of TGI 3.
        flags: Its flags, in the order of its help.
        rules: What happens to words before flags are looked up.
    """

    engine: Engine
    version: str
    flags: tuple[FlagSpec, ...]
    rules: ParserRules

    def find(self, name: str) -> tuple[FlagSpec, bool] | None:
        """The flag with exactly this spelling, and whether the spelling switches it off."""
        return self._spellings.get(name)

    def starting_with(self, prefix: str) -> tuple[tuple[FlagSpec, bool], ...]:
        """One entry for each spelling that begins so: more than one, and argparse calls the prefix ambiguous.

        That holds for two spellings of one flag too (argparse of Python 3.11 to 3.13). Empty where the engine
        knows no abbreviations.
        """
        if not self.rules.abbreviations:
            return ()
        return tuple(found for name, found in self._spellings.items() if name.startswith(prefix))

    def named(self, dest: str) -> FlagSpec | None:
        """The flag that the engine calls so, not a deprecated one where there is another; None where there is none."""
        return self._by_dest.get(dest)

    @cached_property
    def _spellings(self) -> Mapping[str, tuple[FlagSpec, bool]]:
        return MappingProxyType({name: (flag, off) for flag in self.flags for name, off in _spellings(flag)})

    @cached_property
    def _by_dest(self) -> Mapping[str, FlagSpec]:
        by_rank = sorted(self.flags, key=lambda flag: not flag.deprecated)
        return MappingProxyType({flag.dest: flag for flag in by_rank})


@dataclass(frozen=True)
class Basis:
    """Which known releases speak for a version.

    Attributes:
        version: What was asked for.
        release: The nearest known release, whose parser is used.
        also: The known release on the other side of the version; None where there is none and where `exact`.
        exact: Whether `release` is that version itself.
    """

    version: str
    release: Release
    also: Release | None
    exact: bool


@cache
def releases(engine: Engine) -> tuple[str, ...]:
    """Versions of the known releases, oldest first."""
    return tuple(_data(engine)["releases"])


@cache
def release(engine: Engine, version: str) -> Release:
    """A known release.

    Args:
        engine: The engine.
        version: One of `releases(engine)`.

    Raises:
        KeyError: No such release is known.
    """
    flags = tuple(_specs(engine)[number] for number in _data(engine)["releases"][version])
    return Release(engine, version, flags, parser_rules(engine, known_version(version)))


@lru_cache(maxsize=256)
def basis(engine: Engine, version: str | None) -> Basis | None:
    """Which known releases speak for a version; None where it is no version or older than all.

    Between two known ones it is the one that shares more leading numbers with it, else the older: 0.14.0 reads
    as 0.14.1 and not as 0.13.0, 0.11.3 as 0.11.2 and not as 0.12.0.
    """
    wanted, names = version_number(version), releases(engine)
    if version is None or wanted is None:
        return None
    numbers = [known_version(name) for name in names]
    place = bisect_left(numbers, wanted)
    if place < len(names) and numbers[place] == wanted:
        return Basis(version, release(engine, names[place]), None, exact=True)
    if place == 0:
        return None
    older = release(engine, names[place - 1])
    if "." not in older.version and wanted.numbers[:1] == numbers[place - 1].numbers:
        return Basis(version, older, None, exact=True)
    if place == len(names):
        return Basis(version, older, release(engine, names[place - 2]) if place > 1 else None, exact=False)
    newer = release(engine, names[place])
    if wanted.shared(numbers[place]) > wanted.shared(numbers[place - 1]):
        older, newer = newer, older
    return Basis(version, older, newer, exact=False)


def proposable(found: Basis, dest: str) -> FlagSpec | None:
    """The flag, where it may be proposed for a version; None where the releases that speak for it disagree.

    Both must have it with the same kind, type, number of values and first spelling; what remains are the
    spellings and choices that both know.
    """
    flag = found.release.named(dest)
    if flag is None or not flag.names or found.also is None:
        return flag if flag is not None and flag.names else None
    other = found.also.named(dest)
    if other is None or _shape(flag) != _shape(other):
        return None
    choices = _both(flag.choices, other.choices)
    late = _both(flag.late_choices, other.late_choices)
    if choices is None or late is None:
        return None
    return replace(
        flag,
        names=tuple(name for name in flag.names if name in other.names),
        negations=tuple(name for name in flag.negations if name in other.negations),
        optional=flag.optional and other.optional,
        choices=choices,
        late_choices=late,
        default=flag.default if flag.default == other.default else None,
    )


def _shape(flag: FlagSpec) -> tuple[object, ...]:
    return flag.kind, flag.type, flag.nargs, flag.names[:1]


def _both(mine: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...] | None:
    """What both take; None where that is nothing. No choices means any."""
    if not mine or not theirs:
        return mine or theirs
    return tuple(choice for choice in mine if choice in theirs) or None


def _spellings(flag: FlagSpec) -> Iterator[tuple[str, bool]]:
    yield from ((name, False) for name in flag.names)
    yield from ((name, True) for name in flag.negations)


@cache
@cache
def _data(engine: Engine) -> Mapping[str, Any]:
    text = resources.files("inferplan.dialects").joinpath("data", f"{engine}.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return MappingProxyType(loaded)


@cache
def _specs(engine: Engine) -> tuple[FlagSpec, ...]:
    return tuple(_spec(flag) for flag in _data(engine)["flags"])


def _spec(flag: Mapping[str, Any]) -> FlagSpec:
    kind = FlagKind(flag["kind"])
    bare = kind in {FlagKind.SWITCH, FlagKind.TRUE, FlagKind.HELP}
    return FlagSpec(
        dest=flag["dest"],
        names=tuple(flag["names"]),
        negations=tuple(flag.get("off", ())),
        kind=kind,
        type=ValueType(flag.get("type", "text")),
        nargs="0" if bare else "?" if kind is FlagKind.BOOLEAN else flag.get("nargs"),
        optional=flag.get("optional", False),
        choices=tuple(flag.get("choices", ())),
        late_choices=tuple(flag.get("late_choices", ())),
        default=flag.get("default"),
        environment=flag.get("environment", ""),
        serve_only=flag.get("serve_only", False),
        deprecated=flag.get("deprecated", False),
    )


@cache
def every_flag(engine: Engine) -> tuple[FlagSpec, ...]:
    """Every flag that any known release has, each once, as the newest release that has it describes it."""
    found: dict[str, FlagSpec] = {}
    for version in reversed(releases(engine)):
        for flag in release(engine, version).flags:
            found.setdefault(flag.dest, flag)
    return tuple(found.values())
