"""Refuses trees in which the parser misread the script. Pure.

tree-sitter-bash 0.25 accepts some scripts in another sense than the shell. What the gaps between its nodes do not show
(see tree.py), their kinds and contents do. The whole tree is looked at, also what never runs: a node that swallowed the
lines below hides what does.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.tree import Anchor, Node, Source
from inferplan.dialects.words import Piece

_NAME = re.compile(r"\$(?:\\\n)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_]|\\\n)*|[@*#?$!-])")
_ANSI = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORD = re.compile(r"(?:[^ \t\n\\]|\\.)*", re.DOTALL)
_NO_WORDS = frozenset({"regex", "subshell"})
_COMMANDS = frozenset({"command_substitution", "process_substitution"})


def parsed(text: str, mapping: Sequence[Piece], anchor: Anchor | None = None) -> Node:
    """A script's root, every node of which is what it seems to be.

    Args:
        text: What the shell sees.
        mapping: The pieces that the text consists of.
        anchor: Of a string that another script evaluates: the command that does.

    Raises:
        ShellError: The script cannot be parsed, or was misread.
    """
    root = Source(text, mapping, anchor).root
    _check(root)
    return root


def _check(root: Node) -> None:
    stack = [(root, False)]
    while stack:
        node, within = stack.pop()
        test = _CHECKS.get(node.kind)
        if test is not None and not (within and node.kind == "word"):
            test(node)
        inside = node.kind == "expansion" or (within and node.kind not in _COMMANDS)
        stack += [(child, inside) for child in node.children]


def _command(node: Node) -> None:
    """A pattern behind `==` that goes on over the lines below, and a function definition read as a command."""
    if any(child.kind in _NO_WORDS for child in node.children):
        raise ShellError("a command of this form is not read", node.line)


def _word(node: Node) -> None:
    """Braces with blanks between them."""
    if not _WORD.fullmatch(node.source.code, node.start, node.end):
        raise ShellError("two words that the parser takes for one are not read", node.line)


def _dollar(node: Node) -> None:
    """A dollar sign that stands for itself, with the next word for a name."""
    if not _NAME.fullmatch(node.source.code, node.start, node.end):
        raise ShellError("a dollar sign that stands for itself is not read", node.line)


def _ansi(node: Node) -> None:
    r"""`$'\\'`, whose end the parser takes for an escaped quote."""
    if not _ANSI.fullmatch(node.source.code, node.start, node.end):
        raise ShellError("the string $'…' ends where the parser does not see it", node.line)


def _backquotes(node: Node) -> None:
    """Two substitutions side by side, the second of which the parser takes for a part of the first."""
    code = node.source.code[node.start : node.end]
    if code[0] == "`" and "`" in code[1:-1]:
        raise ShellError("backquotes of this form are not read", node.line)


_CHECKS: Mapping[str, Callable[[Node], None]] = {
    "ansi_c_string": _ansi,
    "command": _command,
    "command_substitution": _backquotes,
    "simple_expansion": _dollar,
    "word": _word,
}
