"""Edits of strings and lists inside YAML text, every other byte as its author wrote it. Pure.

Nodes are located with PyYAML, the text is spliced, and the result is proved: loaded again it must hold exactly the
old data with the edits made. JSON files are YAML too and stay JSON.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import yaml

from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_edit.blocks import splice_block
from inferplan.dialects.yaml_edit.lists import splice_insert, splice_remove
from inferplan.dialects.yaml_edit.nodes import STRING, Documents, Located, Path, RefusedError, is_json
from inferplan.dialects.yaml_edit.scalars import Change, Splice, changed, check_changes, splice_flow, spliced

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class StringEdit:
    """A part of a string replaced.

    Attributes:
        document: Index of the document in the file.
        path: Where the string stands in it.
        start: First character of its value that goes.
        end: The place behind the last one that goes; the same as `start` to insert.
        text: What comes in its place.
    """

    document: int
    path: Path
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class ListInsert:
    """Strings put into a list.

    Attributes:
        document: Index of the document in the file.
        path: Where the list stands in it.
        index: Before which of its items; its length for the end.
        values: The strings.
    """

    document: int
    path: Path
    index: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class ListRemove:
    """Items taken out of a list.

    Attributes:
        document: Index of the document in the file.
        path: Where the list stands in it.
        index: The first one.
        count: How many.
    """

    document: int
    path: Path
    index: int
    count: int


Edit = StringEdit | ListInsert | ListRemove


def edit_text(text: str, edits: Sequence[Edit]) -> str | NotEditable:
    """The text with the edits made; all places are those of the text as it is given."""
    if not edits:
        return text
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    try:
        return mark + _edited(text.removeprefix(mark), edits)
    except RefusedError as refusal:
        return NotEditable(str(refusal))


def _edited(text: str, edits: Sequence[Edit]) -> str:
    documents = Documents(text)
    line_break = "\r\n" if "\r\n" in text else "\n"
    splices = [splice for group in _grouped(edits) for splice in _splices(text, documents, group, line_break)]
    result = spliced(text, splices)
    expected = documents.data()
    last_first = list(reversed(edits))  # so that of those at the same place the first one comes to stand first
    last_first.sort(key=_order)
    for edit in last_first:
        _apply(expected, edit)
    if not _same(expected, Documents(result).data()) or (is_json(text) and not is_json(result)):
        raise RefusedError("the edited text would not load as what it should hold; change it by hand")
    return result


def _grouped(edits: Sequence[Edit]) -> Iterator[Sequence[Edit]]:
    """Edits of the same string together, as they may give it other quotes; all others alone."""
    strings = [edit for edit in edits if isinstance(edit, StringEdit)]
    yield from (tuple(group) for _, group in groupby(sorted(strings, key=_string_place), key=_string_place))
    yield from ((edit,) for edit in edits if not isinstance(edit, StringEdit))


def _string_place(edit: StringEdit) -> tuple[int, tuple[str, ...]]:
    return edit.document, tuple(map(repr, edit.path))


def _splices(text: str, documents: Documents, group: Sequence[Edit], line_break: str) -> list[Splice]:
    edit = group[0]
    located = documents.locate(edit.document, edit.path)
    if isinstance(edit, ListInsert):
        return splice_insert(text, located, edit.index, edit.values, line_break)
    if isinstance(edit, ListRemove):
        return splice_remove(text, located, edit.index, edit.count)
    changes = [Change(each.start, each.end, each.text) for each in group if isinstance(each, StringEdit)]
    return _splice_string(text, located, changes, line_break)


def _splice_string(text: str, located: Located, changes: Sequence[Change], line_break: str) -> list[Splice]:
    node = located.node
    if not isinstance(node, yaml.ScalarNode) or node.tag != STRING:
        raise RefusedError(f"{located.place} is no string")
    check_changes(node.value, changes, located.place)
    start = node.start_mark.index
    raw = text[start : node.end_mark.index]
    if node.style in ("|", ">"):
        splices = splice_block(raw, node, located, changes, line_break)
    else:
        splices = splice_flow(raw, node, located, changes)
    return [Splice(start + each.start, start + each.end, each.text, each.rank) for each in splices]


def _order(edit: Edit) -> tuple[int, int, int]:
    """Edits so that none moves what a later one names: inner ones first, in a string or list from its end."""
    if isinstance(edit, StringEdit):
        return -len(edit.path), -edit.start, -edit.end
    return -len(edit.path), -edit.index, 0 if isinstance(edit, ListRemove) else 1


def _apply(documents: list[Any], edit: Edit) -> None:
    """Makes an edit in loaded data."""
    holder: Any = documents
    key: str | int = edit.document
    for step in edit.path:
        holder, key = holder[key], step
    if isinstance(edit, StringEdit):
        holder[key] = changed(holder[key], [Change(edit.start, edit.end, edit.text)])
    elif isinstance(edit, ListInsert):
        holder[key][edit.index : edit.index] = edit.values
    else:
        del holder[key][edit.index : edit.index + edit.count]


def _same(one: object, other: object) -> bool:
    """Whether two trees are the same in every type and value; each pair of nodes is compared once, whatever aliases."""
    seen: set[tuple[int, int]] = set()
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if type(left) is not type(right):
            return False
        if (id(left), id(right)) in seen:
            continue
        inside, other_inside = _inside(left), _inside(right)
        if inside is None or other_inside is None:
            if left != right and repr(left) != repr(right):  # .nan differs from itself
                return False
            continue
        if len(inside) != len(other_inside):
            return False
        seen.add((id(left), id(right)))
        waiting.extend(zip(inside, other_inside, strict=True))
    return True


def _inside(node: object) -> list[Any] | None:
    """What a list or mapping holds, None for any other value."""
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    return node if isinstance(node, list) else None
