"""How text for people is laid out: sections, wrapped lines, labels, numbers. Pure."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from inferplan.api.analysis import Bottleneck, Counts
from inferplan.api.values import Evidence

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


def evidence(fact: Evidence) -> str:
    """One fact: the number, the time that it covers, where it comes from."""
    source = fact.query or fact.formula
    value = f"{number(_as_number(fact.value))}{f' {fact.unit}' if fact.unit else ''}{over(fact.window_seconds)}"
    return f"{source} = {value}" if fact.metric is None else f"{fact.metric} = {value}: {source}"


def counted(entry: Bottleneck) -> str:
    """From which value on a finding's number counts; nothing where any does."""
    if entry.threshold is None:
        return ""
    return f"counts {'below' if entry.counts is Counts.BELOW else 'from'} {number(entry.threshold)}"


def over(window_seconds: int | None) -> str:
    """The time that a number covers, behind it; nothing for one of the moment."""
    return f", over {window_seconds} s" if window_seconds is not None else ""


def _as_number(value: bool | float | str | None) -> bool | float | str | None:
    """Kubernetes stores fractions of an int-or-string field as text: "400000.0" is a number again."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
