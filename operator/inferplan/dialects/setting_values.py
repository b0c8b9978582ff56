"""Values of settings: as JSON for readers, and out of the text that people write for a change. Pure."""

import json
from typing import Any, NoReturn

from inferplan.dialects.keys import allowed, boolean, key_of, neutral_key, read_text, spelling_of
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType, every_flag
from inferplan.dialects.values import read_values
from inferplan.domain.serving import SettingValue

_STRUCTURED = frozenset(
    {
        *(ValueType.JSON, ValueType.JSON_OR_PAIRS, ValueType.OBJECT),
        *(ValueType.LIST, ValueType.INTEGERS, ValueType.PAIRS),
    }
)
_STRUCTURED_IN_BRACES = frozenset({ValueType.OBJECT_OR_TEXT, ValueType.OBJECT_OR_LEVEL})
_LISTS = frozenset({"+", "*"})
_SWITCHES = frozenset({FlagKind.SWITCH, FlagKind.TRUE, FlagKind.BOOLEAN})
_EXACT_MAX = 2.0**53  # up to here every whole number is a float of its own
_TYPES = {
    ValueType.INTEGER: "a whole number",
    ValueType.NUMBER: "a number",
    ValueType.HUMAN_INTEGER: "a whole number, or one such as 32k (32000) or 32K (32768)",
    ValueType.SI_INTEGER: "a whole number, or one such as 32k (32000) or 32Ki (32768)",
}


def flag_of(reading: Reading, key: str) -> FlagSpec | None:
    """The flag of a key, as the release that runs has it, else as the newest one that has it."""
    spelling = spelling_of(reading.launch.engine, key)
    dest = spelling.dest if spelling is not None else key
    own = (entry.named(dest) for entry in reading.grammar.releases)
    found = next((flag for flag in own if flag is not None), None)
    return found or next((flag for flag in every_flag(reading.launch.engine) if flag.dest == dest), None)


def json_value(reading: Reading, key: str, value: SettingValue) -> Any:  # noqa: ANN401  any JSON value
    """A setting's value; lists and objects as what they are, decided by the flag and not by the text's looks."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_MAX:
        return int(value)
    if not isinstance(value, str) or not _is_structured(flag_of(reading, key), value):
        return value
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _is_structured(flag: FlagSpec | None, text: str) -> bool:
    if flag is None:
        return False
    if flag.nargs in _LISTS or flag.kind is FlagKind.APPEND or flag.type in _STRUCTURED:
        return True
    return flag.type in _STRUCTURED_IN_BRACES and text.lstrip().startswith("{")


def read_change(reading: Reading, name: str, text: str) -> tuple[str, SettingValue]:
    """The key and value of a change that somebody wrote: `max-num-seqs`, `64`.

    Raises:
        ValueError: There is no such key, or the text is no value of it; the message says what is allowed.
    """
    key = neutral_key(reading.launch.engine, name)
    known = key_of(key)
    if known is not None:
        try:
            return key, read_text(known, text)
        except (ValueError, OverflowError):
            raise ValueError(f'"{text}" is not allowed; allowed: {allowed(key)}') from None
    flag = flag_of(reading, key)
    return key, text if flag is None else _read(flag, text)


def _read(flag: FlagSpec, text: str) -> SettingValue:
    if flag.kind in _SWITCHES:
        return boolean(text)
    try:
        value = read_values(flag, (text,), negated=False, takes_value=False)
    except (ValueError, OverflowError) as error:
        wanted = _TYPES.get(flag.type)
        why = f"is not allowed; allowed: {wanted}" if wanted is not None else str(error)
        raise ValueError(f'"{text}" {why}') from None
    if value is None:
        raise ValueError(f'"{text}" means that it is not given; use --unset')
    return value
