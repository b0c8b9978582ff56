"""Runs a script's statements in order. Pure."""

from collections.abc import Callable, Mapping, Sequence

from inferplan.dialects.shell import assign, commands, compound, conditions, redirects
from inferplan.dialects.shell.builtin_commands import BUILTINS
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.state import Machine, Status
from inferplan.dialects.shell.tree import Node, grouped


def statements(machine: Machine, nodes: Sequence[Node]) -> Status:
    """Runs statements; punctuation and keywords between them are skipped."""
    status = Status.YES
    for index, node in enumerate(nodes):
        if machine.ended:
            break
        if node.token or node.kind in _NO_STATEMENTS:
            continue
        if index + 1 < len(nodes) and nodes[index + 1].kind == "&":
            background = machine.fork()
            background.output = None
            _statement(background, node)
            status = Status.YES
        else:
            status = _statement(machine, node)
    return status


def _statement(machine: Machine, node: Node) -> Status:
    machine.budget.spend()
    handler = _HANDLERS.get(node.kind)
    if handler is None:
        raise ShellError(f"a statement of this form ({node.kind}) is not read", node.line)
    if node.redirects is None or node.kind in {"command", "redirected_statement"}:
        return handler(machine, node)
    if redirects.arguments(node.redirects):
        raise ShellError("words behind a redirection of several commands are not read", node.line)
    return commands.piped(machine, node.redirects, lambda: handler(machine, node))


def _simple(machine: Machine, node: Node) -> Status:
    return commands.simple(machine, node, BUILTINS)


def _assignment(machine: Machine, node: Node) -> Status:
    return assign.assignments(machine, [(node,)])


def _assignments(machine: Machine, node: Node) -> Status:
    return assign.assignments(machine, list(grouped(node.children)))


_NO_STATEMENTS = frozenset({"file_redirect", "elif_clause", "else_clause"})
_HANDLERS: Mapping[str, Callable[[Machine, Node], Status]] = {
    "c_style_for_statement": compound.counted,
    "case_statement": compound.cases,
    "command": _simple,
    "compound_statement": compound.group,
    "declaration_command": assign.declaration,
    "for_statement": compound.each,
    "function_definition": compound.function,
    "if_statement": compound.branches,
    "list": compound.chain,
    "negated_command": compound.negated,
    "pipeline": compound.pipeline,
    "redirected_statement": compound.redirected,
    "subshell": compound.subshell,
    "test_command": conditions.double_brackets,
    "unset_command": assign.unset,
    "variable_assignment": _assignment,
    "variable_assignments": _assignments,
    "while_statement": compound.repeated,
}
