"""How a string is written in YAML, so that every reader takes it for that string. Pure.

Rules: YAML 1.1 chapters 5.1 (characters), 5.7 (escapes), 9.1 (flow scalars).
"""

import json
import re
from typing import Literal

import yaml

from inferplan.dialects.yaml_edit.nodes import STRING

Style = Literal["", "'", '"']
"""How a string is written: plain, or in which quotes."""

_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NUMBER = re.compile(
    r"[-+]?(?:(?:\.?[0-9][0-9_,]*|[0-9][0-9_,]*\.[0-9_]*)(?:[eE][-+]?[0-9]*)?"
    r"|0[xXoObB][0-9a-fA-F_]*|[0-9][0-9_]*(?::[0-9]+)+\.?[0-9_]*)"
)
"""What some YAML reader or other takes for a number: 1e3 is one for Go's, none for PyYAML."""
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<"})
_PLAIN = re.compile(r"(?![-?:](?:\s|$)|[,\[\]{}#&*!|>'\"%@`]|---|\.\.\.)\S(?:.*\S)?", re.DOTALL)
_PLAIN_IN_FLOW = re.compile(r"(?!\?|[-:](?:[\s,\[\]{}]|$))[^\s,\[\]{}?:](?:[^,\[\]{}?]*[^\s,\[\]{}?])?", re.DOTALL)
_MEANS_MORE = re.compile(r":(?:\s|$)|\s#")
_RESOLVER = yaml.resolver.Resolver()


def style_of(node: yaml.ScalarNode) -> Style:
    """How a plain or quoted string is written; libyaml's parser says "" for plain, PyYAML's own None."""
    return "'" if node.style == "'" else '"' if node.style == '"' else ""


def printable(text: str) -> bool:
    """Whether a text can stand in a YAML file without escapes; line breaks cannot."""
    return not _UNPRINTABLE.search(text)


def plain_fits(value: str, *, in_flow: bool) -> bool:
    """Whether a value can be written without quotes and still is that string."""
    if value.lower() in _WORDS or _NUMBER.fullmatch(value) or not printable(value):
        return False
    if not _PLAIN.fullmatch(value) or _MEANS_MORE.search(value):
        return False
    if in_flow and not _PLAIN_IN_FLOW.fullmatch(value):
        return False
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return tag == STRING


def encoded(text: str, style: Style) -> str:
    """A text as a part of a string of that style; nothing is escaped in a plain one."""
    if style == '"':
        # JSON's escapes are YAML's too, so that a JSON file stays one.
        return _UNPRINTABLE.sub(_escape, json.dumps(text, ensure_ascii=False)[1:-1])
    return text.replace("'", "''") if style == "'" else text


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group(0)):04x}"  # all that is not printable stands below U+10000


def quotes_for(text: str) -> Style:
    """The quotes in which a text reads best: single ones where double ones would need escapes, and can hold it."""
    return "'" if ('"' in text or "\\" in text) and printable(text) else '"'


def written(value: str, style: Style, *, in_flow: bool) -> str:
    """A value in a style, or in quotes where that style cannot hold it."""
    if style == "" and not plain_fits(value, in_flow=in_flow):
        style = quotes_for(value)
    if style == "'" and not printable(value):
        style = '"'
    return f"{style}{encoded(value, style)}{style}"
