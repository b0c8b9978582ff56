"""Things put into YAML text that stood nowhere, and taken out again: a list in a mapping, a mapping in a list. Pure.

Every other byte stays. Each result is proved: loaded again it must hold exactly the old data with what was changed.
"""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from inferplan.dialects.manifests import Path
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_edit.nodes import Documents, RefusedError
from inferplan.dialects.yaml_edit.scalars import BREAK
from inferplan.dialects.yaml_edit.writing import written
from inferplan.dialects.yaml_text import ListInsert, edit_text

_REST_OF_LINE = re.compile(rf"[ \t]*(?:#[^\r\n]*)?(?P<break>{BREAK}|\Z)")
_START_OF_LINE = re.compile(rf"{BREAK}[ \t]*\Z")
_MARK = "\ufeff"
_PLACEHOLDER = "inferplan-places-it-here"


def add_list(text: str, document: int, path: Path, key: str, values: Sequence[str]) -> str | NotEditable:
    """The text with a new key in the mapping at a path: a list of strings, in lines of its own below the first entry.

    Args:
        text: The whole file.
        document: Number of the document, from 0.
        path: Where the mapping stands in it.
        key: The new key.
        values: The list.
    """
    mark = _MARK if text.startswith(_MARK) else ""
    plain = text.removeprefix(mark)
    line_break = "\r\n" if "\r\n" in plain else "\n"
    try:
        place, indentation = _below_first_entry(plain, Documents(plain).locate(document, path).node)
        lines = [f"{key}:", *(f"  - {written(value, '', in_flow=False)}" for value in values)]
        added = "".join(f"{line_break}{' ' * indentation}{line}" for line in lines)
        result = plain[:place] + added + plain[place:]
        expected, got = Documents(plain).data(), Documents(result).data()
    except RefusedError as refusal:
        return NotEditable(str(refusal))
    at(expected[document], path)[key] = list(values)
    return mark + result if expected == got else NotEditable(f"{key} cannot be added with certainty; add it by hand")


def drop_list(text: str, document: int, path: Path, key: str) -> str | NotEditable:
    """The text without a key of the mapping at a path and the list behind it: its lines, to that of the last word.

    Args:
        text: The whole file.
        document: Number of the document, from 0.
        path: Where the mapping stands in it.
        key: The key.
    """
    mark = _MARK if text.startswith(_MARK) else ""
    plain = text.removeprefix(mark)
    by_hand = NotEditable(f"{key} cannot be taken out with certainty; take it out by hand")
    try:
        mapping = Documents(plain)
        mapping.locate(document, (*path, key))
        lines = _lines_of(plain, mapping.locate(document, path).node, key)
        if lines is None:
            return by_hand
        result = plain[: lines[0]] + plain[lines[1] :]
        expected, got = Documents(plain).data(), Documents(result).data()
    except RefusedError as refusal:
        return NotEditable(str(refusal))
    del at(expected[document], path)[key]
    return mark + result if expected == got else by_hand


def _lines_of(text: str, node: yaml.Node, key: str) -> tuple[int, int] | None:
    """Where an entry's lines stand, from the line break before them; None where it has none of its own."""
    entries = node.value if isinstance(node, yaml.MappingNode) and not node.flow_style else []
    name, value = next(((name, value) for name, value in entries if name.value == key), (None, None))
    if name is None or not isinstance(value, yaml.SequenceNode):
        return None
    last = value.value[-1] if value.value and not value.flow_style else value
    before = _START_OF_LINE.search(text, 0, name.start_mark.index)
    rest = _REST_OF_LINE.match(text, last.end_mark.index)
    if before is None or rest is None or getattr(last, "style", None) in {"|", ">"}:
        return None
    return before.start(), rest.start("break")


def _below_first_entry(text: str, node: yaml.Node) -> tuple[int, int]:
    """The end of the line of the mapping's first entry that is one line, and where its keys begin.

    Raises:
        RefusedError: There is no such entry.
    """
    entries = node.value if isinstance(node, yaml.MappingNode) and not node.flow_style else []
    for key, value in entries:
        end = value.end_mark.index
        rest = _REST_OF_LINE.match(text, end)
        if isinstance(value, yaml.ScalarNode) and value.end_mark.line == key.start_mark.line and rest is not None:
            return rest.start("break"), key.start_mark.column
    raise RefusedError("the container is not written line by line; change it by hand")


def at(content: Any, path: Path) -> Any:  # noqa: ANN401  a part of a manifest may be of any type
    """What stands at a path."""
    for step in path:
        content = content[step]
    return content


def add_entry(text: str, key: str, name: str, value: str) -> str | NotEditable:
    """The text of a file with one document, a mapping, with a mapping of one string more at the end of a list in it.

    Args:
        text: The whole file.
        key: The list's key in the document; the list is put at the file's end where there is none.
        name: The new mapping's key.
        value: Its value.
    """
    by_hand = f"{key}: cannot be added to with certainty; add it by hand: {name}: {value}"
    try:
        expected = Documents(text.removeprefix(_MARK)).data()
        if len(expected) != 1 or not isinstance(expected[0], dict):
            return NotEditable(by_hand)
        stands, found = key in expected[0], expected[0].setdefault(key, [])
        if not isinstance(found, list) or (stands and not found):
            return NotEditable(by_hand)
        result = _into_list(text, key, len(found), (name, value)) if found else _at_the_end(text, key, (name, value))
        got = Documents(result.removeprefix(_MARK)).data()
    except RefusedError:
        return NotEditable(by_hand)
    found.append({name: value})
    return result if expected == got else NotEditable(by_hand)


def _into_list(text: str, key: str, length: int, pair: tuple[str, str]) -> str:
    """Puts a word there as any word is put into the list, then the mapping in the word's place.

    Raises:
        RefusedError: That cannot be done.
    """
    if _PLACEHOLDER in text:
        raise RefusedError(f"the text holds {_PLACEHOLDER!r}")
    result = edit_text(text, [ListInsert(0, (key,), length, (_PLACEHOLDER,))])
    if isinstance(result, NotEditable):
        raise RefusedError(result.reason)
    name, value = pair
    in_block = re.search(rf"-[ \t]+{_PLACEHOLDER}", result) is not None
    if in_block:
        new = f"{name}: {written(value, '', in_flow=False)}"
    else:
        new = "{" + written(name, '"', in_flow=True) + ": " + written(value, '"', in_flow=True) + "}"
    return re.sub(rf"[\"']?{_PLACEHOLDER}[\"']?", lambda _: new, result)


def _at_the_end(text: str, key: str, pair: tuple[str, str]) -> str:
    """Adds the list below all that stands in the file; where that does not fit, the proof refuses the result."""
    name, value = pair
    line_break = "\r\n" if "\r\n" in text else "\n"
    ends = text.endswith(("\n", "\r"))
    lines = f"{key}:{line_break}  - {name}: {written(value, '', in_flow=False)}"
    return f"{text}{lines}{line_break}" if ends else f"{text}{line_break}{lines}"
