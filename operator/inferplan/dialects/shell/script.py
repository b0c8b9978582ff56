"""A script as the commands that it runs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.misread import parsed
from inferplan.dialects.shell.run import statements
from inferplan.dialects.shell.state import Found, Machine, Variable
from inferplan.dialects.words import Piece, Unreadable, UnreadableCode, Word

_NOT_TAKEN = frozenset({"IFS"})
"""What a shell does not take from its environment (POSIX.1-2024, 2.5.3 Shell Variables)."""


@dataclass(frozen=True)
class Command:
    """A program that a script runs.

    Attributes:
        words: The program and its arguments.
        variables: What it sees of the variables that the script set and exported, or set for it alone; values may hold
            unknown pieces.
        condition: Why it may not run, for people; empty where it surely runs, as far as the script goes on.
        start: Where it begins in the script.
        end: Where its last argument ends in the script: before redirections, `&`, `|` and `;`.
        line: Its line, counted from 1.
        insertable: Whether ` --flag=value` can be inserted at `end`.
        insertion: That place in the container's string; -1 where nothing can be inserted.
        unset: Names of variables that the script took away.
    """

    words: tuple[Word, ...]
    variables: Mapping[str, tuple[Piece, ...]]
    condition: str
    start: int
    end: int
    line: int
    insertable: bool
    insertion: int = -1
    unset: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Script:
    """What a script does.

    Attributes:
        commands: In the order of running. Empty where there are problems.
        files: Contents of files that the script surely writes and all of whose text is known, by path as written.
        problems: Why it is not read.
    """

    commands: tuple[Command, ...] = ()
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Unreadable, ...] = ()


def read_script(
    text: str,
    *,
    source: int,
    mapping: Sequence[Piece],
    arguments: Sequence[Word],
    variables: Mapping[str, tuple[Piece, ...]],
    where: str,
) -> Script:
    """Which commands a script runs.

    Args:
        text: What the shell sees, after Kubernetes has expanded `$(NAME)`.
        source: The container's string that it stands in.
        mapping: The pieces that the text consists of; an unknown one is never run as a substitution.
        arguments: `$0`, `$1` and so on.
        variables: The container's environment. Any other variable is unknown, as the image may set it.
        where: Container, for the problems.

    Returns:
        The commands with their words, or the problem. Never raises.
    """
    pieces = tuple(mapping) or ((Piece(text, source, 0, len(text), True),) if text else ())
    machine = Machine(
        {
            name: Variable((tuple(value),), exported=True, scripted=False)
            for name, value in variables.items()
            if name not in _NOT_TAKEN
        },
        list(arguments),
        statements,
    )
    try:
        statements(machine, parsed(text, pieces).children)
    except ShellError as error:
        return Script(problems=(_problem(where, error.reason, error.line),))
    except RecursionError:
        return Script(problems=(_problem(where, "the script's commands are nested too deeply", 0),))
    return Script(tuple(_command(found) for found in machine.commands), MappingProxyType(dict(machine.files)))


def _problem(where: str, reason: str, line: int) -> Unreadable:
    return Unreadable(UnreadableCode.SHELL_SYNTAX, where, f"line {line}: {reason}" if line else reason)


def _command(found: Found) -> Command:
    return Command(
        words=found.words,
        variables=MappingProxyType(found.variables),
        condition=found.condition,
        start=found.start,
        end=found.end,
        line=found.line,
        insertable=found.insertable,
        insertion=found.insertion,
        unset=found.unset,
    )
