"""A command line's words, each knowing where every stretch of it stands in the manifest. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class UnreadableCode(StrEnum):
    """Why something could not be read or edited."""

    NOT_YAML = "NotYaml"
    HELM_TEMPLATE = "HelmTemplate"
    HELM_VALUES = "HelmValues"
    NO_CONTAINERS = "NoContainers"
    NO_ENGINE = "NoEngine"
    PATCH_ONLY = "PatchOnly"
    UNKNOWN_START = "UnknownStart"
    SHELL_SYNTAX = "ShellSyntax"
    CONDITIONAL_START = "ConditionalStart"
    SEVERAL_STARTS = "SeveralStarts"
    VARIABLE = "UnresolvedVariable"
    TEMPLATE = "TemplateExpression"
    VALUE = "UnreadableValue"
    FLAG = "UnknownFlag"
    CONFIG_FILE = "ConfigFile"
    CONTROLLER = "AddedByController"
    NOT_EDITABLE = "NotEditable"


@dataclass(frozen=True)
class Unreadable:
    """One thing that could not be read: what, and where.

    Attributes:
        code: Why.
        where: Container and flag, or file and line.
        reason: One sentence for people.
        key: The setting that is unknown for it; None where it could be any, so that no default holds.
    """

    code: UnreadableCode
    where: str
    reason: str
    key: str | None = None


@dataclass(frozen=True)
class NotEditable:
    """Why something cannot be edited with certainty, as one sentence for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a word.

    Attributes:
        text: What the program sees; for an unknown stretch, what its author wrote (`$(NAME)`, `${NAME}`).
        source: Which string of `[*command, *args]` it stands in; -1 where it stands in none of them (a value
            out of the environment, of a ConfigMap).
        start: Its first character's place in that string.
        end: The place behind its last character.
        verbatim: Whether `text` is that string's `[start:end]`, letter for letter, so that any part of it can
            be cut out; escapes and expanded variables are replaced as a whole.
        unknown: Name of the variable or other thing whose value is not known; empty where the text is known.
        splits: Of an unknown stretch: whether the shell may make several words of it, or none.
        variables: Names of the variables that the text came through, innermost last.
    """

    text: str
    source: int = -1
    start: int = 0
    end: int = 0
    verbatim: bool = False
    unknown: str = ""
    splits: bool = False
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command line, as its pieces."""

    pieces: tuple[Piece, ...] = ()

    @property
    def text(self) -> str:
        """What the program sees, unknown stretches as their author wrote them."""
        return self.pieces[0].text if len(self.pieces) == 1 else "".join(piece.text for piece in self.pieces)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of what is not known in it; empty where the whole word is known."""
        return tuple(piece.unknown for piece in self.pieces if piece.unknown)

    @property
    def may_vanish(self) -> bool:
        """Whether it may be no word at all, or several: an unknown stretch that the shell splits."""
        return any(piece.splits for piece in self.pieces)


def known_word(text: str) -> Word:
    """A word that stands in none of the container's strings."""
    return Word((Piece(text),))


def cut(pieces: Iterable[Piece], start: int, end: int) -> tuple[Piece, ...]:
    """The part of pieces from the word's character `start` up to `end`.

    A part of a piece that is not verbatim loses its place.
    """
    return tuple(_cut(pieces, start, end))


def _cut(pieces: Iterable[Piece], start: int, end: int) -> Iterator[Piece]:
    position = 0
    for piece in pieces:
        first, last = max(start - position, 0), min(end - position, len(piece.text))
        position += len(piece.text)
        if first >= last:
            continue
        yield piece if (first, last) == (0, len(piece.text)) else _part(piece, first, last)


def _part(piece: Piece, first: int, last: int) -> Piece:
    text = piece.text[first:last]
    if not piece.verbatim:
        return Piece(text, unknown=piece.unknown, splits=piece.splits, variables=piece.variables)
    return Piece(text, piece.source, piece.start + first, piece.start + last, True, variables=piece.variables)
