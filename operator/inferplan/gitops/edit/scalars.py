"""A number, a switch or a string in YAML text with another value, every other byte as it is; pure."""

import re

import yaml

from inferplan.dialects.manifests import Path
from inferplan.dialects.untyped import scalar
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_edit.nodes import Documents, RefusedError
from inferplan.dialects.yaml_edit.scalars import PROPERTIES
from inferplan.dialects.yaml_edit.writing import style_of
from inferplan.gitops.edit.adding import at

_MARK = "\ufeff"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")


def set_scalar(text: str, document: int, path: Path, value: str) -> str | NotEditable:
    """The text with another value at a path, in the quotes of the old one.

    Args:
        text: The whole file.
        document: Number of the document, from 0.
        path: Where the value stands in it; it is there, and no list or mapping.
        value: The new value as text: letters, digits and ._/+- only.
    """
    mark = _MARK if text.startswith(_MARK) else ""
    plain = text.removeprefix(mark)
    refused = NotEditable(f"{path[-1]} cannot be set with certainty; set it by hand")
    try:
        node = Documents(plain).locate(document, path).node
        if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"} or _PLAIN.fullmatch(value) is None:
            return refused
        start, end = _span(plain, node)
        quotes = style_of(node)
        result = f"{plain[:start]}{quotes}{value}{quotes}{plain[end:]}"
        expected, got = Documents(plain).data(), Documents(result).data()
    except RefusedError as refusal:
        return NotEditable(str(refusal))
    new = at(got[document], path)
    at(expected[document], path[:-1])[path[-1]] = new
    return mark + result if scalar(new) == value and expected == got else refused


def _span(text: str, node: yaml.ScalarNode) -> tuple[int, int]:
    """Where a value stands, without its anchor and tag."""
    properties = PROPERTIES.match(text, node.start_mark.index)
    return properties.end() if properties else node.start_mark.index, node.end_mark.index
