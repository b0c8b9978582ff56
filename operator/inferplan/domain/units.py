"""Units, and numbers and times as people read them."""

from datetime import UTC, datetime

MIB = 1024**2
GIB = 1024**3
MIB_PER_GIB = GIB // MIB


def timestamp(moment: datetime) -> str:
    """A time with a zone in RFC 3339, as Kubernetes writes it: 2026-03-01T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def significant(value: float, digits: int = 4) -> float:
    """A measured value as people read it: 8.177182794757417 gives 8.177, 450368.0 stays."""
    return value if float(value).is_integer() else float(f"{value:.{digits}g}")


def in_gib(size_bytes: float) -> str:
    """Bytes for people: 42949672960 → "40.0 GiB"."""
    return f"{size_bytes / GIB:.1f} GiB"
