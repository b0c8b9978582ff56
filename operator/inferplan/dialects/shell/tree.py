"""A script as a tree of nodes, checked for what the grammar is known to misread. Pure.

tree-sitter-bash 0.25 takes any white space between two tokens for insignificant. Where the shell does not, the gap
between two nodes shows it; such a script is refused rather than misread.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.shadow import Shadow
from inferplan.dialects.words import Piece

if TYPE_CHECKING:
    from tree_sitter import Node as RawNode
    from tree_sitter import Parser

ON_ONE_LINE = frozenset(
    {
        "command",
        "declaration_command",
        "file_redirect",
        "herestring_redirect",
        "negated_command",
        "redirected_statement",
        "unset_command",
        "variable_assignments",
    }
)
"""Nodes whose parts the shell looks for on one line."""
TEXT = frozenset(
    {
        "arithmetic_expansion",
        "brace_expression",
        "comment",
        "expansion",
        "heredoc_body",
        "number",
        "regex",
        "simple_expansion",
        "string",
        "translated_string",
    }
)
"""Nodes in which what stands between two parts is text, or does not matter."""
_FIELDLESS = frozenset(
    {
        "array",
        "command_name",
        "command_substitution",
        "compound_statement",
        "concatenation",
        "do_group",
        "expansion",
        "list",
        "pipeline",
        "program",
        "simple_expansion",
        "string",
    }
)
"""Frequent nodes whose parts' names are not asked for."""
_QUOTED = frozenset({"string", "heredoc_body"})
_BLANKS = re.compile(r"(?:[ \t]|\\\n)*")
_SPACE = re.compile(r"(?:[ \t\n]|\\\n)*")
_CONTINUATIONS = re.compile(r"(?:\\\n)*")
_LEADING = _SPACE


@dataclass(frozen=True, slots=True)
class Anchor:
    """A command that evaluates a string: where it begins and ends in the script, and its line."""

    start: int
    end: int
    line: int


class Source:
    """A parsed script.

    Args:
        text: What the shell sees.
        mapping: The pieces that the text consists of.
        anchor: Of a text that another script evaluates: the command that does, which stands for all in it.

    Attributes:
        shadow: The text, and where its stretches come from.
        code: The text as the parser saw it.
        root: The whole script's node.

    Raises:
        ShellError: The script cannot be parsed.
    """

    def __init__(self, text: str, mapping: Sequence[Piece], anchor: Anchor | None = None) -> None:
        self.anchor = anchor
        self.shadow = Shadow(text, mapping, templated=anchor is None)
        self.code = self.shadow.code
        raw = _parser().parse(self.code.encode("ascii")).root_node
        if raw.has_error:
            raise ShellError(
                "the script is no valid shell, or of a form that is not read", self.line(_first_error(raw))
            )
        first = raw.children[0].start_byte if raw.child_count else 0
        last = raw.children[-1].end_byte if raw.child_count else 0
        if not _SPACE.fullmatch(self.code, 0, first) or not _SPACE.fullmatch(self.code, last, len(self.code)):
            raise ShellError("the script begins or ends with an escaped blank")
        self.root = Node(raw, self, "")

    def line(self, position: int) -> int:
        """The line of a character, counted from 1."""
        return self.anchor.line if self.anchor else self.shadow.line(position)


class Node:
    """A stretch of a script: what it is, where it stands, and its parts.

    Args:
        raw: The parser's node.
        source: The script.
        field: What it is to its parent; empty where the grammar gives it no name.

    Attributes:
        kind: The grammar's name; of punctuation and keywords, their text.
        start: Place of the first character in the script.
        end: Place behind the last character.
        redirects: Of a command: redirections that the parser keeps apart from it; None until they were looked for.
    """

    __slots__ = ("_children", "_raw", "end", "field", "kind", "redirects", "source", "start")

    def __init__(self, raw: "RawNode", source: Source, field: str) -> None:
        self._raw: RawNode | None = raw
        self._children: tuple[Node, ...] | None = None
        self.redirects: tuple[Node, ...] | None = None
        self.source = source
        self.field = field
        self.kind = raw.type
        self.start = raw.start_byte
        self.end = raw.end_byte

    @classmethod
    def made(cls, source: Source, kind: str, start: int, end: int) -> "Node":
        """A node that the parser should have seen."""
        node = object.__new__(cls)
        node._raw, node._children, node.redirects = None, (), None
        node.source, node.field, node.kind, node.start, node.end = source, "", kind, start, end
        return node

    @property
    def text(self) -> str:
        """What is written there."""
        return self.source.shadow.text[self.start : self.end]

    @property
    def token(self) -> bool:
        """Whether it is punctuation or a keyword."""
        return self._raw is not None and not self._raw.is_named

    @property
    def line(self) -> int:
        """The script's line in which it begins."""
        return self.source.line(self.start)

    @property
    def children(self) -> "tuple[Node, ...]":
        """Its parts in order, comments left out.

        Raises:
            ShellError: What stands between two of them is not what the grammar takes it for.
        """
        if self._children is None:
            self._children = self._parts()
        return self._children

    def named(self, field: str) -> "tuple[Node, ...]":
        """The parts that the grammar calls so."""
        return tuple(child for child in self.children if child.field == field)

    def _parts(self) -> "tuple[Node, ...]":
        raw, source = self._raw, self.source
        if raw is None or not raw.child_count:
            return ()
        if self.kind in _FIELDLESS:
            parts = [Node(child, source, "") for child in raw.children]
        else:
            parts = [Node(child, source, raw.field_name_for_child(i) or "") for i, child in enumerate(raw.children)]
        if self.kind in _QUOTED:
            for part in parts:
                part.start += len(_LEADING.match(self.source.code[part.start : part.end])[0])  # type: ignore[index]  # matches always
        elif self.kind not in TEXT:
            self._check(parts)
        return tuple(part for part in parts if part.kind != "comment")

    def _check(self, parts: "Sequence[Node]") -> None:
        code = self.source.code
        allowed = _allowed(self.kind)
        for before, after in pairwise(parts):
            if before.end != after.start and not allowed.fullmatch(code, before.end, after.start):
                raise ShellError(
                    "the shell reads the white space there differently from the parser", self.source.line(before.end)
                )


def _allowed(kind: str) -> "re.Pattern[str]":
    if kind in {"concatenation", "variable_assignment"}:
        return _CONTINUATIONS
    return _BLANKS if kind in ON_ONE_LINE else _SPACE


def apart(before: Node, after: Node) -> bool:
    """Whether a blank stands between two nodes, so that they are two words: a continued line alone joins them."""
    gap = before.source.code[before.end : after.start]
    return bool(gap.replace("\\\n", ""))


def grouped(nodes: Sequence[Node]) -> Iterator[tuple[Node, ...]]:
    """The nodes of each word: the parser takes the two halves of a word on a continued line for two words."""
    group: list[Node] = []
    for node in nodes:
        if group and apart(group[-1], node):
            yield tuple(group)
            group = []
        group.append(node)
    if group:
        yield tuple(group)


def _first_error(raw: "RawNode") -> int:
    """Where the parser first gave up: the innermost first erroneous node."""
    for child in raw.children:
        if child.is_error or child.is_missing:
            return child.start_byte
        if child.has_error:
            return _first_error(child)
    return raw.start_byte


@cache
def _parser() -> "Parser":
    import tree_sitter  # noqa: PLC0415  only those who read scripts pay for its import
    import tree_sitter_bash  # noqa: PLC0415

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
