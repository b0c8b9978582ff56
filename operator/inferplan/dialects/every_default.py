"""Defaults that an engine release's own parser has, for flags without an engine-neutral key. Pure."""

from collections.abc import Iterator, Mapping

from inferplan.dialects.keys import key_for, key_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import Basis, FlagKind, FlagSpec, proposable
from inferplan.dialects.values import read_values
from inferplan.domain.serving import Origin, Setting, SettingValue

_NO_SETTINGS = frozenset({"model", "model_path", "model_id", "config"})
_SWITCHES = frozenset({FlagKind.SWITCH, FlagKind.TRUE, FlagKind.BOOLEAN})
_LISTS = frozenset({"+", "*"})


def every_default(reading: Reading) -> Mapping[str, Setting]:
    """The parser's defaults of everything that is not set; none where the version is not known.

    Engine-neutral keys are left out: what becomes of their defaults depends on the hardware (`effective`).
    """
    known = reading.grammar.basis
    if known is None:
        return {}
    return {key: Setting(value, Origin.VERSION_DEFAULT) for key, value in _defaults(reading, known)}


def _defaults(reading: Reading, known: Basis) -> Iterator[tuple[str, SettingValue]]:
    for dest in dict.fromkeys(flag.dest for flag in known.release.flags):
        flag = proposable(known, dest)
        key = key_for(reading.launch.engine, dest)
        if flag is None or key_of(key) is not None or dest in _NO_SETTINGS or key in reading.unknown:
            continue
        if flag.serve_only and reading.launch.entry is not Entry.SERVE:
            continue
        value = _default(flag)
        if value is not None:
            yield key, value


def _default(flag: FlagSpec) -> SettingValue | None:
    """A flag's default as its value would be read; None where it has none that is known."""
    if flag.default is None or flag.kind is FlagKind.HELP:
        return None
    if flag.kind in _SWITCHES:
        return flag.default.lower() == "true"
    if flag.nargs in _LISTS or flag.kind is FlagKind.APPEND:
        return "[]" if flag.default == "set()" else flag.default
    try:
        return read_values(flag, (flag.default,), negated=False, takes_value=False)
    except ValueError:  # a default that the parser would not take as text, such as a level of an object
        return flag.default
