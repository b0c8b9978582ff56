"""What a few programs print when all that they print is known. Pure."""

import re
from collections.abc import Sequence

from inferplan.dialects.shell import redirects
from inferplan.dialects.shell.state import Machine, Pieces
from inferplan.dialects.words import Piece, Word

_PLACES = re.compile(r"%s|\\n|[^%\\]+")
"""The parts of a format of printf that are read."""
_CHANGING = frozenset({"cp", "dd", "ed", "install", "ln", "mv", "patch", "perl", "rm", "sed", "tee", "truncate", "yq"})
"""Programs that change files which they are given."""
_NEWLINE = Piece("\n")


def printed(machine: Machine, words: Sequence[Word]) -> Pieces | None:
    """What a command prints; None where that is not known. Notes what it does to files.

    Args:
        machine: The shell.
        words: The command's words.
    """
    name, rest = words[0].text, words[1:]
    if name in _CHANGING:
        for word in rest:
            machine.files.pop(word.text, None)
    if any(word.may_vanish for word in words):
        return None
    if name == "echo":
        return _echo(rest)
    if name == "printf":
        return _printf(rest)
    if name == "cat" and (not rest or [word.text for word in rest] == ["-"]):
        return machine.stdin
    return _tee(machine, rest) if name == "tee" else None


def _echo(words: Sequence[Word]) -> Pieces | None:
    """Shells differ in what a backslash means to echo, so one makes the output unknown."""
    newline = True
    while words and words[0].text in {"-n", "-e", "-E"}:
        newline = newline and words[0].text != "-n"
        words = words[1:]
    if any("\\" in word.text for word in words):
        return None
    return (*_joined(words), _NEWLINE) if newline else _joined(words)


def _joined(words: Sequence[Word]) -> Pieces:
    pieces: list[Piece] = []
    for index, word in enumerate(words):
        pieces += (Piece(" "), *word.pieces) if index else word.pieces
    return tuple(pieces)


def _printf(words: Sequence[Word]) -> Pieces | None:
    """`%s`, newlines and literal text; the format is used again until no word is left."""
    if not words or words[0].unknown or words[0].text.startswith("-"):
        return None
    parts = _PLACES.findall(words[0].text)
    if "".join(parts) != words[0].text:
        return None
    rest = list(words[1:])
    pieces: list[Piece] = []
    while True:
        for part in parts:
            if part == "%s":
                pieces += rest.pop(0).pieces if rest else ()
            else:
                pieces.append(Piece("\n" if part == "\\n" else part))
        if not rest:
            return tuple(pieces)
        if "%s" not in parts:
            return None


def _tee(machine: Machine, words: Sequence[Word]) -> Pieces | None:
    append = any(word.text in {"-a", "--append"} for word in words)
    for word in words:
        if not word.text.startswith("-"):
            redirects.write(machine, redirects.Target(None if word.unknown else word.text, append), machine.stdin)
    return machine.stdin
