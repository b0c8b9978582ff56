"""The shell's own commands, as far as they change what other commands see. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from inferplan.dialects.shell import assign, conditions
from inferplan.dialects.shell.arithmetic import integer
from inferplan.dialects.shell.commands import Builtin, Call, call, record
from inferplan.dialects.shell.misread import parsed
from inferplan.dialects.shell.parameters import NAME
from inferplan.dialects.shell.state import End, Machine, Status, Variable, unknown
from inferplan.dialects.shell.tree import Anchor
from inferplan.dialects.words import Piece, Word

_ACTIVATED = ("PATH", "PS1", "PYTHONHOME", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")
"""What `bin/activate` of a virtual environment changes (Python 3.12, Lib/venv/scripts/common/activate)."""
_EXEC_VALUE = "-a"


def _yes(_machine: Machine, _command: Call) -> Status:
    return Status.YES


def _no(_machine: Machine, _command: Call) -> Status:
    return Status.NO


def _test(machine: Machine, command: Call) -> Status:
    words = command.words[1:]
    if command.name == "[":
        if not words or words[-1].text != "]":
            return Status.OPEN
        words = words[:-1]
    return Status.OPEN if machine.probing else conditions.test(words)


def _exit(machine: Machine, command: Call) -> Status:
    code = command.words[1].text if len(command.words) > 1 else ""
    machine.end(End.SCRIPT, command.node.line, failed=bool(integer(code)))
    return Status.HOPED


def _return(machine: Machine, command: Call) -> Status:
    if machine.local is not None:  # elsewhere it is an error, and the script goes on
        machine.end(End.FUNCTION, command.node.line)
    return Status.OPEN


def _leave(machine: Machine, command: Call) -> Status:
    machine.end(End.LOOP, command.node.line)
    return Status.HOPED


def _exec(machine: Machine, command: Call) -> Status:
    rest = command.without(1)
    while rest.words and rest.words[0].text[:1] == "-" and rest.words[0].text != "--":
        rest = rest.without(2 if rest.words[0].text == _EXEC_VALUE else 1)
    if rest.words and rest.words[0].text == "--":
        rest = rest.without(1)
    if not rest.words:
        return Status.YES  # only redirections
    record(machine, rest)
    machine.end(End.SCRIPT, command.node.line)
    return Status.HOPED


def _plainly(machine: Machine, command: Call) -> Status:
    """`command`, `builtin`: the program or builtin of that name, no function."""
    rest = command.without(1)
    while rest.words and rest.words[0].text in {"-p", "--"}:
        rest = rest.without(1)
    if not rest.words:
        return Status.YES
    if rest.words[0].text in {"-v", "-V"}:
        machine.output = None
        return Status.OPEN
    return call(machine, replace(rest, bare=True), BUILTINS)


def _timed(machine: Machine, command: Call) -> Status:
    rest = command.without(1)
    while rest.words and rest.words[0].text in {"-p", "--"}:
        rest = rest.without(1)
    return call(machine, rest, BUILTINS) if rest.words else Status.YES


def _set(machine: Machine, command: Call) -> Status:
    words = list(command.words[1:])
    while words and words[0].text[:1] in {"-", "+"} and not words[0].unknown:
        option = words.pop(0).text
        if option in {"-", "--"}:
            machine.arguments[1:] = words
            return Status.YES
        long = words.pop(0).text if option.endswith("o") and words else ""
        if "a" in option[1:] or long == "allexport":
            machine.export_all = option[0] == "-"
    if words:
        machine.arguments[1:] = [Word(unknown("@", splits=True))] if words[0].may_vanish else words
    return Status.YES


def _shift(machine: Machine, command: Call) -> Status:
    count = integer(command.words[1].text) if len(command.words) > 1 else 1
    first = machine.arguments[: 1 + (count or 0)]
    if count is None or any(word.may_vanish for word in first):
        machine.arguments[1:] = [Word(unknown("@", splits=True))]
    elif count < len(machine.arguments):
        del machine.arguments[1 : 1 + count]
    elif not any(word.may_vanish for word in machine.arguments):
        return Status.NO
    return Status.HOPED


def _forget(machine: Machine, command: Call) -> Status:
    """`read`, `mapfile`, `getopts`, `let`: what they set is not known."""
    for word in command.words[1:]:
        name = NAME.match(word.text)
        if word.unknown:
            machine.forget_all()
        elif name:
            machine.forget(name.group())
    if command.name in {"mapfile", "readarray"}:
        _arrays(machine, command.words[1:])
    for fixed in {"read": ("REPLY",), "getopts": ("OPTARG", "OPTIND")}.get(command.name or "", ()):
        machine.forget(fixed)
    return Status.OPEN


def _arrays(machine: Machine, words: Sequence[Word]) -> None:
    for word in words:
        if NAME.fullmatch(word.text):
            machine.set(word.text, Variable((unknown(word.text, splits=True),), array=True))


def _printf(machine: Machine, command: Call) -> Status:
    if len(command.words) > 2 and command.words[1].text == "-v":  # noqa: PLR2004  printf -v NAME
        machine.forget(command.words[2].text)
        return Status.YES
    return record(machine, command)


def _read(machine: Machine, command: Call) -> Status:
    """`read -a NAME` fills an array."""
    _forget(machine, command)
    options = pairwise(command.words)
    _arrays(machine, [name for option, name in options if option.text[:1] == "-" and option.text[-1:] == "a"])
    return Status.OPEN


def _declare(machine: Machine, command: Call) -> Status:
    assign.declare_word(machine, command.name or "", command.words[1:])
    return Status.YES


def _eval(machine: Machine, command: Call) -> Status:
    """Runs its words, joined by blanks, as a script."""
    pieces: list[Piece] = []
    for index, word in enumerate(command.words[1:]):
        pieces += (Piece(" "), *word.pieces) if index else word.pieces
    return _script(machine, command, pieces)


def _script(machine: Machine, command: Call, pieces: Sequence[Piece]) -> Status:
    node = command.node
    anchor = node.source.anchor or Anchor(node.start, command.end, node.line)
    text = "".join(piece.text for piece in pieces)
    machine.budget.spend(1 + len(text) // 64 + len(pieces))
    with machine.budget.nested():
        status = machine.run(machine, parsed(text, pieces, anchor).children)
    return Status.OPEN if status is not Status.HOPED else status


def _source(machine: Machine, command: Call) -> Status:
    """Runs a file that the script wrote; any other may set any variable."""
    path = command.words[1].text if len(command.words) > 1 else ""
    content = machine.files.get(path)
    if content is not None:
        return _script(machine, command, (Piece(content),))
    status = record(machine, command)
    if path.endswith("/bin/activate"):
        for name in _ACTIVATED:
            machine.forget(name)
    else:
        machine.forget_all()
    return status


BUILTINS: Mapping[str, Builtin] = {
    ":": _yes,
    "true": _yes,
    "false": _no,
    "[": _test,
    "test": _test,
    "exit": _exit,
    "return": _return,
    "break": _leave,
    "continue": _leave,
    "exec": _exec,
    "command": _plainly,
    "builtin": _plainly,
    "time": _timed,
    "coproc": _timed,
    "set": _set,
    "shift": _shift,
    "read": _read,
    "mapfile": _forget,
    "readarray": _forget,
    "getopts": _forget,
    "let": _forget,
    "printf": _printf,
    "export": _declare,
    "readonly": _declare,
    "declare": _declare,
    "typeset": _declare,
    "local": _declare,
    "eval": _eval,
    "source": _source,
    ".": _source,
}
"""Bash Reference Manual 5.2, 4 Shell Builtin Commands."""
