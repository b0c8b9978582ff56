"""Assignments and declarations. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inferplan.dialects.shell import expand
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.parameters import NAME
from inferplan.dialects.shell.state import Machine, Pieces, Status, Variable, unknown
from inferplan.dialects.shell.tree import Node, grouped
from inferplan.dialects.words import Word, cut


@dataclass(frozen=True, slots=True)
class Declared:
    """What the options of `declare` and its kin say.

    Attributes:
        exported: Whether programs see the variable; None where nothing is said.
        array: Whether it is an array.
        odd: Whether values are changed when they are assigned (`-i`, `-l`, `-u`, `-n`).
        local: Whether it is the function's own.
        nothing: Whether nothing is assigned (`-p`, `-f`).
    """

    exported: bool | None = None
    array: bool = False
    odd: bool = False
    local: bool = False
    nothing: bool = False


def assignments(machine: Machine, groups: Sequence[Sequence[Node]]) -> Status:
    """Runs assignments that stand for themselves."""
    for group in groups:
        name, variable = evaluated(machine, group)
        machine.set(name, variable)
    return Status.YES


def evaluated(machine: Machine, group: Sequence[Node]) -> tuple[str, Variable]:
    """The variable that an assignment sets, and its value.

    Args:
        machine: The shell.
        group: The assignment, and what the parser cut off from its value.

    Raises:
        ShellError: Its name is not known, or the parser misread it.
    """
    node, *rest = group
    target, values = node.children[0], node.named("value")
    if any(child.kind in {"variable_assignment", "array"} for child in (*rest, *(values if rest else ()))):
        raise ShellError("an assignment of this form is not read", node.line)
    append = any(child.kind == "+=" for child in node.children)
    name_node = target.children[0] if target.kind == "subscript" else target
    if node.source.shadow.hidden(name_node.start, name_node.end):
        raise ShellError("the name of a variable that is assigned is not known", node.line)
    name = name_node.text
    old = machine.variables.get(name)
    if values and values[0].kind == "array":
        return name, _array(machine, name, values[0], old if append else Variable((), array=True))
    value = expand.value(machine, (*values, *rest))
    if target.kind == "subscript":
        return name, _element(name, old, target, value, append=append)
    return name, _scalar(name, old, value, append=append)


def _array(machine: Machine, name: str, node: Node, old: Variable | None) -> Variable:
    """An array's value; `old` is what it is appended to."""
    nodes = node.children[1:-1]
    if any(node.source.code[group[0].start] == "[" for group in grouped(nodes)):
        expand.words(machine, nodes)
        return Variable((unknown(name, splits=True),), array=True)  # elements with keys of their own
    elements = tuple(word.pieces for word in expand.words(machine, nodes))
    before = (unknown(name, splits=True),) if old is None else () if old.unset else old.fields
    return Variable((*before, *elements), array=True)


def _scalar(name: str, old: Variable | None, value: Pieces, *, append: bool) -> Variable:
    before = () if not append or (old and old.unset) else unknown(name) if old is None else old.scalar
    if old is None or not old.array:
        return Variable(((*before, *value),))
    if any(piece.splits for pieces in old.fields[:1] for piece in pieces):
        return Variable((unknown(name, splits=True),), array=True)
    return Variable(((*before, *value), *old.fields[1:]), array=True)


def _element(name: str, old: Variable | None, target: Node, value: Pieces, *, append: bool) -> Variable:
    """An array of which one element is set."""
    index = "".join(child.text for child in target.named("index"))
    fields = old.fields if old is not None and old.array else None
    lost = Variable((unknown(name, splits=True),), array=True)
    if fields is None or append or not index.isdecimal() or int(index) > len(fields):
        return lost
    place = int(index)
    if any(piece.splits for pieces in fields[: place + 1] for piece in pieces):
        return lost
    return Variable((*fields[:place], value, *fields[place + 1 :]), array=True)


def declaration(machine: Machine, node: Node) -> Status:
    """Runs `export`, `readonly`, `declare`, `typeset` or `local`."""
    keyword, *rest = node.children
    options = "".join(child.text for child in rest if child.kind == "word" and child.text[:1] in "-+")
    declared = _declared(keyword.kind, options)
    for group in grouped(rest):
        first = group[0]
        if first.kind == "variable_assignment":
            name, variable = evaluated(machine, group)
            _declare(machine, declared, name, variable)
        elif first.kind != "word" or first.text[:1] not in "-+":
            for word in expand.words(machine, group):
                _word(machine, declared, word)
    return Status.YES


def _declared(keyword: str, options: str) -> Declared:
    exported: bool | None = True if keyword == "export" else None
    if "x" in options:
        exported = "+x" not in options
    if keyword == "export" and "n" in options:
        exported = False
    return Declared(
        exported=exported,
        array="a" in options.lower(),
        odd=any(letter in options for letter in "ilu") or (keyword != "export" and "n" in options),
        local=keyword in {"local", "declare", "typeset"} and "g" not in options,
        nothing="p" in options or "f" in options.lower(),
    )


def declare_word(machine: Machine, keyword: str, words: Sequence[Word]) -> None:
    """Runs a declaration whose words are known only after expansion."""
    options = "".join(word.text for word in words if word.text[:1] in {"-", "+"})
    for word in words:
        if word.text[:1] not in {"-", "+"}:
            _word(machine, _declared(keyword, options), word)


def _word(machine: Machine, declared: Declared, word: Word) -> None:
    """Declares what a word says, `NAME=value` or `NAME`; one that is not known may set anything."""
    text = word.text
    name = NAME.match(text)
    known = name is not None and expand.known(cut(word.pieces, 0, name.end() + 1)) is not None
    if name is None or not known or text[name.end() : name.end() + 1] not in {"", "="}:
        machine.forget_all()
    elif name.end() == len(text):
        _declare(machine, declared, text, None)
    else:
        _declare(machine, declared, name.group(), Variable((cut(word.pieces, name.end() + 1, len(text)),)))


def _declare(machine: Machine, declared: Declared, name: str, variable: Variable | None) -> None:
    if declared.nothing:
        return
    old = machine.variables.get(name)
    if declared.local and machine.local is not None:
        machine.local.setdefault(name, old)
        old = Variable((), array=declared.array, unset=True)
    value = variable or old or (Variable((), array=True) if declared.array else None)
    if value is None:
        return  # `export NAME` of what the image sets, or does not set
    if declared.odd and variable is not None:
        value = Variable((unknown(name),))
    if declared.array and not value.array:
        value = replace(value, array=True, fields=() if value.unset else value.fields, unset=False)
    scripted = variable is not None or value.scripted
    exported = value.exported if declared.exported is None else declared.exported
    machine.set(name, replace(value, scripted=scripted, exported=exported))
    if declared.exported is False:
        machine.variables[name] = replace(machine.variables[name], exported=False)


def unset(machine: Machine, node: Node) -> Status:
    """Runs `unset`."""
    rest = [child for child in node.children if not child.token]
    for name in _names(machine, rest):
        machine.set(name, Variable(((),), unset=True))
        machine.variables[name] = replace(machine.variables[name], exported=False)
    return Status.YES


def _names(machine: Machine, nodes: Sequence[Node]) -> Iterator[str]:
    texts = [child.text if child.kind == "variable_name" else expand.text(machine, (child,)) for child in nodes]
    functions = "-f" in texts
    for text in texts:
        if text is None:
            machine.forget_all()
        elif functions:
            machine.functions.pop(text, None)
        elif NAME.fullmatch(text):
            yield text
        elif not text.startswith("-"):
            machine.forget(text.partition("[")[0])
