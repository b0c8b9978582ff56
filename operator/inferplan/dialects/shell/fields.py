"""Words in the making: expansion joins pieces to them, and splits them. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, takewhile

from inferplan.dialects.words import Piece, Word

_PARTS = re.compile(r"[ \t\n]+|[^ \t\n]+")
"""POSIX.1-2024, 2.6.5 Field splitting, with IFS as it is by default."""

FILE_NAMES = "file names"
"""What is unknown where a pattern stands for the names of files."""

IFS = "IFS"
"""The variable that says where words are split and what joins them."""


def matches_files(text: str, word: str) -> bool:
    """Whether unquoted text may stand for names of files.

    A word that begins with a dash is no file's name, and an address is none either.
    """
    return ("*" in text or "?" in text) and not word.startswith("-") and "://" not in word + text


class Fields:
    """Collects the words that a stretch of a command stands for.

    Args:
        split: Whether unquoted expansions are split into words; not in an assignment.
        certain: Whether IFS is as it is by default, so that it is known where they are split.
    """

    def __init__(self, *, split: bool = True, certain: bool = True) -> None:
        self.splits = split
        self._certain = certain
        self._done: list[Word] = []
        self._current: list[Piece] | None = None
        self._loose = 0

    def add(self, pieces: Iterable[Piece]) -> None:
        """Joins text to the word as it is."""
        if self._current is None:
            self._current = []
        elif self._loose:
            self._glue()
        self._current += [piece for piece in pieces if piece.text]

    def literal(self, pieces: Iterable[Piece], *, quoted: bool) -> None:
        """Joins text that stands in the script: it is not split, but what is unknown in it may be several words."""
        self.add(splitting(pieces, splits=self.splits and not quoted))

    def end(self) -> None:
        """Ends the word, if there is one."""
        self._loose = 0
        if self._current is not None:
            self._done.append(Word(tuple(self._current)))
            self._current = None

    def _glue(self) -> None:
        """Makes one word of the last elements: what follows belongs to the last that is there at all."""
        count, self._loose = min(self._loose, len(self._done)), 0
        words = [*self._done[len(self._done) - count :], Word(tuple(self._current or ()))]
        del self._done[len(self._done) - count :]
        glued = list(words[0].pieces)
        for before, after in pairwise(words):
            glued += [self._between(before.pieces, after.pieces), *after.pieces]
        self._current = [*splitting(glued)]

    def expand(self, pieces: Iterable[Piece], *, quoted: bool) -> None:
        """Joins what an expansion stands for; unquoted, white space in it ends words."""
        if quoted or not self.splits:
            self.add(splitting(pieces, splits=False))
            return
        for piece in splitting(pieces):
            if piece.unknown:
                self.add((piece,))
            elif not self._certain and not piece.text.isalnum():
                self.add((hidden(piece, IFS),))
            else:
                self._split(piece)

    def elements(self, elements: Sequence[Sequence[Piece]], *, quoted: bool, joined: bool) -> None:
        """Joins what `$@`, `$*` or an array stands for: a word for each element, or one for all if `joined`."""
        if joined and not elements:
            self.add(())  # "$*" is a word also where there are no arguments
        one = joined or not self.splits
        loose = self._current is not None
        for index, element in enumerate(elements):
            if index and one:
                self.expand((self._between(elements[index - 1], element),), quoted=quoted)
            elif index and loose:
                self.add((self._between(elements[index - 1], element),))
            elif index:
                self.end()
            loose = loose and _may_vanish(element)  # what stands before belongs to the first that is there at all
            if quoted and self.splits and not joined:
                self.add(element)  # an unknown element may be several, also in quotes
            elif quoted or element:
                self.expand(element, quoted=quoted)
        self._loose = 0 if one or loose else _vanishing(elements)

    def _between(self, before: Sequence[Piece], after: Sequence[Piece]) -> Piece:
        """What joins two elements: nothing where one of them turns out to be none."""
        doubt = next((piece.unknown for piece in (*before, *after) if piece.splits), "")
        name = doubt or ("" if self._certain else IFS)
        return Piece(" ", unknown=name, splits=bool(name) and self.splits)

    def words(self) -> tuple[Word, ...]:
        """The words."""
        self.end()
        return tuple(self._done)

    def _split(self, piece: Piece) -> None:
        for match in _PARTS.finditer(piece.text):
            if match.group().isspace():
                self.end()
                continue
            stretch = part(piece, match.start(), match.end())
            first = self._current[0].text if self._current else stretch.text
            self.add((hidden(stretch, FILE_NAMES) if matches_files(match.group(), first) else stretch,))


def _may_vanish(element: Sequence[Piece]) -> bool:
    return any(piece.splits for piece in element) and all(piece.unknown for piece in element)


def _vanishing(elements: Sequence[Sequence[Piece]]) -> int:
    """How many of the last elements may turn out to be none."""
    return len(list(takewhile(_may_vanish, reversed(elements))))


def part(piece: Piece, start: int, end: int) -> Piece:
    """A stretch of a known piece; without a place where the piece can only be replaced as a whole."""
    if (start, end) == (0, len(piece.text)):
        return piece
    text = piece.text[start:end]
    if not piece.verbatim:
        return Piece(text, variables=piece.variables)
    return Piece(text, piece.source, piece.start + start, piece.start + end, True, variables=piece.variables)


def hidden(piece: Piece, name: str) -> Piece:
    """A piece whose text is known, but not what becomes of it."""
    return Piece(piece.text, piece.source, piece.start, piece.end, unknown=name, splits=True, variables=piece.variables)


def through(pieces: Iterable[Piece], name: str) -> tuple[Piece, ...]:
    """Pieces that came out of a variable."""
    return tuple(_through(piece, name) for piece in pieces)


def _through(p: Piece, name: str) -> Piece:
    return Piece(p.text, p.source, p.start, p.end, p.verbatim, p.unknown, p.splits, (name, *p.variables))


def splitting(pieces: Iterable[Piece], *, splits: bool = True) -> Iterator[Piece]:
    """Pieces of which the unknown ones may, or may not, be several words."""
    for p in pieces:
        if p.unknown and p.splits != splits:
            yield Piece(p.text, p.source, p.start, p.end, p.verbatim, p.unknown, splits, p.variables)
        else:
            yield p
