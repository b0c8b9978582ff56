"""Integer arithmetic of the shell, as far as its numbers are known. Pure."""

import operator
from collections.abc import Callable, Sequence

from inferplan.dialects.shell.state import Machine
from inferplan.dialects.shell.tree import Node

_LARGEST = 2**63
"""Bash computes in 64 bits (Bash Reference Manual 5.2, 6.5 Shell Arithmetic)."""


def _quotient(left: int, right: int) -> int:
    """C's division: rounded towards zero."""
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _remainder(left: int, right: int) -> int:
    return left - right * _quotient(left, right)


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": _remainder,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ASSIGNING = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "<<=", ">>=", "&=", "^=", "|=", "**=", "++", "--"})
_TEXTS = frozenset({"simple_expansion", "expansion", "command_substitution", "string", "raw_string"})
_SIGNS: dict[str, Callable[[int], int]] = {"-": operator.neg, "+": operator.pos, "!": operator.not_}


Text = Callable[[Machine, Sequence[Node]], str | None]
"""What a word stands for as text; None where that is not known."""


def evaluate(machine: Machine, node: Node, text: Text) -> int | None:
    """An expression's value; None where it is not known. A variable that it changes is unknown afterwards."""
    machine.budget.spend()
    if node.kind == "parenthesized_expression":
        return evaluate(machine, node.children[1], text)
    if node.kind == "binary_expression":
        return _binary(machine, node, text)
    if node.kind in {"unary_expression", "postfix_expression"}:
        return _unary(machine, node, text)
    if node.kind in {"variable_assignment", "ternary_expression"}:
        _several(machine, node, text)
        return None
    return _leaf(machine, node, text)


def integer(text: str | None) -> int | None:
    """A decimal number; others (octal, hexadecimal, names) are not read."""
    digits = (text or "").removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or (len(digits) > 1 and digits[0] == "0"):
        return None
    return int(text or "") if len(digits) < len(str(_LARGEST)) else None


def _binary(machine: Machine, node: Node, text: Text) -> int | None:
    left, sign, right = node.children
    second = evaluate(machine, right, text)
    if sign.kind in _ASSIGNING:
        machine.forget(_name(left))
        return None
    first = evaluate(machine, left, text)
    if first is None or second is None or sign.kind not in _OPERATORS or (sign.kind in "/%" and second == 0):
        return None
    result = int(_OPERATORS[sign.kind](first, second))
    return result if -_LARGEST < result < _LARGEST else None


def _unary(machine: Machine, node: Node, text: Text) -> int | None:
    sign = next(child.kind for child in node.children if child.field == "operator")
    operand = next(child for child in node.children if child.field != "operator")
    if sign in _ASSIGNING:
        machine.forget(_name(operand))
        return None
    number = evaluate(machine, operand, text)
    return None if number is None or sign not in _SIGNS else int(_SIGNS[sign](number))


def _several(machine: Machine, node: Node, text: Text) -> None:
    """Expressions whose value is not worked out, only what they change."""
    for child in node.children:
        if child.field == "name":
            machine.forget(_name(child))
        elif child.kind not in {"=", "+=", "?", ":"}:
            evaluate(machine, child, text)


def _name(node: Node) -> str:
    """The variable that an expression assigns to."""
    return node.text.lstrip("$").partition("[")[0]


def _leaf(machine: Machine, node: Node, text: Text) -> int | None:
    """A number, a variable whose value is one, or an expansion."""
    if node.source.shadow.hidden(node.start, node.end):
        return None
    if node.kind == "number":
        return integer(node.text)
    if node.kind != "variable_name":
        return integer(text(machine, (node,))) if node.kind in _TEXTS else None
    variable = machine.variables.get(node.text)
    if variable is None or variable.unset or any(piece.unknown for piece in variable.scalar):
        return None
    return integer("".join(piece.text for piece in variable.scalar))
