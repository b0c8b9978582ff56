"""A flag's value out of its texts, and back, by the rules of the engine's parser. Pure."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from inferplan.dialects.keys import KeyKind, boolean, human_readable, key_of, read_text
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType
from inferplan.domain.serving import SettingValue

_LISTS = frozenset({"+", "*"})
_WHOLE_MAX = 2**128  # no setting comes near; Python turns whole numbers of 4300 digits into text, not larger ones
_SI = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|M|G|T)")
_IEC = re.compile(r"([0-9]+)(K|M|G|T)i")
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def read_values(flag: FlagSpec, texts: Sequence[str], *, negated: bool, takes_value: bool) -> SettingValue | None:
    """A flag's value; None where its text says: as if it were not given.

    Args:
        flag: The flag.
        texts: Its values as written.
        negated: Whether its spelling switches off.
        takes_value: Of a switch: whether a value behind it is read by a release that may run.

    Raises:
        ValueError: The texts are no value of that flag; the message says what is allowed.
    """
    if flag.kind in {FlagKind.SWITCH, FlagKind.TRUE, FlagKind.BOOLEAN, FlagKind.HELP}:
        return _switch(texts, negated=negated, takes_value=takes_value)
    if flag.nargs in _LISTS:
        return json.dumps([_one(flag, text) for text in texts], separators=(",", ":"))
    if not texts:
        if flag.nargs == "?":
            return None
        raise ValueError("needs a value")
    if flag.optional and texts[0] in {"", "None"}:
        return None
    return _one(flag, texts[0])


def _switch(texts: Sequence[str], *, negated: bool, takes_value: bool) -> bool:
    if texts and not takes_value:
        raise ValueError("takes no value")
    stated = boolean(texts[0]) if texts else True
    return stated is not negated


def _one(flag: FlagSpec, text: str) -> SettingValue:
    value = _READERS.get(flag.type, str)(text)
    if isinstance(value, int) and abs(value) > _WHOLE_MAX:
        raise ValueError("is too large")
    if flag.choices and str(value) not in flag.choices and text not in flag.choices:
        raise ValueError(f"must be one of {', '.join(flag.choices)}")
    return value


def _human_or_auto(text: str) -> SettingValue:
    return "auto" if text.strip().lower() in {"auto", "-1"} else human_readable(text.strip())


def _si(text: str) -> int:
    """32k → 32000, 32Ki → 32768, 32K is none (sglang/srt/utils/common.py, human_readable_int, 0.5.23)."""
    decimal, binary = _SI.fullmatch(text.strip()), _IEC.fullmatch(text.strip())
    if decimal is not None:
        return int(Decimal(decimal[1]) * 1000 ** _POWERS[decimal[2]])
    return int(binary[1]) * 1024 ** _POWERS[binary[2]] if binary is not None else int(text)


def _list(text: str) -> str:
    return json.dumps(text.split(","), separators=(",", ":"))


def _integers(text: str) -> str:
    return json.dumps([int(part) for part in text.split(",")], separators=(",", ":"))


def _pairs(text: str) -> str:
    """image=16,video=2 → {"image":16,"video":2} (vllm/engine/arg_utils.py nullable_kvs, 0.6.6)."""
    pairs = [part.partition("=") for part in text.split(",")]
    return json.dumps({key.strip(): int(number) for key, _, number in pairs}, separators=(",", ":"))


def _json_or_pairs(text: str) -> str:
    return _json(text) if text.startswith("{") and text.endswith("}") else _pairs(text)


def _object(text: str) -> str:
    return _json(text, objects_only=True)


def _object_or_text(text: str) -> str:
    return _object(text) if text.strip().startswith("{") else text


def _number(text: str) -> int | float:
    """A number as its author wrote it: 4 stays 4, so that nobody reads 4.0 who wrote 4."""
    return int(text) if text.isdecimal() and text.isascii() else _finite(float(text))


def _finite(value: float) -> float:
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124  NaN is the one value that is not itself
        raise ValueError("must be a finite number")
    return value


def _json(text: str, *, objects_only: bool = False) -> str:
    """JSON in one spelling: `{"a": 1}` → `{"a":1}`."""
    loaded = load_json(text)
    if objects_only and not isinstance(loaded, dict):
        raise ValueError("must be a JSON object")
    return json.dumps(loaded, separators=(",", ":"), ensure_ascii=False)


def load_json(text: str) -> Any:  # noqa: ANN401  any JSON value
    """What a JSON text holds.

    Raises:
        ValueError: It is no JSON, or nested without end.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("must be JSON") from None


def in_range(key: str, value: SettingValue) -> SettingValue:
    """The value, if an engine-neutral key takes it.

    Raises:
        ValueError: It is outside of the key's range.
    """
    found = key_of(key)
    if found is None or found.kind in {KeyKind.TEXT, KeyKind.SWITCH} or isinstance(value, bool):
        return value
    return read_text(found, str(value))


def write_value(value: SettingValue) -> str:
    """A value as an engine's parser reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_READERS: Mapping[ValueType, Callable[[str], SettingValue]] = {
    ValueType.INTEGER: int,
    ValueType.NUMBER: _number,
    ValueType.HUMAN_INTEGER: lambda text: human_readable(text.strip()),
    ValueType.HUMAN_INTEGER_OR_AUTO: _human_or_auto,
    ValueType.SI_INTEGER: _si,
    ValueType.BOOLEAN: boolean,
    ValueType.TRUTHY: bool,
    ValueType.LIST: _list,
    ValueType.INTEGERS: _integers,
    ValueType.PAIRS: _pairs,
    ValueType.LOWER_SNAKE: lambda text: text.lower().replace("-", "_"),
    ValueType.JSON: _json,
    ValueType.JSON_OR_PAIRS: _json_or_pairs,
    ValueType.OBJECT: _object,
    ValueType.OBJECT_OR_TEXT: _object_or_text,
    ValueType.OBJECT_OR_LEVEL: _object_or_text,
}
