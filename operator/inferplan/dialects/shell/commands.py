"""Simple commands: which program runs, with which words, and what it sees of the script's variables. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inferplan.dialects.shell import assign, expand, printing, redirects
from inferplan.dialects.shell.state import End, Found, Machine, Pieces, Status, Variable
from inferplan.dialects.shell.tree import Node, grouped
from inferplan.dialects.words import Word

_TESTING = frozenset(
    ["cmp", "diff", "egrep", "expr", "fgrep", "grep", "hash", "mountpoint", "pgrep", "pidof", "type", "which"]
)
"""Programs that are asked a question: their failure is an answer, not a mishap."""
_SILENT = frozenset({"cd", "chmod", "mkdir", "sleep", "touch", "trap", "ulimit", "umask", "wait"})
"""Programs that print nothing when all goes well."""


@dataclass(frozen=True, slots=True)
class Call:
    """A simple command, expanded.

    Attributes:
        node: The command.
        words: Its words.
        end: Place behind its last word in the script.
        prefix: Variables set for it alone (`NAME=value command`).
        bare: Whether functions and builtins of that name are passed over.
    """

    node: Node
    words: tuple[Word, ...]
    end: int
    prefix: Mapping[str, Variable] = field(default_factory=dict)
    bare: bool = False

    @property
    def name(self) -> str | None:
        """The program; None where that is not known."""
        first = self.words[0]
        return None if first.unknown else first.text

    def without(self, count: int) -> "Call":
        """The same without its first words."""
        return replace(self, words=self.words[count:])


Builtin = Callable[[Machine, Call], Status]


def simple(machine: Machine, node: Node, builtins: Mapping[str, Builtin]) -> Status:
    """Runs a simple command."""
    attached = (*node.named("redirect"), *(node.redirects or ()))
    assignments, own = _parts(node, attached)
    nodes = (*own, *redirects.arguments(attached))
    end = max((child.end for child in nodes), default=node.end)

    def run() -> Status:
        words = expand.words(machine, nodes)
        if not words:
            return assign.assignments(machine, assignments)
        prefix = dict(assign.evaluated(machine, group) for group in assignments)
        return call(machine, Call(node, words, end, prefix), builtins)

    return piped(machine, attached, run)


def piped(machine: Machine, attached: Sequence[Node], run: Callable[[], Status]) -> Status:
    """Runs a command with its redirections, and what a here-document's line pipes it into."""
    stages = redirects.piped(attached)
    if not stages:
        return redirects.run(machine, attached, run) if attached else run()
    before, machine.output = machine.output, ()
    status = redirects.run(machine, attached, run)
    for stage in stages:
        inner = machine.fork()
        inner.stdin, inner.output = machine.output, ()
        status = inner.run(inner, (stage,))
        machine.output = inner.output
    machine.output = joined(before, machine.output)
    return status


def joined(before: Pieces | None, more: Pieces | None) -> Pieces | None:
    """Output after more was printed."""
    return None if before is None or more is None else (*before, *more)


def _parts(node: Node, attached: Sequence[Node]) -> tuple[list[tuple[Node, ...]], tuple[Node, ...]]:
    """A command's assignments, each with what the parser cut off from its value, and the nodes of its words."""
    flat = [child.children if child.kind == "command_name" else (child,) for child in node.children]
    nodes = [child for children in flat for child in children if child.field != "redirect"]
    groups = list(grouped(nodes))
    first = next((index for index, group in enumerate(groups) if group[0].kind != "variable_assignment"), len(groups))
    numbers = {redirect.start for redirect in attached if redirects.number(redirect)}
    words = [group for group in groups[first:] if group[-1].end not in numbers]
    return groups[:first], tuple(child for group in words for child in group)


def call(machine: Machine, command: Call, builtins: Mapping[str, Builtin]) -> Status:
    """Runs a command: a function, a builtin, or a program."""
    name = command.name
    if not command.bare and name in machine.functions:
        return _function(machine, command, machine.functions[name])
    builtin = builtins.get(name or "")
    if builtin is not None:
        return builtin(machine, command)
    return record(machine, command)


def record(machine: Machine, command: Call) -> Status:
    """Notes a program that runs."""
    node, anchor, shadow = command.node, command.node.source.anchor, command.node.source.shadow
    insertion = -1 if anchor else shadow.behind(command.end)
    machine.commands.append(
        Found(
            words=command.words,
            variables=_visible(machine, command.prefix),
            unset=frozenset(name for name, variable in machine.variables.items() if variable.unset),
            condition=machine.reason,
            start=anchor.start if anchor else node.start,
            end=anchor.end if anchor else command.end,
            line=node.line,
            insertable=insertion >= 0,
            insertion=insertion,
        )
    )
    printed = printing.printed(machine, command.words)
    if command.name not in _SILENT:
        machine.output = joined(machine.output, printed)
    return Status.OPEN if command.name in _TESTING else Status.HOPED


def _visible(machine: Machine, prefix: Mapping[str, Variable]) -> dict[str, Pieces]:
    """The variables of the script that a program sees."""
    seen = {
        name: variable.scalar
        for name, variable in machine.variables.items()
        if variable.scripted and variable.exported and not variable.array and not variable.unset
    }
    return {**seen, **{name: variable.scalar for name, variable in prefix.items()}}


def _function(machine: Machine, command: Call, bodies: tuple[Node, ...]) -> Status:
    """Runs a function as if its body stood there."""
    if len(bodies) == 1:
        return _body(machine, command, bodies[0])
    branches = [machine.fork(f"in one of several functions {command.name}") for _ in bodies]
    for branch, body in zip(branches, bodies, strict=True):
        _body(branch, command, body)
    machine.join(branches)
    return Status.OPEN


def _body(machine: Machine, command: Call, body: Node) -> Status:
    machine.budget.spend()
    arguments, local = machine.arguments, machine.local
    machine.arguments = [*arguments[:1], *command.words[1:]]
    machine.local = {}
    saved = {name: machine.variables.get(name) for name in command.prefix}
    for name, variable in command.prefix.items():
        machine.set(name, replace(variable, exported=True))
    with machine.budget.nested():
        status = machine.run(machine, (body,))
    machine.past(End.FUNCTION)
    _restore(machine, {**machine.local, **saved})
    machine.arguments, machine.local = arguments, local
    return Status.OPEN if status is not Status.HOPED else status


def _restore(machine: Machine, saved: Mapping[str, Variable | None]) -> None:
    for name, variable in saved.items():
        if variable is None:
            machine.variables.pop(name, None)
        else:
            machine.variables[name] = variable
