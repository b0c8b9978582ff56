"""What `$NAME` and `${NAME…}` stand for. Pure.

POSIX.1-2024, 2.6.2 Parameter Expansion; Bash Reference Manual 5.2, 3.5.3 Shell Parameter Expansion.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferplan.dialects.shell.fields import Fields, through
from inferplan.dialects.shell.literals import UNQUOTED, literal
from inferplan.dialects.shell.patterns import edited
from inferplan.dialects.shell.shadow import TEMPLATE
from inferplan.dialects.shell.state import Machine, Pieces, Variable, unknown
from inferplan.dialects.shell.tree import Node
from inferplan.dialects.words import Piece, Word

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (
    ":-",
    ":=",
    ":+",
    ":?",
    "-",
    "=",
    "+",
    "?",
    "##",
    "%%",
    "//",
    "/#",
    "/%",
    "^^",
    ",,",
    "#",
    "%",
    "/",
    "^",
    ",",
    ":",
    "@",
)
_DEFAULTS = frozenset({":-", ":=", ":+", ":?", "-", "=", "+", "?"})
_WHOLE = frozenset({"@", "*"})


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a `${…}` stands.

    Attributes:
        quoted: Whether in double quotes.
        rest: Joins the word behind its operator to fields.
    """

    quoted: bool
    rest: Callable[[Machine, Node, int, Fields, bool], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A parameter's value.

    Attributes:
        name: The parameter.
        fields: Its value, or its elements; None where nothing is known.
        whole: Whether all elements are meant.
        joined: Whether they become one word in quotes (`*`).
        unset: Whether it is certainly not set.
    """

    name: str
    fields: tuple[Pieces, ...] | None
    whole: bool = False
    joined: bool = False
    unset: bool = False

    @property
    def empty(self) -> bool | None:
        """Whether it stands for nothing; None where that is not known."""
        if self.fields is None:
            return None
        pieces = [piece for pieces in self.fields for piece in pieces]
        if any(piece.text and not piece.unknown for piece in pieces):
            return False
        return None if any(piece.unknown for piece in pieces) else True


def simple(machine: Machine, node: Node, fields: Fields, *, quoted: bool) -> None:
    """Joins what `$NAME` stands for."""
    source = node.source
    name = source.code[node.start + 1 : node.end].replace("\\\n", "")
    if source.shadow.hidden(node.start, node.end):
        _emit_unknown(node, TEMPLATE, fields, quoted=quoted)
    elif name[:1].isdigit() and len(name) > 1 and source.code[node.start + 1] == name[0]:
        _emit(node, _argument(machine, name[0]), fields, quoted=quoted)  # `$10` is `${1}0`
        fields.add(literal(source, node.start + 2, node.end, UNQUOTED))
    else:
        _emit(node, find(machine, name, None), fields, quoted=quoted)


def braced(machine: Machine, node: Node, fields: Fields, inside: Inside) -> None:
    """Joins what `${NAME…}` stands for."""
    parts = _header(node)
    if parts is None:
        _emit_unknown(node, _written(node), fields, quoted=inside.quoted)
        return
    prefix, name, index, end = parts
    if prefix:
        _prefixed(machine, node, find(machine, name, index), fields, inside.quoted if prefix == "!" else None)
        return
    found = find(machine, name, index)
    operator = next((sign for sign in _OPERATORS if node.source.code.startswith(sign, end)), "")
    if end == node.end - 1:
        _emit(node, found, fields, quoted=inside.quoted)
    elif operator in _DEFAULTS:
        _default(machine, node, found, fields, (operator, end + len(operator), inside))
    else:
        _emit(node, _edited(machine, node, found, operator, end + len(operator)), fields, quoted=inside.quoted)


def find(machine: Machine, name: str, index: str | None) -> Found:
    """A parameter's value: of a variable, an array's element, or the script's arguments."""
    if name in _WHOLE:
        elements = tuple(word.pieces for word in machine.arguments[1:])
        return Found(name, elements, whole=True, joined=name == "*")
    if name.isdigit():
        return _argument(machine, name)
    if name == "#":
        return Found("#", None if _uncertain(machine.arguments[1:]) else ((Piece(str(len(machine.arguments) - 1)),),))
    variable = machine.variables.get(name)
    if index in _WHOLE:
        elements = (unknown(name, splits=True),) if variable is None else variable.fields
        return Found(name, elements, whole=True, joined=index == "*")
    if variable is None:
        return Found(name, None)
    if variable.unset:
        return Found(name, ((),), unset=True)
    return Found(name, _element(variable, index), unset=variable.array and not variable.fields)


def _element(variable: Variable, index: str | None) -> tuple[Pieces, ...] | None:
    place = int(index) if index and index.isdecimal() else 0
    if index is not None and not index.isdecimal():
        return None
    if any(piece.splits for pieces in variable.fields[: place + 1] for piece in pieces):
        return None
    return variable.fields[place : place + 1] or ((),)


def _argument(machine: Machine, name: str) -> Found:
    place = int(name)
    if _uncertain(machine.arguments[1 : place + 1]) or (place == 0 and not machine.arguments):
        return Found(name, None)
    if place >= len(machine.arguments):
        return Found(name, ((),), unset=True)
    return Found(name, (machine.arguments[place].pieces,))


def _uncertain(words: Sequence[Word]) -> bool:
    return any(word.may_vanish for word in words)


def _header(node: Node) -> tuple[str, str, str | None, int] | None:
    """Prefix, name, index, and where the name ends; None where that is of a form that is not read."""
    code = node.source.code
    inner = [child for child in node.children if child.kind not in {"${", "}"}]
    prefix = ""
    if inner and inner[0].kind in {"#", "!"} and len(inner) > 1 and inner[0].start == node.start + 2:
        prefix, inner = inner[0].kind, inner[1:]
    if not inner or node.source.shadow.hidden(inner[0].start, inner[0].end):
        return None
    first = inner[0]
    if first.kind == "subscript":
        return prefix, first.children[0].text, code[first.children[1].end : first.end - 1].strip("\"'"), first.end
    if first.kind not in {"variable_name", "special_variable_name"}:
        return ("", "#", None, node.end - 1) if code[node.start : node.end] == "${#}" else None
    return prefix, first.text, None, first.end


def _prefixed(machine: Machine, node: Node, found: Found, fields: Fields, quoted: bool | None) -> None:
    """`${#NAME}`, the length, where `quoted` is None; `${!NAME}`, the variable of that name."""
    texts = None if found.fields is None else [piece for pieces in found.fields for piece in pieces]
    certain = texts is not None and not any(piece.unknown for piece in texts)
    if quoted is None and certain and found.fields is not None:
        size = len(found.fields) if found.whole else len("".join(piece.text for piece in texts or ()))
        fields.add((Piece(str(size), *node.source.shadow.place(node.start, node.end)),))
        return
    target = "".join(piece.text for piece in texts or ())
    plain = node.source.code[node.start : node.end] == f"${{!{found.name}}}"
    if quoted is not None and certain and plain and NAME.fullmatch(target):
        _emit(node, find(machine, target, None), fields, quoted=quoted)
        return
    _emit_unknown(node, _written(node), fields, quoted=bool(quoted))


def _default(machine: Machine, node: Node, found: Found, fields: Fields, how: tuple[str, int, Inside]) -> None:
    """`${NAME:-word}` and its kin."""
    operator, start, inside = how
    missing = _missing(found, colon=operator.startswith(":"))
    if missing is None:
        _emit_unknown(node, found.name, fields, quoted=inside.quoted)
        return
    takes_word = not missing if operator.endswith("+") else missing and not operator.endswith("?")
    if takes_word:
        _word(machine, node, fields, start, inside)
    elif not operator.endswith("+"):
        _emit(node, found, fields, quoted=inside.quoted)
    elif inside.quoted:
        fields.add(())
    if takes_word and operator.endswith("=") and not found.whole:
        _assign(machine, node, found.name, start, inside)


def _missing(found: Found, *, colon: bool) -> bool | None:
    """Whether the word takes the value's place; without the colon, what is set but empty counts as set."""
    if found.fields is None:
        return None
    if found.unset or (found.whole and not found.fields):
        return True
    return found.empty if colon else False


def _word(machine: Machine, node: Node, fields: Fields, start: int, inside: Inside) -> None:
    if inside.quoted:
        fields.add(())
    inside.rest(machine, node, start, fields, inside.quoted)


def _assign(machine: Machine, node: Node, name: str, start: int, inside: Inside) -> None:
    value = Fields(split=False)
    inside.rest(machine, node, start, value, inside.quoted)
    machine.set(name, Variable((tuple(piece for word in value.words() for piece in word.pieces),)))


def _edited(machine: Machine, node: Node, found: Found, operator: str, start: int) -> Found:
    """What removing or replacing a part leaves; only where value and pattern are literal."""
    nothing = Found(_written(node), None)
    machine.budget.spend()
    if found.whole or found.fields is None or node.source.shadow.hidden(start, node.end):
        return nothing
    value = found.fields[0] if found.fields else ()
    result = edited(value, operator, node.source.code[start : node.end - 1])
    return nothing if result is None else Found(found.name, (result,))


def _emit(node: Node, found: Found, fields: Fields, *, quoted: bool) -> None:
    if found.fields is None:
        _emit_unknown(node, found.name, fields, quoted=quoted)
    elif found.whole:
        fields.elements(
            [through(element, found.name) for element in found.fields], quoted=quoted, joined=found.joined and quoted
        )
    else:
        fields.expand(_here(node, through(found.fields[0], found.name)), quoted=quoted)


def _here(node: Node, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """A value that stands nowhere in the container's strings (it is the environment's) stands where it is used."""
    if not pieces or any(piece.source >= 0 or piece.unknown for piece in pieces):
        return pieces
    text = "".join(piece.text for piece in pieces)
    if not text or any(letter.isspace() for letter in text):
        return pieces  # the shell may make several words of it
    return (Piece(text, *node.source.shadow.place(node.start, node.end), variables=pieces[0].variables),)


def _emit_unknown(node: Node, name: str, fields: Fields, *, quoted: bool) -> None:
    place = node.source.shadow.place(node.start, node.end)
    fields.expand((Piece(node.text, *place, unknown=name),), quoted=quoted)


def _written(node: Node) -> str:
    return " ".join(node.text.split())
