"""Tests: `[ … ]`, `test` and `[[ … ]]`, as far as their words decide them. Pure."""

import operator
from collections.abc import Callable, Mapping, Sequence

from inferplan.dialects.shell import expand
from inferplan.dialects.shell.arithmetic import integer
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.patterns import compiled
from inferplan.dialects.shell.state import Machine, Status
from inferplan.dialects.shell.tree import Node
from inferplan.dialects.words import Word

_NUMBERS: Mapping[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}
_EQUAL = frozenset({"=", "=="})
_EXPRESSIONS = frozenset(
    {"binary_expression", "unary_expression", "parenthesized_expression", "postfix_expression", "ternary_expression"}
)
_UNARY_LENGTH = 2
_BINARY_LENGTH = 3


def test(words: Sequence[Word]) -> Status:
    """What `[ words ]` says. POSIX.1-2024, test: the number of words decides how they are read.

    Args:
        words: Between the brackets.
    """
    if any(word.may_vanish for word in words):
        return Status.OPEN
    if not words:
        return Status.NO
    if words[0].text == "!" and not words[0].unknown and len(words) > 1:
        return test(words[1:]).negated()
    if len(words) == 1:
        return _filled(words[0])
    if len(words) == _UNARY_LENGTH:
        return _unary(words[0].text, words[1])
    if len(words) == _BINARY_LENGTH:
        return _binary(words[0], words[1].text, words[2])
    return _several(words)


def _several(words: Sequence[Word]) -> Status:
    """`-a` and `-o` between tests: `-a` binds closer."""
    texts = ["" if word.unknown else word.text for word in words]
    for sign, deciding in (("-o", Status.YES), ("-a", Status.NO)):
        if sign in texts[1:-1] and not {"(", ")", "!"} & set(texts):
            place = texts.index(sign, 1)
            return _either(test(words[:place]), test(words[place + 1 :]), deciding)
    return Status.OPEN


def _either(left: Status, right: Status, deciding: Status) -> Status:
    if deciding in {left, right}:
        return deciding
    return right if left is right else Status.OPEN


def _known(*, true: bool) -> Status:
    return Status.YES if true else Status.NO


def _filled(word: Word) -> Status:
    if any(piece.text for piece in word.pieces if not piece.unknown):
        return Status.YES
    return Status.OPEN if word.unknown else Status.NO


def _unary(sign: str, word: Word) -> Status:
    if sign == "-n":
        return _filled(word)
    return _filled(word).negated() if sign == "-z" else Status.OPEN


def _binary(left: Word, sign: str, right: Word) -> Status:
    if left.unknown or right.unknown:
        return Status.OPEN
    if sign in _EQUAL or sign == "!=":
        return _known(true=(left.text == right.text) is (sign != "!="))
    numbers = integer(left.text), integer(right.text)
    if sign in _NUMBERS and numbers[0] is not None and numbers[1] is not None:
        return _known(true=_NUMBERS[sign](numbers[0], numbers[1]))
    return Status.OPEN


def double_brackets(machine: Machine, node: Node) -> Status:
    """Runs `[[ … ]]`.

    Raises:
        ShellError: The parser took something else for a test.
    """
    if node.children[0].kind != "[[":
        raise ShellError("a test of this form is not read", node.line)
    status = _double(machine, node.children[1])
    return Status.OPEN if machine.probing else status


def _double(machine: Machine, node: Node) -> Status:
    """What an expression of `[[ … ]]` says: its words are not split."""
    machine.budget.spend()
    if node.kind == "parenthesized_expression":
        return _double(machine, node.children[1])
    if node.kind == "unary_expression":
        sign, operand = node.children
        if sign.text == "!":
            return _double(machine, operand).negated()
        word = Word(expand.value(machine, (operand,)))
        return _unary(sign.text, word) if operand.kind not in _EXPRESSIONS else Status.OPEN
    if node.kind == "binary_expression":
        return _double_binary(machine, node)
    return _filled(Word(expand.value(machine, (node,)))) if node.kind not in _EXPRESSIONS else Status.OPEN


def _double_binary(machine: Machine, node: Node) -> Status:
    left, sign, *right = node.children
    if sign.text in {"&&", "||"}:
        deciding = Status.NO if sign.text == "&&" else Status.YES
        first = _double(machine, left)
        return _either(first, _double(machine, right[0]), deciding)
    if left.kind in _EXPRESSIONS or any(part.kind in _EXPRESSIONS for part in right):
        return Status.OPEN
    word = Word(expand.value(machine, (left,)))
    if sign.text in _EQUAL or sign.text == "!=":
        return _matched(machine, word, right, negated=sign.text == "!=")
    return _binary(word, sign.text, Word(expand.value(machine, right))) if sign.text in _NUMBERS else Status.OPEN


def _matched(machine: Machine, word: Word, pattern: Sequence[Node], *, negated: bool) -> Status:
    status = matches(machine, word, pattern)
    return status.negated() if negated else status


def matches(machine: Machine, word: Word, pattern: Sequence[Node]) -> Status:
    """Whether a word matches a pattern of `case` or `[[ == ]]`."""
    if len(pattern) == 1 and pattern[0].kind in {"string", "raw_string"}:
        return _binary(word, "=", Word(expand.value(machine, pattern)))
    code = "".join(part.source.code[part.start : part.end] for part in pattern)
    if code == "*":
        return Status.YES
    if any(part.kind not in {"word", "number", "extglob_pattern", "regex"} for part in pattern):
        expand.value(machine, pattern)
        return Status.OPEN
    hidden = any(part.source.shadow.hidden(part.start, part.end) for part in pattern)
    expression = None if hidden or word.unknown or "|" in code else compiled(code)
    return Status.OPEN if expression is None else _known(true=expression.fullmatch(word.text) is not None)
