"""A script's text made fit for the parser. Pure.

The parser gets a copy of the same length in which everything that only looks like shell syntax (Go templates,
variables that Kubernetes left in place, letters outside ASCII) is plain letters. Because it is ASCII and as long as
the text, the parser's byte offsets are the text's character offsets.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.words import Piece, cut

TEMPLATE = "template"
"""Name of what a template expression stands for."""
MAX_CHARACTERS = 256 * 1024
"""Longest script that is read. Linux hands a program arguments of at most 128 KiB each (MAX_ARG_STRLEN, execve(2))."""

_ODD = re.compile(r"[^\x00-\x7f]|[\r\v\f]")
"""What the shell takes as letters of a word and the parser does not, or not by one byte: bash splits commands at
blanks, tabs and newlines only (Bash Reference Manual 5.2, "blank")."""
_ACTION = re.compile(
    r"""\{\{(?:-\s)?(?:"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])'|/\*.*?\*/|[^}"`'/]|/(?!\*)|\}(?!\}))*\}\}""",
    re.DOTALL,
)
"""One action of Go's text/template (Go 1.23): braces inside of its strings and comments do not end it."""
_OPENING = re.compile(r"\{\{(?:-\s)?\s*(?:if|range|with|block|define)\b")
_CLOSING = re.compile(r"\{\{(?:-\s)?\s*end\b")
_BETWEEN = re.compile(r"\{\{(?:-\s)?\s*(?:else|break|continue)\b")
_WORDS = re.compile(
    r"(?<![^\s;&|()!{`])\[(?=[ \t])|(?<=[ \t])\](?=[\s;&|)`]|$)"  # the brackets of a test
    r"|(?<=[ \t])-(?=[ \t]+(?:&?>|<|\d+[<>]))"  # a lone dash before a redirection
)
"""What is a word to the shell, and not to the grammar. It makes a statement of a test's brackets and looks for the
closing one far behind the test's end: `[ $N -gt 2 ] || stop 2>/dev/null`. It drops the dash of `python - <<EOF`."""
_WORD = "_"
_LETTER = "U"
_NEUTRAL = "."


def templates(text: str) -> tuple[tuple[int, int], ...]:
    """Where template expressions begin and end; an `if … end` on one line is one expression.

    Raises:
        ShellError: A block spans lines, so that the template decides which commands there are.
    """
    if "{{" not in text:
        return ()
    return tuple(_blocks(text))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    depth, first, begin = 0, 0, 0
    for match in _ACTION.finditer(text):
        start, end = _trimmed(text, match.start(), match.end())
        opening, closing = bool(_OPENING.match(match.group())), bool(_CLOSING.match(match.group()))
        if depth == 0:
            first, begin = start, match.start()
        if depth == 0 and (closing or _BETWEEN.match(match.group())):
            raise ShellError("a template block begins outside of the script", _line(text, begin))
        depth += opening - closing
        if depth == 0 and closing and "\n" in _ACTION.sub("", text[begin : match.end()]):
            raise ShellError("a template block spans several lines of the script", _line(text, begin))
        if depth == 0:
            yield first, end
    if depth:
        raise ShellError("a template block does not end in the script", _line(text, begin))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """An action with the white space that its trim markers take away.

    A continued line's stays, so that what follows is a word of its own.
    """
    if text.startswith("{{- ", start):
        kept = len(text[:start].rstrip())
        start = start if text[kept - 1 : kept] == "\\" else kept
    if text.endswith(" -}}", 0, end):
        end += len(text[end:]) - len(text[end:].lstrip())
    return start, end


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class Shadow:
    """A script's text, what its stretches come from, and the copy for the parser.

    Args:
        text: What the shell sees.
        mapping: The pieces that the text consists of.
        templated: Whether to look for template expressions; those in a string that is evaluated were found before.

    Attributes:
        text: What the shell sees.
        code: The copy, as long as the text.

    Raises:
        ShellError: The text is too long, holds a NUL, or a template decides which commands there are.
    """

    def __init__(self, text: str, mapping: Sequence[Piece], *, templated: bool) -> None:
        if len(text) > MAX_CHARACTERS:
            raise ShellError(f"the script is longer than {MAX_CHARACTERS // 1024} KiB")
        if "\0" in text:
            raise ShellError("the script holds a NUL character", _line(text, text.index("\0")))
        self.text = text
        self._pieces = _with_templates(mapping, templates(text) if templated else ())
        self._starts = _starts(self._pieces)
        self.code = self._code()
        self._lines = [match.start() for match in re.finditer("\n", text)]

    def _code(self) -> str:
        code = _WORDS.sub(_WORD, _ODD.sub(_NEUTRAL, self.text))
        for start, piece in zip(self._starts, self._pieces, strict=False):
            if piece.unknown:
                end = start + len(piece.text)
                code = code[:start] + _LETTER * (end - start) + code[end:]
        return code

    def line(self, position: int) -> int:
        """The line of a character, counted from 1."""
        return bisect_right(self._lines, position - 1) + 1

    def hidden(self, start: int, end: int) -> bool:
        """Whether the parser saw something else there than what is written."""
        return self.text[start:end] != self.code[start:end]

    def place(self, start: int, end: int) -> tuple[int, int, int]:
        """The container's string that a stretch stands in, and where; -1 where it is not one stretch of it."""
        first = bisect_right(self._starts, start) - 1
        piece = self._pieces[first] if first < len(self._pieces) else None
        if piece is None or not piece.verbatim or end > self._starts[first] + len(piece.text):
            return self._joined(start, end)
        shift = piece.start - self._starts[first]
        return piece.source, start + shift, end + shift

    def _joined(self, start: int, end: int) -> tuple[int, int, int]:
        pieces = cut(self._pieces, start, end)
        if not pieces or any(piece.source < 0 or piece.source != pieces[0].source for piece in pieces):
            return -1, 0, 0
        if any(before.end != after.start for before, after in pairwise(pieces)):
            return -1, 0, 0
        return pieces[0].source, pieces[0].start, pieces[-1].end

    def pieces(self, start: int, end: int) -> tuple[Piece, ...]:
        """What stands there, letter for letter."""
        if start >= end:
            return ()
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, end - 1) - 1
        offset = self._starts[first]
        piece = self._pieces[first]
        if first == last and piece.verbatim:
            shift = piece.start - offset
            text = self.text[start:end]
            return (Piece(text, piece.source, start + shift, end + shift, True, variables=piece.variables),)
        return cut(self._pieces[first : last + 1], start - offset, end - offset)

    def behind(self, position: int) -> int:
        """The place in the container's string behind the text's first `position` characters; -1 where it has none."""
        last = bisect_right(self._starts, position - 1) - 1
        piece = self._pieces[last]
        rest = self._starts[last] + len(piece.text) - position
        return piece.end - rest if piece.source >= 0 and (piece.verbatim or not rest) else -1


def _starts(pieces: Sequence[Piece]) -> list[int]:
    starts, position = [], 0
    for piece in pieces:
        starts.append(position)
        position += len(piece.text)
    return starts


def _with_templates(mapping: Sequence[Piece], found: Sequence[tuple[int, int]]) -> list[Piece]:
    """The mapping with a piece of its own for every template expression."""
    pieces = [piece for piece in mapping if piece.text]
    if not found:
        return pieces
    result: list[Piece] = []
    position = 0
    for start, end in found:
        result += cut(pieces, position, start)
        result.append(_template(cut(pieces, start, end)))
        position = end
    return [*result, *cut(pieces, position, sum(len(piece.text) for piece in pieces))]


def _template(pieces: Sequence[Piece]) -> Piece:
    text = "".join(piece.text for piece in pieces)
    one = all(piece.verbatim for piece in pieces) and all(a.end == b.start for a, b in pairwise(pieces))
    if not one:
        return Piece(text, unknown=TEMPLATE)
    return Piece(text, pieces[0].source, pieces[0].start, pieces[-1].end, unknown=TEMPLATE)
