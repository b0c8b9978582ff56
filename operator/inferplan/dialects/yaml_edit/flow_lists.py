"""Items of a YAML list in brackets, put in and taken out with their commas, line breaks and comments. Pure."""

import re
from collections.abc import Sequence

import yaml

from inferplan.dialects.yaml_edit.nodes import Located, RefusedError
from inferplan.dialects.yaml_edit.scalars import AFTER, BEFORE, BREAK, PROPERTIES, Splice

_GAP = re.compile(r"\s*,\s*")
_COMMA = re.compile(r"\s*,")
_REST_OF_LINE = re.compile(r"[ \t]*(?P<comma>,)?[ \t]*(?P<comment>#[^\r\n]*)?")
_LINE_OF_ITEM = re.compile(rf"\s*,[ \t]*(?:#[^\r\n]*)?{BREAK}[ \t]*")


def into_flow(text: str, node: yaml.SequenceNode, index: int, items: Sequence[str]) -> list[Splice]:
    """The splices that put items, as they are to be written, into a list in brackets."""
    if not node.value:
        place = _first_place(text, node)
        return [Splice(place, place, ", ".join(items), BEFORE)]
    gap = _gap(text, node, index)
    if index == len(node.value):
        return _at_the_end(text, node, gap, items)
    start, before = node.value[index].start_mark.index, node.value[index - 1].end_mark.index
    if index == 0 or "#" in text[before:start]:
        return [Splice(start, start, "".join(item + gap for item in items), BEFORE)]
    return [Splice(before, before, "".join(gap + item for item in items), AFTER)]


def _first_place(text: str, node: yaml.SequenceNode) -> int:
    match = PROPERTIES.match(text, node.start_mark.index)
    return (match.end() if match else node.start_mark.index) + 1


def _gap(text: str, node: yaml.SequenceNode, index: int) -> str:
    """What stands between the items at a place, or would stand there."""
    right = min(max(index, 1), len(node.value) - 1)
    if right == 0:
        before, start = _first_place(text, node), node.value[0].start_mark.index
        return f",{_last_line(text[before:start])}"
    start = node.value[right].start_mark.index
    gap = text[node.value[right - 1].end_mark.index : start]
    return gap if _GAP.fullmatch(gap) else f",{_last_line(gap)}"


def _last_line(gap: str) -> str:
    """A line break and the blanks behind it, if there is one, else a blank."""
    match = re.search(rf"{BREAK}[ \t]*\Z", gap)
    return match.group(0) if match else " "


def _at_the_end(text: str, node: yaml.SequenceNode, gap: str, items: Sequence[str]) -> list[Splice]:
    last = node.value[-1].end_mark.index
    blanks = gap.partition(",")[2]
    rest = _REST_OF_LINE.match(text, last)
    own_lines = re.search(BREAK, blanks) is not None
    if rest is None or not own_lines or not (rest["comma"] or rest["comment"]):
        return [Splice(last, last, "".join(gap + item for item in items), AFTER)]
    if rest["comma"]:
        return [Splice(rest.end(), rest.end(), "".join(f"{blanks}{item}," for item in items), AFTER)]
    added = ",".join(blanks + item for item in items)
    return [Splice(last, last, ",", AFTER), Splice(rest.end(), rest.end(), added, AFTER)]


def out_of_flow(text: str, located: Located, index: int, count: int) -> list[Splice]:
    """The splices that take items out of a list in brackets."""
    items = located.node.value
    last = index + count - 1
    start, end = items[index].start_mark.index, items[last].end_mark.index
    comma = _COMMA.match(text, end)
    if last < len(items) - 1:
        following = items[last + 1].start_mark.index
        line = _LINE_OF_ITEM.match(text, end) if "#" in text[end:following] else None
        return [Splice(start, line.end() if line else following, "")]
    if index == 0:
        return [Splice(start, comma.end() if comma else end, "")]
    return _off_the_end(text, located, items[index - 1].end_mark.index, (start, end), comma)


def _off_the_end(
    text: str, located: Located, before: int, span: tuple[int, int], comma: re.Match[str] | None
) -> list[Splice]:
    """Takes the last items away; a comment behind the item before them stays."""
    start, end = span
    if "#" not in text[before:start]:
        return [Splice(before, end, "")]
    rest = _REST_OF_LINE.match(text, before)
    if rest is None or not rest["comma"]:
        raise RefusedError(f"{located.place} has comments between its items; change it by hand")
    if comma:
        return [Splice(rest.end(), comma.end(), "")]
    return [Splice(rest.start("comma"), rest.end("comma"), ""), Splice(rest.end(), end, "")]
