"""Statements that hold others: lists, pipelines, branches, loops. Pure."""

from collections.abc import Callable, Sequence

from inferplan.dialects.shell import conditions, expand, redirects
from inferplan.dialects.shell.arithmetic import evaluate
from inferplan.dialects.shell.commands import joined
from inferplan.dialects.shell.errors import ShellError
from inferplan.dialects.shell.state import End, Machine, Status, Variable
from inferplan.dialects.shell.tree import Node, grouped
from inferplan.dialects.words import Word

_LOOP_PARTS = frozenset({"do_group", "compound_statement"})


def chain(machine: Machine, node: Node) -> Status:
    """Runs `a && b || c`."""
    links: list[tuple[str, Node]] = []
    while node.kind == "list":
        left, operator, right = node.children
        links.append((operator.kind, right))
        node = left
    status = machine.run(machine, (node,))
    for sign, right in reversed(links):
        if machine.ended:
            break
        status = link(machine, status, sign, right)
    return status


def link(machine: Machine, status: Status, sign: str, right: Node) -> Status:
    """Runs the right side of `&&` or `||`, given what the left side said."""
    skipped, certain = (Status.NO, Status.YES) if sign == "&&" else (Status.YES, Status.NO)
    hoped = status is Status.HOPED
    if status is skipped and not machine.probing:
        return status
    if status is certain or (hoped and sign == "&&"):
        after = machine.run(machine, (right,))
        return Status.HOPED if hoped and after is Status.YES else after
    branch = machine.fork(f'behind "{sign}" in line {right.line}')
    branch.run(branch, (right,))
    if branch.ended and (hoped or sign == "||"):
        branch.failed = branch.failed or hoped or _bare_exit(right)
    machine.join([machine.fork(), branch])
    return Status.HOPED if hoped or (branch.ended and sign == "||") else Status.OPEN


def _bare_exit(node: Node) -> bool:
    """`exit` behind `||` ends with the failure that led there."""
    return node.text.strip() == "exit"


def pipeline(machine: Machine, node: Node) -> Status:
    """Runs a pipeline, each part in a shell of its own."""
    status = Status.HOPED
    before, stdin = machine.output, machine.stdin
    for stage in node.children:
        if stage.token:
            continue
        inner = machine.fork()
        inner.output, inner.stdin = (), stdin
        status = inner.run(inner, (stage,))
        stdin = inner.output
    machine.output = joined(before, stdin)
    return status


def subshell(machine: Machine, node: Node) -> Status:
    """Runs `( … )`: what it changes and ends is its own."""
    inner = machine.fork()
    inner.local = {} if machine.local is not None else None
    status = inner.run(inner, node.children[1:-1])
    machine.output = inner.output
    return status


def group(machine: Machine, node: Node) -> Status:
    """Runs `{ …; }` or `(( … ))`."""
    if node.children[0].kind != "((":
        return machine.run(machine, node.children[1:-1])
    numbers = [evaluate(machine, child, expand.text) for child in node.children[1:-1] if child.kind != ","]
    if machine.probing or not numbers or numbers[-1] is None:
        return Status.OPEN
    return Status.YES if numbers[-1] else Status.NO


def negated(machine: Machine, node: Node) -> Status:
    """Runs `! command`."""
    return machine.run(machine, node.children[1:]).negated()


def branches(machine: Machine, node: Node) -> Status:
    """Runs `if`: the branch that is taken, or all that may be."""
    reason = f'in a branch of "if" in line {node.line}'
    outcomes: list[Machine] = []
    current = machine
    for condition, body in _clauses(node):
        status = Status.YES if condition is None else current.run(current, condition)
        if current.ended:
            break
        if status is Status.NO:
            continue
        if status is Status.YES:
            current.run(current, body)
            break
        taken = current.fork(reason)
        taken.run(taken, body)
        outcomes.append(taken)
        current = current.fork(reason)
    if outcomes:
        machine.join([*outcomes, current])
    return Status.OPEN if outcomes else Status.HOPED


def _clauses(node: Node) -> "list[tuple[Sequence[Node] | None, Sequence[Node]]]":
    """Conditions and bodies in order; the body behind `else` has none."""
    clauses: list[tuple[Sequence[Node] | None, Sequence[Node]]] = []
    own = [child for child in node.children if child.kind not in {"elif_clause", "else_clause"}]
    for part in (own, *(child.children for child in node.children if child.kind == "elif_clause")):
        then = next(index for index, child in enumerate(part) if child.kind == "then")
        clauses.append((part[1:then], part[then + 1 :]))
    clauses += [(None, child.children[1:]) for child in node.children if child.kind == "else_clause"]
    return clauses


def cases(machine: Machine, node: Node) -> Status:
    """Runs `case`."""
    reason = f'in a branch of "case" in line {node.line}'
    word = Word(expand.value(machine, node.named("value")))
    outcomes: list[Machine] = []
    certain = False
    for item in node.children:
        if item.kind != "case_item":
            continue
        status = Status.OPEN if machine.probing else _selected(machine, item, word)
        if status is Status.NO:
            continue
        certain = status is Status.YES
        taken = machine.fork(reason if outcomes or not certain else "")
        taken.run(taken, _case_body(item))
        outcomes.append(taken)
        if certain:
            break
    if outcomes:
        machine.join(outcomes if certain else [*outcomes, machine.fork()])
    return Status.HOPED if certain else Status.OPEN


def _selected(machine: Machine, item: Node, word: Word) -> Status:
    """Whether one of an item's patterns matches."""
    if item.named("fallthrough"):
        raise ShellError('";&" in a "case" is not read', item.line)
    found = [conditions.matches(machine, word, pattern) for pattern in grouped_patterns(item)]
    if Status.YES in found:
        return Status.YES
    return Status.OPEN if Status.OPEN in found else Status.NO


def grouped_patterns(item: Node) -> "list[tuple[Node, ...]]":
    """The nodes of each pattern."""
    return (
        list(grouped(item.named("value")))
        if "|" not in {child.kind for child in item.children}
        else [(node,) for node in item.named("value")]
    )


def _case_body(item: Node) -> Sequence[Node]:
    close = next(index for index, child in enumerate(item.children) if child.kind == ")")
    return item.children[close + 1 :]


def each(machine: Machine, node: Node) -> Status:
    """Runs `for NAME in words`, its body once."""
    name = node.named("variable")[0].text
    listed = any(child.kind == "in" for child in node.children)
    words = expand.words(machine, node.named("value")) if listed else tuple(machine.arguments[1:])
    certain = bool(words) and not all(word.may_vanish for word in words) and node.children[0].kind == "for"
    if not words and not machine.probing:
        return Status.YES
    single = len(words) == 1 and not words[0].may_vanish

    def body(inner: Machine) -> Status:
        inner.set(name, Variable((words[0].pieces,)) if single else Variable())
        if not single:
            inner.forget(name)
        return inner.run(inner, node.named("body")[0].children)

    if single and not machine.probing:
        body(machine)
        machine.past(End.LOOP)
        return Status.HOPED
    loop(machine, node, body, certain=certain)
    return Status.HOPED


def loop(machine: Machine, node: Node, body: Callable[[Machine], Status], *, certain: bool) -> None:
    """Runs a loop's body once, with all that it writes unknown before and after; `certain`: it runs at least once."""
    written = _written(machine, body)
    for name in written:
        machine.forget(name)
    inner = machine.fork("" if certain else f"in the loop in line {node.line}")
    inner.output = None
    body(inner)
    if certain and inner.ended not in {None, End.LOOP}:
        machine.join([inner])
    else:
        inner.past(End.LOOP)
        machine.join([inner, machine.fork()])
    machine.past(End.LOOP)
    for name in written:
        machine.forget(name)
    machine.output = None


def _written(machine: Machine, body: Callable[[Machine], Status]) -> list[str]:
    probe = machine.probe()
    with machine.budget.nested():
        body(probe)
    machine.writes |= probe.writes
    return sorted(probe.writes)


def counted(machine: Machine, node: Node) -> Status:
    """Runs `for ((…; …; …))`."""
    parts = [
        child for field in ("initializer", "condition", "update") for child in node.named(field) if not child.token
    ]
    bodies = [child for child in node.children if child.kind in _LOOP_PARTS]

    def body(inner: Machine) -> Status:
        for part in parts:
            evaluate(inner, part, expand.text)
        return inner.run(inner, bodies[0].children)

    loop(machine, node, body, certain=False)
    return Status.HOPED


def repeated(machine: Machine, node: Node) -> Status:
    """Runs `while` or `until`."""
    condition = node.named("condition")
    wanted = Status.YES if node.children[0].kind == "while" else Status.NO
    endless = False

    def body(inner: Machine) -> Status:
        nonlocal endless
        status = inner.run(inner, condition)
        if inner.ended or (status is wanted.negated() and not inner.probing):
            return status
        if status is wanted or inner.probing:
            inner.run(inner, node.named("body")[0].children)
            endless = not inner.probing and inner.ended is None and End.LOOP not in inner.doubts
            return status
        taken = inner.fork(f"in the loop in line {node.line}")
        taken.run(taken, node.named("body")[0].children)
        taken.past(End.LOOP)
        inner.join([taken, inner.fork()])
        return status

    loop(machine, node, body, certain=True)
    if endless:
        machine.end(End.SCRIPT, node.line)
    return Status.HOPED


def function(machine: Machine, node: Node) -> Status:
    """Notes a function."""
    name = node.named("name")[0]
    if node.source.shadow.hidden(name.start, name.end) or node.named("redirect"):
        raise ShellError("a function of this form is not read", node.line)
    machine.functions[name.text] = (node.named("body")[0],)
    return Status.YES


def redirected(machine: Machine, node: Node) -> Status:
    """Runs a statement whose redirections the parser keeps apart from it."""
    redirects.attach(node)
    bodies = node.named("body")
    if not bodies:
        return redirects.run(machine, node.redirects or (), lambda: Status.YES)
    status = machine.run(machine, bodies)
    tail = redirects.tail([child for child in node.children if child.kind == "heredoc_redirect"])
    return status if tail is None or machine.ended else link(machine, status, *tail)
