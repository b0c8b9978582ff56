"""How text for people is laid out: sections, wrapped lines, labels, numbers. Pure."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

WIDTH = 110
INDENT = "  "
"""Of lines in a section."""

DEEP_INDENT = "   "
"""Of lines below a numbered one."""

_LABEL = 12


def section(title: str, lines: Sequence[str]) -> list[str]:
    """A title over its lines; nothing without lines."""
    return [title, *lines] if lines else []


def wrapped(text: str, indent: str = INDENT) -> list[str]:
    """A text in lines, the later ones further in."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def labelled(label: str, texts: Iterable[str]) -> Iterator[str]:
    """Texts behind one label, each wrapped."""
    for place, text in enumerate(texts):
        head = f"{DEEP_INDENT}{label if place == 0 else '':<{_LABEL}}"
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )


def pairs(entries: Iterable[tuple[str, str, str]]) -> list[str]:
    """Name, code and reason as `name: reason (code)`."""
    return [line for name, code, reason in entries for line in wrapped(f"{name}: {reason} ({code})", INDENT)]


def number(value: bool | float | str | None) -> str:
    """At most six digits, thousands apart: 400000 → "400,000", 0.6041 → "0.6041"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004  from four digits on
