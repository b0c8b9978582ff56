"""Parts of a manifest that may be of any type, as what they should be. Pure."""

from collections.abc import Mapping
from datetime import date
from typing import Any

_WHOLE_MAX = 2**128  # no argument comes near; Python turns whole numbers of 4300 digits into text, not larger ones


def text(value: object) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(values: object) -> tuple[Mapping[str, Any], ...]:
    """The mappings in the value if it is a list, else none."""
    return tuple(value for value in values if isinstance(value, Mapping)) if isinstance(values, list) else ()


def scalar(value: object) -> str:
    """A scalar as its author may have written it; "" for what Kubernetes takes nowhere as text.

    That is nothing, and lists and mappings, whose text may be endless where aliases make them up.
    """
    if isinstance(value, bool):
        return str(value).lower()
    is_number = isinstance(value, float) or (isinstance(value, int) and abs(value) <= _WHOLE_MAX)
    return str(value) if is_number or isinstance(value, str | date) else ""
