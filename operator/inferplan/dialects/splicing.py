"""Cuts and insertions in a container's strings: where a word stands there, and how it is written there. Pure."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from inferplan.dialects.container import Container
from inferplan.dialects.reading import Reading
from inferplan.dialects.scan import Argument
from inferplan.dialects.words import Word, cut

SAFE_TEXT = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._:/@+,-]{0,255}")
"""Text to which neither Kubernetes nor a shell nor argparse gives a meaning of its own."""

_BLANKS = " \t\r\n\\"
_QUOTES = "\"'"


class CannotEditError(Exception):
    """Why a change cannot be written."""


@dataclass(frozen=True)
class Place:
    """A stretch of one of the container's strings."""

    source: int
    start: int
    end: int


def place_of(word: Word, start: int, end: int) -> Place:
    """Where a part of a word stands in the container's strings.

    Raises:
        CannotEditError: It does not stand there, or not in one piece.
    """
    pieces = cut(word.pieces, start, end)
    sources = {piece.source for piece in pieces}
    if not pieces or len(sources) != 1 or -1 in sources:
        names = ", ".join(dict.fromkeys(name for piece in pieces for name in piece.variables))
        whence = f"it comes out of the variable {names}" if names else "it does not stand in the container's own words"
        raise CannotEditError(f"{word.text[:60]}: {whence}; change it by hand")
    return Place(pieces[0].source, pieces[0].start, pieces[-1].end)


def spliced(container: Container, where: Place, text: str) -> Container:
    """The container with that stretch replaced."""
    strings = list(container.strings)
    old = strings[where.source]
    strings[where.source] = f"{old[: where.start]}{text}{old[where.end :]}"
    return _rebuilt(container, strings, len(container.command))


def quoted(reading: Reading, source: int, text: str) -> str:
    """A value as it may stand in that string: in a script, in a shell's quotes where it needs them."""
    script = reading.launch.script
    in_script = script is not None and script.source == source
    return shlex.quote(text) if in_script and not SAFE_TEXT.fullmatch(text) else text


def with_words(reading: Reading, words: tuple[str, ...]) -> Container:
    """The container with more words behind the engine's last."""
    container, script = reading.container, reading.launch.script
    last = reading.launch.words[-1] if reading.launch.words else None
    whole = last is not None and _is_whole(container, last)
    if script is None or whole:
        return _appended(container, words)
    if script.source < 0 or script.insertion < 0:
        raise CannotEditError(
            "the script builds the engine's arguments in a way that cannot be added to; change it by hand"
        )
    place = Place(script.source, script.insertion, script.insertion)
    separator = _separator(container.strings[place.source], place.source, _opening(reading))
    quoted = [shlex.quote(word) for word in words]
    text = separator + " ".join(quoted)
    return spliced(container, place, text)


def removals(reading: Reading, arguments: Sequence[Argument]) -> Iterator[Container]:
    """The container without these arguments, in the ways in which quotes around them may belong to them.

    Only one of them can be right; the caller reads them again.

    Raises:
        CannotEditError: A word does not stand in the container's strings.
    """
    indices = [index for argument in arguments for index in argument.words]
    for widen in (_not_wider, _matching_quotes, _all_quotes):
        places = [_removal(reading, index, widen) for index in indices]
        yield _cut_out(reading.container, sorted(places, key=lambda place: (place.source, place.start), reverse=True))


def _cut_out(container: Container, places: Sequence[Place]) -> Container:
    """The container without these stretches, the last first; a string that is cut out whole goes from its list."""
    strings: list[str | None] = list(container.strings)
    for place in places:
        old = strings[place.source]
        if old is not None:
            whole = (place.start, place.end) == (0, len(old))
            strings[place.source] = None if whole else f"{old[: place.start]}{old[place.end :]}"
    border = sum(text is not None for text in strings[: len(container.command)])
    return _rebuilt(container, [text for text in strings if text is not None], border)


def _removal(reading: Reading, index: int, widen: Callable[[str, int, int], tuple[int, int]]) -> Place:
    """Where a word stands, with the blanks before it if it stands in a script."""
    word = reading.launch.words[index]
    place = place_of(word, 0, len(word.text))
    source = reading.container.strings[place.source]
    start, end = place.start, place.end
    if (start, end) != (0, len(source)):
        start, end = widen(source, start, end)
        while start > 0 and source[start - 1] in _BLANKS:
            start -= 1
    return Place(place.source, start, end)


def _not_wider(source: str, start: int, end: int) -> tuple[int, int]:
    del source
    return start, end


def _matching_quotes(source: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and end < len(source) and source[start - 1] == source[end] and source[end] in _QUOTES:
        start, end = start - 1, end + 1
    return start, end


def _all_quotes(source: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and source[start - 1] in _QUOTES:
        start -= 1
    while end < len(source) and source[end] in _QUOTES:
        end += 1
    return start, end


def _rebuilt(container: Container, strings: Sequence[str], border: int) -> Container:
    return replace(container, command=tuple(strings[:border]), args=tuple(strings[border:]))


def _is_whole(container: Container, word: Word) -> bool:
    """Whether a word is one of the container's strings from its first to its last letter."""
    sources = {piece.source for piece in word.pieces}
    if len(sources) != 1 or -1 in sources:
        return False
    source = next(iter(sources))
    return (word.pieces[0].start, word.pieces[-1].end) == (0, len(container.strings[source]))


def _appended(container: Container, words: tuple[str, ...]) -> Container:
    """More strings at the end of args, or of a command without args."""
    if container.args or not container.command:
        return replace(container, args=(*container.args, *words))
    return replace(container, command=(*container.command, *words))


def _opening(reading: Reading) -> Word | None:
    """The last argument's first word; the last word where no flag takes it."""
    words, arguments = reading.launch.words, reading.scanned.arguments
    if arguments and arguments[-1].words[-1] == len(words) - 1:
        return words[arguments[-1].words[0]]
    return words[-1] if words else None


def _separator(string: str, source: int, last: Word | None) -> str:
    """What stands before the last argument, if it continues a line there; else a blank."""
    if last is None or not last.pieces or last.pieces[0].source != source:
        return " "
    end = last.pieces[0].start
    start = end
    while start > 0 and string[start - 1] in _BLANKS:
        start -= 1
    before = string[start:end]
    return before if before.lstrip(" \t").startswith("\\") and "\n" in before else " "
