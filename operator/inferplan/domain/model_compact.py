"""The catalogue's compact spelling of config fields, both ways: long lists as digits, module names as layer ranges."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

_LONG = 12
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LAYER = re.compile(r"(?<=layers\.)\d+(?=[.*]|$)")
_RANGES = re.compile(r"<([\d,-]+)>")
_EXPERT = re.compile(r"(?<=experts\.)\d+(?=\.)")


def compacted(value: object) -> Any:  # noqa: ANN401  config.json holds values of every kind
    """A config's value with its long lists in short.

    ["a", "a", …, "b"] becomes {"of": ["a", "b"], "at": "00…1"}; "layers.0.x", "layers.1.x" become "layers.<0-1>.x";
    an object by module becomes {"named": [[value, names], …]}.
    """
    if isinstance(value, Mapping):
        return _named(value) if _are_modules(value) else {key: compacted(each) for key, each in value.items()}
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < _LONG:
        return value
    if _are_modules(value):
        return _merged(value)
    kinds: list[Any] = []
    kinds.extend(each for each in value if each not in kinds)
    if len(kinds) > len(_DIGITS) or 2 * len(kinds) > len(value):
        return list(value)
    return {"of": kinds, "at": "".join(_DIGITS[kinds.index(each)] for each in value)}


def expanded(value: object) -> Any:  # noqa: ANN401  config.json holds values of every kind
    """The reverse of `compacted`, but for the order of module names."""
    if isinstance(value, Mapping) and value.keys() == {"of", "at"}:
        kinds = value["of"]
        return [kinds[_DIGITS.index(digit)] for digit in value["at"]]
    if isinstance(value, Mapping) and value.keys() == {"named"}:
        return {name: kind for kind, names in value["named"] for each in names for name in _spread(each)}
    if isinstance(value, Mapping):
        return {key: expanded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [name for each in value for name in (_spread(each) if isinstance(each, str) else [each])]
    return value


def _are_modules(names: Collection[object]) -> bool:
    """Whether these are module names, most of them in numbered layers."""
    numbered = sum(isinstance(name, str) and _LAYER.search(name) is not None for name in names)
    return len(names) >= _LONG and 2 * numbered > len(names) and all(isinstance(name, str) for name in names)


def _named(modules: Mapping[str, object]) -> Mapping[str, Any]:
    kinds: list[object] = []
    kinds.extend(each for each in modules.values() if each not in kinds)
    return {"named": [[kind, _merged(name for name, each in modules.items() if each == kind)] for kind in kinds]}


def _merged(names: Iterable[str]) -> list[str]:
    found: dict[str, list[int]] = {}
    for name in names:
        one = _EXPERT.sub("*", name)
        layer = _LAYER.search(one)
        numbers = found.setdefault(_LAYER.sub("<>", one, count=1), [])
        if layer is not None and int(layer[0]) not in numbers:
            numbers.append(int(layer[0]))
    return [name.replace("<>", f"<{_ranges(sorted(numbers))}>") if numbers else name for name, numbers in found.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 → "0-2,5"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _spread(name: str) -> list[str]:
    found = _RANGES.search(name)
    if found is None:
        return [name]
    numbers: list[int] = []
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return [f"{name[: found.start()]}{number}{name[found.end() :]}" for number in numbers]
