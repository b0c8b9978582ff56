"""Units and Kubernetes quantities."""

import re
from decimal import Decimal

MIB = 1024**2
GIB = 1024**3

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,2})?)"
    r"(?P<suffix>[numkMGTPE]?|[KMGTPE]i)"
)


def parse_quantity(text: str | int) -> Decimal:
    """Reads a Kubernetes quantity: "4" → 4, "500m" → 0.5, "80Gi" → 85899345920.

    Raises:
        ValueError: The text is no quantity.
    """
    raw = str(text).strip()
    match = _QUANTITY.fullmatch(raw)
    if match is None:
        raise ValueError(f'"{raw[:64]}" is no Kubernetes quantity such as 4, 500m or 80Gi')
    return Decimal(match["number"]) * _SUFFIXES[match["suffix"]]


def significant(value: float, digits: int = 4) -> float:
    """A measured value as people read it: 8.177182794757417 gives 8.177, 450368.0 stays."""
    return value if value.is_integer() else float(f"{value:.{digits}g}")


def in_gib(size_bytes: float) -> str:
    """Bytes for people: 42949672960 → "40.0 GiB"."""
    return f"{size_bytes / GIB:.1f} GiB"
