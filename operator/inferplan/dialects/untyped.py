"""Parts of a manifest that may be of any type, as what they should be. Pure."""

from collections.abc import Mapping
from typing import Any


def text(value: object) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(values: object) -> tuple[Mapping[str, Any], ...]:
    """The mappings in the value if it is a list, else none."""
    return tuple(value for value in values if isinstance(value, Mapping)) if isinstance(values, list) else ()
