"""Edits inside a plain or quoted YAML string that keep its quotes, lines and folds. Pure.

A string is read as segments: a stretch of its value, and the stretch of the text that gives it. Replacing a part of
the value then is replacing a part of the text. What comes out is read again, and only taken if it says what it should.
Rules: YAML 1.1 chapter 9.1, as PyYAML 6.0 and libyaml 0.2.5 read them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from inferplan.dialects.yaml_edit.nodes import Located, RefusedError
from inferplan.dialects.yaml_edit.writing import Style, encoded, plain_fits, printable, quotes_for, style_of, written

BREAK = r"(?:\r\n|\r|\n)"
BEFORE, AFTER = 0, 2
"""Ranks of what is put before an item, and behind one, where a change inside an item (1) stands at the same place."""
_FOLD = rf"(?P<fold>[ \t]*(?:{BREAK}[ \t]*)+)"
_TOKENS: Mapping[Style, re.Pattern[str]] = {
    # A fold is tried first, so that a run of words ends before the blanks at a line's end.
    '"': re.compile(
        rf"(?P<joined>\\{BREAK}[ \t]*)|{_FOLD}|(?P<escape>\\(?:x..|u.{{4}}|U.{{8}}|.))"
        r"|[^\\ \t\r\n]+(?:[ \t]+[^\\ \t\r\n]+)*|.",
        re.DOTALL,
    ),
    "'": re.compile(rf"{_FOLD}|(?P<quote>'')|[^' \t\r\n]+(?:[ \t]+[^' \t\r\n]+)*|.", re.DOTALL),
    "": re.compile(rf"{_FOLD}|[^ \t\r\n]+(?:[ \t]+[^ \t\r\n]+)*|.", re.DOTALL),
}
PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)*")
"""Anchor and tag in front of a node."""


@dataclass(frozen=True)
class Splice:
    """A part of a text that another takes the place of; `rank` orders those that stand at the same place."""

    start: int
    end: int
    text: str
    rank: int = 1


@dataclass(frozen=True)
class Change:
    """A part of a string's value that another takes the place of."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a string's value, and where it stands.

    Attributes:
        value: The stretch of the value.
        start: Where the text of it begins.
        end: Where it ends.
        exact: Whether the text is the value, letter for letter, so that it can be cut.
        fold: Whether it is a line break of the text that the value has as a space.
    """

    value: str
    start: int
    end: int
    exact: bool = True
    fold: bool = False


def changed(value: str, changes: Sequence[Change]) -> str:
    """The value with the changes made."""
    for change in reversed(_sorted(changes)):
        value = value[: change.start] + change.text + value[change.end :]
    return value


def check_changes(value: str, changes: Sequence[Change], place: str) -> None:
    """Refuses changes that overlap, or stand outside the value."""
    last = 0
    for change in _sorted(changes):
        if not last <= change.start <= change.end <= len(value):
            raise RefusedError(f"{place} has {len(value)} characters; {change.start} to {change.end} does not fit")
        last = change.end


def _sorted(changes: Sequence[Change]) -> list[Change]:
    return sorted(changes, key=lambda change: (change.start, change.end))


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """The text with the splices made."""
    parts: list[str] = []
    position = 0
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end > splice.start, splice.rank)):
        if splice.start < position:
            raise RefusedError("two edits change the same place")
        parts += [text[position : splice.start], splice.text]
        position = splice.end
    return "".join((*parts, text[position:]))


def placed(segments: Sequence[Segment], change: Change, text: str, place: str) -> Splice:
    """Where a change of the value stands in the text; `text` is its text as the style writes it."""
    end = _end_of(segments, change.end)
    start = end if change.start == change.end else _start_of(segments, change.start)
    if start is None or end is None:
        raise RefusedError(f"{place}: the edit would cut a folded line break in two")
    return Splice(start, end, text)


def _start_of(segments: Sequence[Segment], position: int) -> int | None:
    """Where the value's character at `position` begins."""
    for segment in segments:
        if position < len(segment.value):
            return segment.start + position if position == 0 or segment.exact else None
        position -= len(segment.value)
    return None


def _end_of(segments: Sequence[Segment], position: int) -> int | None:
    """Where the value's first `position` characters end."""
    if position == 0:
        return segments[0].start if segments else 0
    for segment in segments:
        if position <= len(segment.value):
            return segment.end if position == len(segment.value) else _start_of((segment,), position)
        position -= len(segment.value)
    return None


def splice_flow(raw: str, node: yaml.ScalarNode, located: Located, changes: Sequence[Change]) -> list[Splice]:
    """The splices of a plain or quoted string's text that make the changes."""
    style = style_of(node)
    match = PROPERTIES.match(raw)
    first = match.end() if match else 0
    inner = raw[first + len(style) : len(raw) - len(style)]
    segments = tuple(_segments(inner, style))
    if value_of(segments) != node.value:
        raise RefusedError(f"{located.place} is written in a way that cannot be edited with certainty")
    wanted = changed(node.value, changes)
    splices = [placed(segments, change, encoded(change.text, style), located.place) for change in changes]
    if _fits(wanted, changes, style, in_flow=located.in_flow) and _reads(spliced(inner, splices), style, wanted):
        offset = first + len(style)
        return [Splice(offset + splice.start, offset + splice.end, splice.text) for splice in splices]
    return [Splice(first, len(raw), _requoted(inner, segments, changes, style, wanted))]


def _segments(inner: str, style: Style) -> Iterator[Segment]:
    for match in _TOKENS[style].finditer(inner):
        kind = match.lastgroup
        yield Segment(_meaning(match.group(0), kind), *match.span(), exact=kind is None, fold=kind == "fold")


def _meaning(token: str, kind: str | None) -> str:
    if kind == "fold":
        breaks = len(re.findall(BREAK, token))
        return " " if breaks == 1 else "\n" * (breaks - 1)
    if kind == "escape":
        code = token[1]
        if code in yaml.scanner.Scanner.ESCAPE_CODES:
            return chr(int(f"0x{token[2:]}", 0))
        return yaml.scanner.Scanner.ESCAPE_REPLACEMENTS.get(code, token)
    return {"joined": "", "quote": "'"}.get(kind or "", token)


def value_of(segments: Iterable[Segment]) -> str:
    """The value that the segments make up."""
    return "".join(segment.value for segment in segments)


def _reads(inner: str, style: Style, wanted: str) -> bool:
    return value_of(_segments(inner, style)) == wanted


def _fits(wanted: str, changes: Sequence[Change], style: Style, *, in_flow: bool) -> bool:
    """Whether the style can hold the value."""
    if style == "":
        return plain_fits(re.sub(BREAK, " ", wanted), in_flow=in_flow) and all(printable(each.text) for each in changes)
    return style == '"' or all(printable(change.text) for change in changes)


def _requoted(inner: str, segments: Sequence[Segment], changes: Sequence[Change], style: Style, wanted: str) -> str:
    """The whole string in other quotes, on the lines on which it stands; on one line if that does not read right."""
    quotes = quotes_for(wanted) if style == "" and _is_flat(changes) else '"'
    other = [Splice(each.start, each.end, encoded(each.value, quotes)) for each in segments if not each.fold]
    recoded = spliced(inner, other)
    again = tuple(_segments(recoded, quotes))
    if value_of(again) == value_of(segments):
        splices = [placed(again, change, encoded(change.text, quotes), "") for change in changes]
        result = spliced(recoded, splices)
        if _reads(result, quotes, wanted):
            return f"{quotes}{result}{quotes}"
    return written(wanted, '"', in_flow=True)


def _is_flat(changes: Sequence[Change]) -> bool:
    return all(printable(change.text) for change in changes)
