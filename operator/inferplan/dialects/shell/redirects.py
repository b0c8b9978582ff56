"""Redirections: what a command reads, and the files that it writes. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from inferplan.dialects.shell import expand
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.state import Machine, Pieces, Status
from inferplan.dialects.shell.tree import Node, grouped
from inferplan.dialects.words import Piece

_OUTPUT = frozenset({">", ">>", ">|", "&>", "&>>"})
_APPENDING = frozenset({">>", "&>>"})
_NUMBER = re.compile(r"(?:^|[\s;&|()<>])(\d+)$")
_CHAINS = frozenset({"list", "pipeline", "negated_command", "redirected_statement"})


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a command prints to; no path where that is not known."""

    path: str | None
    append: bool


def attach(statement: Node) -> None:
    """Gives a statement's redirections to the command that they belong to: the parser hangs them on a whole list.

    Raises:
        ShellError: The parser took them for something else.
    """
    if statement.redirects is not None:
        return
    statement.redirects = ()
    redirects = tuple(
        child for child in statement.children if child.field == "redirect" or child.kind == "herestring_redirect"
    )
    bodies = statement.named("body")
    if bodies:
        last = _last(bodies[0])
        last.redirects = (*(last.redirects or ()), *redirects)
    else:
        statement.redirects = redirects


def _last(body: Node) -> Node:
    """The command that a list or pipeline ends with."""
    while body.kind in _CHAINS:
        if body.kind == "redirected_statement":
            attach(body)
            body = body.named("body")[0] if body.named("body") else body.children[-1]
        else:
            body = body.children[-1]
    return body


def nested(redirects: Sequence[Node]) -> Iterator[Node]:
    """The redirections with those that stand on a here-document's line."""
    for redirect in redirects:
        yield redirect
        if redirect.kind == "heredoc_redirect":
            yield from redirect.named("redirect")


def arguments(redirects: Sequence[Node]) -> tuple[Node, ...]:
    """Words behind a redirection, which are arguments of the command: `vllm serve > log --port 80`."""
    found: list[Node] = []
    for redirect in nested(redirects):
        if redirect.kind == "heredoc_redirect":
            found += redirect.named("argument")
        else:
            groups = list(grouped(redirect.named("destination")))
            found += [node for group in groups[1:] for node in group]
    return tuple(sorted(found, key=lambda node: node.start))


def number(redirect: Node) -> str:
    """The file descriptor in front of a redirection; the parser sometimes takes it for a word of its own."""
    code = redirect.source.code
    named = "".join(node.text for node in redirect.named("descriptor"))
    match = None if named else _NUMBER.search(code, 0, redirect.start)
    return match[1] if match else named


def tail(redirects: Sequence[Node]) -> tuple[str, Node] | None:
    """What stands behind a here-document on its line, after `&&` or `||`."""
    for redirect in redirects:
        right = redirect.named("right")
        if right:
            return redirect.named("operator")[0].kind, right[0]
    return None


def piped(redirects: Sequence[Node]) -> tuple[Node, ...]:
    """The commands that a here-document's line pipes the output into.

    Raises:
        ShellError: The parser took more for the pipeline than belongs to it.
    """
    pipelines = [child for redirect in redirects for child in redirect.children if child.kind == "pipeline"]
    statements = tuple(child for pipeline in pipelines for child in pipeline.children if not child.token)
    for statement in statements:
        if statement.kind == "list":
            raise ShellError("a here-document with a pipe and more commands on one line is not read", statement.line)
    return statements


def run(machine: Machine, redirects: Sequence[Node], command: Callable[[], Status]) -> Status:
    """Runs a command with its redirections."""
    stdin, before = machine.stdin, machine.output
    target: Target | None = None
    for redirect in nested(redirects):
        if redirect.kind == "file_redirect":
            target = _file(machine, redirect) or target
        else:
            machine.stdin = _here(machine, redirect)
    if target:
        machine.output = ()
    status = command()
    if target:
        write(machine, target, machine.output)
        machine.output = before
    machine.stdin = stdin
    return status


def _file(machine: Machine, redirect: Node) -> Target | None:
    destinations = redirect.named("destination")
    if not destinations:
        return None
    path = expand.text(machine, next(grouped(destinations)))
    operator = next(child.kind for child in redirect.children if child.token)
    descriptor = number(redirect)
    if operator == "<":
        content = machine.files.get(path or "")
        machine.stdin = None if content is None else (Piece(content),)
    if operator in _OUTPUT and descriptor in {"", "1"}:
        return Target(path, operator in _APPENDING)
    return None


def _here(machine: Machine, redirect: Node) -> Pieces:
    if redirect.kind == "herestring_redirect":
        content = [child for child in redirect.children if not child.token and child.kind != "file_descriptor"]
        return (*expand.value(machine, content), Piece("\n"))
    source = redirect.source
    begin = next(child for child in redirect.children if child.kind == "heredoc_start")
    bodies = [child for child in redirect.children if child.kind == "heredoc_body"]
    if source.shadow.hidden(begin.start, begin.end) or len(bodies) != 1:
        raise ShellError("a here-document of this form is not read", begin.line)
    quoted = any(letter in begin.text for letter in "'\"\\")
    tabs = any(child.kind == "<<-" for child in redirect.children)
    return expand.heredoc(machine, bodies[0], quoted=quoted, tabs=tabs)


def write(machine: Machine, target: Target, content: Pieces | None) -> None:
    """Notes what a file holds, if all of it is known and the script surely writes it."""
    if target.path is None or target.path.startswith("/dev/"):
        return
    text = None if content is None else expand.known(content)
    before = machine.files.get(target.path) if target.append else ""
    if text is None or before is None or machine.reason:
        machine.files.pop(target.path, None)
    else:
        machine.budget.spend(1 + len(text) // 64)
        machine.files[target.path] = before + text
