"""Units, and numbers as people read them."""

MIB = 1024**2
GIB = 1024**3
MIB_PER_GIB = GIB // MIB


def significant(value: float, digits: int = 4) -> float:
    """A measured value as people read it: 8.177182794757417 gives 8.177, 450368.0 stays."""
    return value if float(value).is_integer() else float(f"{value:.{digits}g}")


def in_gib(size_bytes: float) -> str:
    """Bytes for people: 42949672960 → "40.0 GiB"."""
    return f"{size_bytes / GIB:.1f} GiB"
