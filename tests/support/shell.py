"""Scripts as tests see them: what is read, in the shortest form that still shows what is known."""

from collections.abc import Mapping

from inferplan.dialects.shell import Command, Script, read_script
from inferplan.dialects.words import Piece, Word, known_word


def whole(text: str) -> tuple[Piece, ...]:
    """A script that stands in the container's string number 0 as it is."""
    return (Piece(text, 0, 0, len(text), True),)


def script(text: str, *arguments: str, env: Mapping[str, str] | None = None) -> Script:
    """What `bash -c TEXT ARGUMENTS` does."""
    return read_script(
        text,
        source=0,
        mapping=whole(text),
        arguments=[known_word(argument) for argument in arguments or ("bash",)],
        variables={name: (Piece(value),) for name, value in (env or {}).items()},
        where="server",
    )


def shown(word: Word) -> str:
    """A word with `<NAME>` for what is not known, `<NAME…>` where that may be several words."""
    return "".join(
        (f"<{piece.unknown}…>" if piece.splits else f"<{piece.unknown}>") if piece.unknown else piece.text
        for piece in word.pieces
    )


def words(command: Command) -> list[str]:
    return [shown(word) for word in command.words]


def runs(text: str, *arguments: str, env: Mapping[str, str] | None = None) -> list[list[str]]:
    """The words of every `vllm` that a script runs, without the program; it must be readable."""
    read = script(text, *arguments, env=env)
    assert read.problems == ()
    return [words(command)[1:] for command in read.commands if words(command)[0] == "vllm"]


def conditions(text: str, *arguments: str, env: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """First argument and condition of every `vllm` that a script runs."""
    read = script(text, *arguments, env=env)
    assert read.problems == ()
    return [(words(command)[1], command.condition) for command in read.commands if words(command)[0] == "vllm"]


def misplaced(read: Script, text: str) -> list[Piece]:
    """Pieces that say they are the script's text, letter for letter, and are not."""
    pieces = [piece for command in read.commands for word in command.words for piece in word.pieces]
    return [piece for piece in pieces if piece.verbatim and text[piece.start : piece.end] != piece.text]
