"""Strings put into a YAML list, and items taken out of it, in the style of the list. Pure."""

import re
from collections.abc import Sequence

import yaml

from inferplan.dialects.yaml_edit.flow_lists import into_flow, out_of_flow
from inferplan.dialects.yaml_edit.nodes import Located, RefusedError
from inferplan.dialects.yaml_edit.scalars import AFTER, BEFORE, BREAK, Splice
from inferplan.dialects.yaml_edit.writing import Style, style_of, written

_DASH = re.compile(r"-[ \t]+$")
_REST_OF_LINE = re.compile(rf"[ \t]*(?:#[^\r\n]*)?(?P<break>{BREAK}|\Z)")
_LAST_BREAK = re.compile(rf"{BREAK}\Z")
_KEEPS_BREAKS = re.compile(r"(?:[&!]\S*\s+)*[|>][1-9]?\+")


def splice_insert(text: str, located: Located, index: int, values: Sequence[str], line_break: str) -> list[Splice]:
    """The splices that put strings into a list before the item at `index`; its length means at the end."""
    node = _list(located)
    if not 0 <= index <= len(node.value):
        raise RefusedError(f"{located.place} has {len(node.value)} items; there is no place {index}")
    if not values:
        return []
    styles = _nearest_styles(node, index)
    items = [_item(value, styles, in_flow=bool(node.flow_style)) for value in values]
    if node.flow_style:
        return into_flow(text, node, index, items)
    return [_into_block(text, located, index, items, line_break)]


def splice_remove(text: str, located: Located, index: int, count: int) -> list[Splice]:
    """The splices that take items out of a list."""
    node = _list(located)
    if index < 0 or count < 0 or index + count > len(node.value):
        raise RefusedError(f"{located.place} has {len(node.value)} items; {index} to {index + count} does not fit")
    if count == 0:
        return []
    return out_of_flow(text, located, index, count) if node.flow_style else [_out_of_block(text, located, index, count)]


def _list(located: Located) -> yaml.SequenceNode:
    if not isinstance(located.node, yaml.SequenceNode):
        raise RefusedError(f"{located.place} is no list")
    return located.node


def _nearest_styles(node: yaml.SequenceNode, index: int) -> list[Style]:
    """Styles of a list's scalars, the nearest one first, those before the place before those behind it."""
    near = sorted(range(len(node.value)), key=lambda number: (abs(number + 0.5 - index), number))
    scalars = [node.value[number] for number in near]
    return [
        style_of(scalar) for scalar in scalars if isinstance(scalar, yaml.ScalarNode) and scalar.style not in ("|", ">")
    ]


def _item(value: str, styles: Sequence[Style], *, in_flow: bool) -> str:
    """A value as it is written: plain if an item of the list is and it can be, else in the nearest one's quotes."""
    quotes = next((style for style in styles if style), None)
    if "" in styles or (not styles and not in_flow):
        plain = written(value, "", in_flow=in_flow)
        return plain if plain == value or quotes is None else written(value, quotes, in_flow=in_flow)
    return written(value, quotes or '"', in_flow=in_flow)


def _into_block(text: str, located: Located, index: int, items: Sequence[str], line_break: str) -> Splice:
    neighbour = located.node.value[max(index - 1, 0)]
    dash, gap = _dash(text, neighbour, located)
    column = dash - _line_start(text, dash)
    lines = [" " * column + "-" + gap + item for item in items]
    if index == 0:
        place, ended = _own_line(text, dash, located), True
    else:
        place, ended = _end_of_line(text, _end(text, neighbour), located)
    if ended:
        return Splice(place, place, "".join(line + line_break for line in lines), BEFORE)
    return Splice(place, place, "".join(line_break + line for line in lines), AFTER)


def _out_of_block(text: str, located: Located, index: int, count: int) -> Splice:
    items = located.node.value
    if count == len(items):
        raise RefusedError(f"{located.place} would be empty")
    start = _own_line(text, _dash(text, items[index], located)[0], located)
    end, ended = _end_of_line(text, _end(text, items[index + count - 1]), located)
    last_break = _LAST_BREAK.search(text, 0, start)
    if not ended and last_break is not None:  # the file's last line; the file still ends without a line break
        start = last_break.start()
    return Splice(start, end, "")


def _dash(text: str, item: yaml.Node, located: Located) -> tuple[int, str]:
    """Where an item's dash stands, and the blanks behind it."""
    start = item.start_mark.index
    line = _line_start(text, start)
    match = _DASH.search(text[line:start])
    if match is None:
        raise RefusedError(f"{located.place} has an item that does not stand behind its dash; change it by hand")
    return line + match.start(), match.group(0)[1:]


def _line_start(text: str, place: int) -> int:
    return max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1


def _own_line(text: str, dash: int, located: Located) -> int:
    """The start of the line that an item has for itself."""
    start = _line_start(text, dash)
    if text[start:dash].strip(" "):
        raise RefusedError(f"{located.place} begins on the line of another list; change it by hand")
    return start


def _end(text: str, item: yaml.Node) -> int:
    """Where an item's own text ends."""
    while isinstance(item, yaml.CollectionNode) and not item.flow_style and item.value:
        last = item.value[-1]
        item = last[1] if isinstance(last, tuple) else last
    start, end = item.start_mark.index, item.end_mark.index
    if isinstance(item, yaml.ScalarNode) and item.style in ("|", ">") and not _KEEPS_BREAKS.match(text, start):
        return start + len(text[start:end].rstrip(" \r\n"))
    return int(end)


def _end_of_line(text: str, place: int, located: Located) -> tuple[int, bool]:
    """The start of the next line, and whether there is one."""
    if text[place - 1 : place] in ("\r", "\n"):
        return place, True
    match = _REST_OF_LINE.match(text, place)
    if match is None:
        raise RefusedError(f"{located.place} has something behind an item; change it by hand")
    return match.end(), bool(match["break"])
