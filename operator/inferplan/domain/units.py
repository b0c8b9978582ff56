"""Units and Kubernetes quantities."""

from decimal import Decimal, InvalidOperation

MIB = 1024**2
GIB = 1024**3

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def parse_quantity(text: str | int) -> Decimal:
    """Reads a Kubernetes quantity: "4" → 4, "500m" → 0.5, "80Gi" → 85899345920.

    Raises:
        ValueError: The text is no quantity.
    """
    raw = str(text).strip()
    digits = raw.rstrip("mkMGTi")
    try:
        return Decimal(digits) * _SUFFIXES[raw[len(digits) :]]
    except (InvalidOperation, KeyError):
        raise ValueError(f'"{raw}" is no Kubernetes quantity such as 4, 500m or 80Gi') from None


def in_gib(size_bytes: float) -> str:
    """Bytes for people: 42949672960 → "40.0 GiB"."""
    return f"{size_bytes / GIB:.1f} GiB"
