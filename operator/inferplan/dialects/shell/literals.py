"""Literal text of a script: what is left of it when the shell has taken away its quotes and backslashes. Pure."""

import re
import sys
from collections.abc import Iterator

from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.tree import Node, Source
from inferplan.dialects.words import Piece

UNQUOTED = re.compile(r"\\(.)", re.DOTALL)
QUOTED = re.compile(r'\\([$`"\\\n])')
"""POSIX.1-2024, 2.2.3 Double-quotes: elsewhere the backslash stays."""
HEREDOC = re.compile(r"\\([$`\\\n])")
"""POSIX.1-2024, 2.7.4 Here-document: as in double quotes, but `"` is an ordinary letter."""
NOTHING = re.compile(r"(?!)")

_DOLLAR = re.compile(r"\\.|(\$)", re.DOTALL)
_EXPANDED = re.compile(r"[A-Za-z0-9_@*#?$!({'-]")
_ANSI = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|c(.)|(.))", re.DOTALL
)
_ANSI_LETTERS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
"""Bash Reference Manual 5.2, 3.1.2.4 ANSI-C Quoting."""


def literal(source: Source, start: int, end: int, escapes: "re.Pattern[str]") -> tuple[Piece, ...]:
    """What a stretch of literal text stands for; `escapes` are the backslashes that are taken away."""
    if "$" in source.code[start:end] and escapes is not NOTHING:
        _check_dollars(source, start, end)
    if "\\" not in source.code[start:end]:
        return source.shadow.pieces(start, end)
    return tuple(_literal(source, start, end, escapes))


def _check_dollars(source: Source, start: int, end: int) -> None:
    """A dollar sign that begins something is no literal one.

    Raises:
        ShellError: The parser took it for one.
    """
    for match in _DOLLAR.finditer(source.code, start, end):
        if match[1] and _EXPANDED.match(source.code, match.end()):
            raise ShellError("an expansion of this form is not read", source.line(match.start()))


def _literal(source: Source, start: int, end: int, escapes: "re.Pattern[str]") -> Iterator[Piece]:
    shadow = source.shadow
    for match in escapes.finditer(source.code, start, end):
        yield from shadow.pieces(start, match.start())
        start = match.end()
        if match[1] == "U" and shadow.hidden(start - 1, start):
            start -= 1  # an unknown stretch stays whole
        elif match[1] != "\n":
            yield _replaced(source, match.start(), match.end(), shadow.text[match.end() - 1])
    yield from shadow.pieces(start, end)


def ansi(node: Node) -> tuple[Piece, ...]:
    """What `$'…'` stands for."""
    return tuple(_ansi(node))


def _ansi(node: Node) -> Iterator[Piece]:
    source, start, end = node.source, node.start + 2, node.end - 1
    for match in _ANSI.finditer(source.code, start, end):
        yield from source.shadow.pieces(start, match.start())
        yield _replaced(source, match.start(), match.end(), _decoded(match))
        start = match.end()
    yield from source.shadow.pieces(start, end)


def _decoded(match: "re.Match[str]") -> str:
    byte, short, long, octal, control, letter = match.groups()
    if byte or short or long:
        return _character(int(byte or short or long, 16))
    if octal:
        return _character(int(octal, 8) & 0xFF)
    if control:
        return _character(ord(control.upper()) ^ 0x40)
    return _ANSI_LETTERS.get(letter, match.group())


def _character(code: int) -> str:
    return chr(code) if code <= sys.maxunicode else ""


def _replaced(source: Source, start: int, end: int, text: str) -> Piece:
    return Piece(text, *source.shadow.place(start, end))
